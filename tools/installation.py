"""Installs the layer and the program as the README says, from cold caches, and uses them.

    python tools/installation.py python3.10 python3.11 python3.13    # some minutes for each

For each Python the oldest and the newest pip that run there, and uv. What is installed is the last
commit. It is used in an empty folder: the layer by five lines of Python, the program by the dry run
of the main job on a few pictures. The exit code is 1 if anything failed.
"""
import argparse
import os
from pathlib import Path
import subprocess
import sys
import tempfile
import time

PROJECT = Path(__file__).resolve().parents[1]
OLDEST_PIP = {(3, 12): '23.2', (3, 13): '24.1'}     # else 22.0
LAYER = """
import chainer_first
import fve_layer, numpy
layer = fve_layer.FVELayer(4, 2, seed=0)
assert layer(numpy.random.rand(3, 10, 4).astype('f')).shape == (3, 16)
"""
CHAINER_FIRST = """
try:
    import chainer
except (ImportError, AttributeError):       # without the shims
    pass
"""
DRY_RUN = ['train', 'configs/minibirds/gt_fve.yml', '--dry-run',
           '--set', 'data.drawing={n_species: 2, n_train: 4, n_test: 4, size: 48}']


def run(*command, cwd, **variables):
    done = subprocess.run([str(word) for word in command], cwd=cwd, capture_output=True, text=True,
                          env={**os.environ, **variables})
    if done.returncode:
        raise RuntimeError(f'{" ".join(map(str, command[:6]))}: '
                           f'{(done.stderr or done.stdout).strip()[-400:]}')
    return done.stdout


def with_pip(version):
    """Function that makes an environment, with pip of a version or the newest."""
    def install(python, environment, source, what):
        run(python, '-m', 'venv', environment, cwd=source)
        pip = environment / 'bin/python', '-m', 'pip', 'install', '--no-cache-dir', '-q'
        run(*pip, '-U', f'pip=={version}' if version else 'pip', cwd=source)
        run(*pip, what, cwd=source, PIP_CONSTRAINT='build-constraints.txt',
            PIP_BUILD_CONSTRAINT='build-constraints.txt')
    return install


def with_uv(python, environment, source, what):
    run(sys.executable, '-m', 'uv', 'venv', '-q', '--python', python, environment, cwd=source)
    run(sys.executable, '-m', 'uv', 'pip', 'install', '-q', '--no-cache', '--python',
        environment / 'bin/python', what, cwd=source)


def use_layer(environment, empty):
    (empty / 'chainer_first.py').write_text(CHAINER_FIRST)
    (empty / 'layer.py').write_text(LAYER)
    run(environment / 'bin/python', 'layer.py', cwd=empty)


def use_program(environment, empty):
    printed = run(environment / 'bin/finetune', *DRY_RUN, cwd=empty)
    assert 'training images 8' in printed and not any(empty.iterdir())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('pythons', nargs='+', metavar='PYTHON')
    n_failed = 0
    print('| Python | installer | what | s | works |\n|---|---|---|---|---|', flush=True)
    for python in parser.parse_args().pythons:
        version = run(python, '-c', 'import sys; print(*sys.version_info[:2])', cwd='/').split()
        oldest = OLDEST_PIP.get(tuple(map(int, version)), '22.0')
        installers = {f'pip {oldest}': with_pip(oldest), 'newest pip': with_pip(''), 'uv': with_uv}
        for installer, install in installers.items():
            for what, use in (('.', use_layer), ('.[finetune]', use_program)):
                started = time.monotonic()
                with tempfile.TemporaryDirectory() as folder:
                    source, empty = Path(folder, 'source'), Path(folder, 'empty')
                    run('git', 'clone', '-q', PROJECT, source, cwd='/')
                    empty.mkdir()
                    try:
                        install(python, Path(folder, 'environment'), source, what)
                        seconds, outcome = time.monotonic() - started, 'yes'
                        use(Path(folder, 'environment'), empty)
                    except (RuntimeError, AssertionError) as error:
                        seconds, outcome = time.monotonic() - started, f'no: {error}'
                        n_failed += 1
                print(f'| {".".join(version)} | {installer} | {what} | {seconds:.0f} | '
                      f'{" ".join(outcome.split())} |', flush=True)
    return 1 if n_failed else 0


if __name__ == '__main__':
    sys.exit(main())
