"""What disks, signals, damaged files and careless users do: what was tried, what survived.

    python tools/reliability                         # half an hour on two CPU cores
    python tools/reliability --seed 1 archives layer # some rows, other damages

Survived: the same results as without, or one sentence and exit code 2; nothing is executed,
overwritten or left behind. Everything happens in a temporary folder; the row of the disk needs the
permission to mount one, as root has it. The exit code is 1 if anything failed.
"""
import fve_layer    # noqa: F401 (before Chainer)

import argparse
import collections
import os
import sys
import tempfile
import time

import numpy

from common import prepare
from disk import disk
from files import archives, pickles, texts
from histories import histories
from inputs import annotations, settings
from layer import layer
from naming import names
from picture_files import pictures
from processes import features, kills, loaders, signals
from surroundings import environment, rc_files
from weights import weights

ROWS = {function.__name__: function for function in (
    kills, features, loaders, signals, disk, archives, weights, texts, pickles, settings,
    annotations, pictures, names, histories, environment, rc_files, layer)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('rows', nargs='*', metavar='ROW', help=f'of {", ".join(ROWS)}')
    parser.add_argument('--seed', type=int, default=0)
    options = parser.parse_args()
    n_failed = 0
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        prepare()
        print('| what | tried | survived | failed | s |\n|---|---|---|---|---|', flush=True)
        for name in options.rows or ROWS:
            started = time.monotonic()
            problems = list(ROWS[name](numpy.random.RandomState(options.seed)))
            failed = collections.Counter(filter(None, problems))
            n_failed += sum(failed.values())
            print(f'| {ROWS[name].__doc__.split(":")[0].rstrip(".")} | {len(problems)} | '
                  f'{len(problems) - sum(failed.values())} | {sum(failed.values())} | '
                  f'{time.monotonic() - started:.0f} |', flush=True)
            for problem, n in failed.most_common(20):
                print(f'{n} times: {problem}', file=sys.stderr, flush=True)
        os.chdir('/')
    return 1 if n_failed else 0


if __name__ == '__main__':
    sys.exit(main())
