"""What surrounds a run: environment variables and matplotlib's settings, in real processes."""
from concurrent.futures import ThreadPoolExecutor
import os
from pathlib import Path
import subprocess
import sys

from common import arrays, CONFIG, content, PROJECT, problem_of, RESULTS

NOWHERE = '/proc/nowhere'       # which root cannot make either
TOLD_BY_OTHERS = 'Python', 'Fatal Python error'     # a value that Python itself refuses
N_PROCESSES = 2
INLINE = 'module://matplotlib_inline.backend_inline'

VARIABLES = {
    'CHAINER_DTYPE': ('float16', 'mixed16', 'float64', 'odd'), 'CHAINER_DEBUG': ('1', 'x'),
    'CHAINER_TYPE_CHECK': ('0', 'x'), 'CHAINER_KEEP_GRAPH_ON_REPORT': ('1', 'x'),
    'CHAINER_SEED': ('1', 'x'), 'CHAINER_USE_IDEEP': ('always', 'x'),
    'PYTHONWARNINGS': ('error', 'odd'), 'PYTHONOPTIMIZE': ('1', '2'), 'PYTHONUTF8': ('0', '1'),
    'PYTHONIOENCODING': ('ascii', 'utf-16', ':strict'), 'PYTHONHASHSEED': ('1', 'x'),
    'PYTHONDEVMODE': ('1',), 'PYTHONMALLOC': ('debug', 'malloc'), 'PYTHONUNBUFFERED': ('1',),
    'PYTHONPYCACHEPREFIX': (NOWHERE,), 'PYTHONUSERBASE': (NOWHERE,), 'PYTHONNOUSERSITE': ('1',),
    'PYTHONCOERCECLOCALE': ('0', 'warn'), 'LC_ALL': ('C', 'POSIX', 'odd', 'tr_TR.UTF-8'),
    'LANG': ('C', 'odd'), 'TERM': ('', 'dumb', 'odd'), 'COLUMNS': ('0', '-1', '1', 'x'),
    'TZ': ('odd', NOWHERE, 'UTC+99'), 'HOME': ('', NOWHERE, '/dev/null'),
    'TMPDIR': ('', NOWHERE, '/dev/null'), 'XDG_CONFIG_HOME': ('', NOWHERE),
    'XDG_CACHE_HOME': ('', NOWHERE), 'MPLBACKEND': (INLINE, 'odd', 'TkAgg', 'pdf'),
    'MPLCONFIGDIR': ('', NOWHERE, '/dev/null'), 'MATPLOTLIBRC': (NOWHERE, '/bin/sh'),
    'OMP_NUM_THREADS': ('0', '-1', 'x', '1,2', '99'), 'OPENBLAS_NUM_THREADS': ('0', '-1', 'x'),
    'MKL_NUM_THREADS': ('0', 'x'), 'OMP_PROC_BIND': ('true', 'x'),
    'CUDA_VISIBLE_DEVICES': ('', 'x', '99'), 'CUDA_PATH': (NOWHERE,), 'CUPY_CACHE_DIR': (NOWHERE,),
    'CUPY_ACCELERATORS': ('x',), 'NUMPY_MADVISE_HUGEPAGE': ('0', 'x'),
    'NPY_DISABLE_CPU_FEATURES': ('ODD',), 'MALLOC_PERTURB_': ('165',), 'PATH': ('', NOWHERE),
    'USER': ('',), 'DISPLAY': (':99',), 'PMI_SIZE': ('', 'x', '0'), 'PMI_RANK': ('x',),
    'OMPI_COMM_WORLD_SIZE': ('x',), 'SLURM_PROCID': ('x',), 'FORCE_COLOR': ('1',),
    'GPU': ('x', '1e3'), 'EPOCHS': ('', 'x'), 'WEIGHTS': (NOWHERE,)}

RC_FILES = [
    'text.usetex: True', 'font.family: no such font', 'font.size: 40', 'figure.dpi: 300',
    'savefig.dpi: 10', 'savefig.format: pdf', 'savefig.bbox: tight', 'savefig.transparent: True',
    'axes.formatter.use_mathtext: True', 'axes.prop_cycle: cycler("color", ["r"])',
    'figure.autolayout: True', 'figure.constrained_layout.use: True', 'path.sketch: 1, 100, 2',
    'text.parse_math: False', 'backend: odd', 'backend: TkAgg', 'interactive: True',
    'axes.facecolor: black', 'lines.marker: s', 'image.interpolation: bicubic',
    'image.origin: lower', 'odd: 1', 'no colon', b'\xff\xfe\x80']


def environment(random):
    """Environment variables with odd values: the same weights, or a sentence."""
    tried = [(name, value) for name, values in VARIABLES.items() for value in values]
    _run('plain', 'train', CONFIG)
    expected = arrays('plain')

    def problem(number):
        name, value = tried[number]
        out = f'odd{number}'
        code, error = _run(out, 'train', CONFIG, **{name: value})
        wrong = problem_of(code, error)
        if code == 0 and arrays(out) != expected:
            wrong = 'other weights'
        if wrong and not (code == 1 and error.startswith(TOLD_BY_OTHERS)):
            return f'{name}={value}: {wrong}'

    yield from _in_parallel(problem, len(tried))


def rc_files(random):
    """Settings of matplotlib in a matplotlibrc: the same pictures, byte by byte."""
    command = 'train', Path(CONFIG).absolute()

    def pictures(number, text):
        folder = Path(f'rc{number}')
        folder.mkdir()
        (folder / 'birds').symlink_to(Path('birds').absolute())
        (folder / 'matplotlibrc').write_bytes(text if isinstance(text, bytes) else text.encode())
        ends = [_run('out', *command, folder=folder), _run(
            None, 'predict', Path(RESULTS / 'cs_fve/seed0').absolute(), 'birds/images',
            '--pictures', 'drawn', folder=folder)]
        problem = next((error for code, error in ends if code), None)
        return problem or {path: data for path, data in content(folder).items()
                           if path.suffix == '.png' and 'birds' not in path.parts}

    expected = pictures('', '')
    yield None if len(expected) > 5 else f'no pictures: {expected}'

    def problem(number):
        drawn = pictures(number, RC_FILES[number])
        return None if drawn == expected else f'{RC_FILES[number]}: ' + (
            drawn if isinstance(drawn, str) else 'other pictures')

    yield from _in_parallel(problem, len(RC_FILES))


def _in_parallel(function, n):
    with ThreadPoolExecutor(N_PROCESSES) as pool:
        return list(pool.map(function, range(n)))


def _run(out, *arguments, folder='.', **variables):
    of_run = ['--output', out, '--set', 'training.epochs=1'] if out else []
    words = [*map(str, arguments), *of_run]
    done = subprocess.run(
        [sys.executable, '-m', 'finetune', *words], cwd=folder, capture_output=True, timeout=300,
        env={**os.environ, 'PYTHONPATH': str(PROJECT), **variables})
    return done.returncode, done.stderr.decode(errors='replace')
