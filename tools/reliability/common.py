"""What all rows share: the working folder, damages, and commands in processes of their own."""
import importlib
import os
from pathlib import Path
import pkgutil
import signal
import sys
import tempfile
import traceback
import warnings

import numpy
import yaml

import finetune
from finetune import cli
from finetune.data.minibirds import drawing
from finetune.errors import InputError

PROJECT = Path(__file__).resolve().parents[2]
CONFIGS, RESULTS = Path('configs/minibirds'), Path('results/minibirds')
CONFIG, RUN = CONFIGS / 'gt_fve.yml', RESULTS / 'gt_fve/seed0'
SETTINGS = {
    'data': {'dataset': 'minibirds', 'root': 'birds', 'parts': 'GT', 'missing': 'mask',
             'input_size': 32, 'part_input_size': 32,
             'drawing': {'n_species': 3, 'n_train': 4, 'n_test': 2, 'size': 48}},
    'model': {'architecture': 'small_cnn', 'encoding': 'fve', 'n_components': 2},
    'training': {'epochs': 3, 'lr_epochs': [1], 'update_size': 6, 'batch_size': 4}}
DETECTOR = {'input_size': 32, 'sigma': 1, 'smallest_box': 8, 'svm_c': 10}
COMMAND_SECONDS = 120


def prepare():
    """A small data set, and finished runs of all kinds, in the working folder."""
    for module in pkgutil.walk_packages(finetune.__path__, 'finetune.'):
        if not module.name.endswith('__main__'):    # here and not in each forked process
            importlib.import_module(module.name)
    CONFIGS.mkdir(parents=True)
    (CONFIGS / 'gt_fve.yml').write_text(yaml.safe_dump(SETTINGS))
    _write('gt_gap', data={'missing': 'zero'}, model={'encoding': 'gap', 'n_components': None})
    _write('separate', model={'pretrained': str(CONFIGS / 'gt_gap.yml'), 'pca_size': 4},
           training={'method': 'conventional', **dict.fromkeys(SETTINGS['training'])})
    _write('cs_fve', data={'parts': 'CS_PARTS', 'box_frame': 32},
           detector={'cnn': str(CONFIGS / 'gt_gap.yml'), **DETECTOR})
    drawing.prepare('birds', **SETTINGS['data']['drawing'])
    Path('parts.csv').write_text('image,part,x,y\n' + ''.join(
        f'{path},beak,20,20\n' for path in Path('birds/images').rglob('*.png')))
    for path in sorted(CONFIGS.iterdir()):
        code, error = command('train', path)
        assert code == 0, error


def _write(name, **sections):
    """A config with other settings, or without those that are ``None``."""
    tree = {section: {**SETTINGS.get(section, {}), **sections.get(section, {})}
            for section in ('data', 'model', 'training', 'detector')}
    tree = {section: {key: value for key, value in values.items() if value is not None}
            for section, values in tree.items()}
    (CONFIGS / f'{name}.yml').write_text(yaml.safe_dump(tree))


def damaged(content, random):
    """Bytes changed, cut, doubled or replaced."""
    content = bytearray(content)
    for _ in range(random.randint(1, 10)):
        content[random.randint(len(content))] = random.randint(256)
    kind = random.randint(6)
    if kind == 0:
        return bytes(content[:random.randint(len(content))])
    if kind == 1:
        place = random.randint(len(content))
        return bytes(content[:place] + content[random.randint(len(content)):])
    if kind == 2 and random.randint(5) == 0:
        return [b'', bytes(1000), b'<html></html>', b'PK\3\4'][random.randint(4)]
    return bytes(content)


def tried(function, *arguments):
    """What is wrong with a call, if anything: an exception other than ``InputError``."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            return function(*arguments)
    except InputError as error:
        if len(str(error)) > 1500 or '\n' in str(error):
            return f'no short sentence: {str(error)[:60]!r}'
    except Exception as error:
        return f'{type(error).__name__}: {str(error)[:60]}'


def command(*arguments, folder='.'):
    """Runs a command in a forked process, which spares the imports.

    Returns:
        tuple: Exit code, and what was written to stderr.

    """
    with tempfile.TemporaryFile() as errors:
        child = os.fork()
        if child == 0:
            os._exit(_run([str(argument) for argument in arguments], folder, errors))
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        errors.seek(0)
        return code, errors.read().decode(errors='replace')


def _run(arguments, folder, errors):
    os.dup2(errors.fileno(), 2)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.stderr = open(2, 'w', closefd=False)
    signal.alarm(COMMAND_SECONDS)
    os.chdir(folder)
    warnings.simplefilter('ignore')
    try:
        return cli.main(arguments)
    except SystemExit as error:
        return error.code
    except BaseException:
        traceback.print_exc()
        return 70
    finally:
        sys.stderr.flush()


def problem_of(code, error):
    """What is wrong with the end of a command, if anything."""
    if code not in (0, 1, 2) or 'Traceback' in error:
        return f'exit code {code}: {error[-150:]}'
    sentences = [line for line in error.splitlines() if line.startswith('finetune: ')]
    is_told = len(sentences) == 1 and error.endswith(f'{sentences[0]}\n') and len(error) < 1500
    if code == 2 and error and not is_told:         # doctor's findings are on stdout
        return f'no short sentence: {error[:150]!r}'


def arrays(folder):
    """Bytes of a run's weights by name."""
    with numpy.load(Path(folder) / 'model.npz') as archive:
        return {key: archive[key].tobytes() for key in archive.files}


def content(folder):
    """Bytes of all files in a folder by path."""
    return {path.relative_to(folder): path.read_bytes()
            for path in Path(folder).rglob('*') if path.is_file()}
