"""A disk that is full. It is a mounted one, in memory, which needs the permission to mount."""
import contextlib
import os
from pathlib import Path
import re
import shutil
import subprocess

from common import arrays, command, CONFIG, CONFIGS, content, problem_of, RESULTS, RUN

DISK, DISK_BYTES = Path('disk'), 64 << 20
ROOM = 0, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20
NEW = 'new/seed0'

# Commands that write, by what they miss: paths that are removed before.
COMMANDS = [
    ((), ('train', CONFIG, '--output', NEW)),
    (['birds', RUN], ('train', CONFIG)),
    (['birds', RESULTS / '*'], ('train', CONFIGS / 'cs_fve.yml')),
    ((), ('train', CONFIG, '--seeds', '1,2')),
    ([RESULTS / 'separate', RESULTS / 'gt_gap/seed0/features*'],
     ('train', CONFIGS / 'separate.yml')),
    ([RESULTS / 'cs_fve', 'birds/cs_parts', 'birds/CS_parts'], ('train', CONFIGS / 'cs_fve.yml')),
    ((), ('evaluate', RUN)),
    ((), ('evaluate', RUN, '--output', 'out')),
    ((), ('predict', RESULTS / 'cs_fve/seed0', 'birds/images', '--output', 'out/answers.csv')),
    ((), ('predict', RESULTS / 'cs_fve/seed0', 'birds/images', '--output', 'answers.json')),
    ((), ('predict', RESULTS / 'cs_fve/seed0', 'birds/images', '--pictures', 'out')),
    ((), ('report',)),
    ((), ('visualize', 'em', '--data', 'simple', '--iterations', '3', '--samples', '50')),
    ((), ('visualize', 'parts', CONFIG)),
    ((), ('visualize', 'mixture', RUN)),
    ((), ('visualize', 'confusion', RUN)),
]


def disk(random):
    """A full disk, with seven sizes of room, for every command that writes; then room is made."""
    with _mounted():
        for missing, arguments in COMMANDS:
            for room in ROOM:
                yield _tried(missing, arguments, room)


def _tried(missing, arguments, room):
    _restore(missing)
    before = content(DISK)
    with _ballast(room):
        code, error = command(*arguments, folder=DISK)
        problem = problem_of(code, error)
        is_placed = re.search(r'finetune: .+: .*(No space|make room)', error)
        if not problem and code == 2 and not is_placed:
            problem = f'names no place: {error}'
        if not problem and code and not _is_kept(before, content(DISK)):
            problem = 'a file is lost or overwritten'
    if not problem and code:
        code, error = command(*arguments, folder=DISK)
        is_done = code == 0 or 'are kept; give another --pictures' in error     # of the first time
        problem = None if is_done else f'with room, exit code {code}: {error[-150:]}'
    if not problem and NEW in arguments and arrays(DISK / NEW) != arrays(RUN):
        problem = 'other weights after room was made'
    return problem and f'{" ".join(map(str, arguments))}, {room >> 10} KB: {problem}'


def _is_kept(before, after):
    """Whether earlier files are there as they were, but for locks and what suites print."""
    return all(after.get(path) == data for path, data in before.items()
               if path.name != '.lock' and path.suffix != '.txt')


def _restore(missing):
    """The working folder's configs, data and runs on the disk, but for some."""
    for path in DISK.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for name in ('configs', 'results', 'birds'):
        shutil.copytree(name, DISK / name)
    for pattern in missing:
        for path in DISK.glob(str(pattern)):
            shutil.rmtree(path)


@contextlib.contextmanager
def _mounted():
    DISK.mkdir()
    subprocess.run(['mount', '-t', 'tmpfs', '-o', f'size={DISK_BYTES}', 'none', DISK], check=True)
    try:
        yield
    finally:
        subprocess.run(['umount', DISK], check=True)


@contextlib.contextmanager
def _ballast(room):
    """Fills the disk but for some bytes."""
    path, state = DISK / 'ballast', os.statvfs(DISK)
    with open(path, 'wb') as file:
        file.write(bytes(state.f_bavail * state.f_frsize - room))
    try:
        yield
    finally:
        path.unlink()
