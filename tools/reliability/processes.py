"""Processes that are killed, interrupted or die."""
import os
from pathlib import Path
import shutil
import signal
import subprocess
import sys
import time

from common import arrays, command, CONFIG, PROJECT, RUN

TEMPORARY = Path('temporary')


def kills(random):
    """Killed by SIGKILL at random times, five times each, and started again."""
    expected, seconds = arrays(RUN), 4.
    for i in range(8):
        out, workers = f'killed{i}', i % 2
        arguments = 'train', CONFIG, '--set', f'training.workers={workers}', '--output', out
        for _ in range(5):
            running = _process(*arguments)
            time.sleep(random.uniform(1, seconds))
            os.killpg(running.pid, signal.SIGKILL)
            running.communicate()
            yield 'a process is left' if _is_left(running.pid) else None
        running = _process(*arguments)
        error = running.communicate()[1]
        yield (None if running.returncode == 0 and arrays(out) == expected
               else f'not the same after kills: {error[-80:]}')


def features(random):
    """Runs on kept ConvMaps killed at random times, five times each, and started again."""
    settings = [argument for setting in (
        'training.cnn_lr_factor=0', 'training.views=4', 'data.test_flip=true', 'training.workers=1')
        for argument in ('--set', setting)]
    code, error = command('train', CONFIG, *settings, '--output', 'on_features')
    assert code == 0, error
    expected, predictions = arrays('on_features'), Path('on_features/predictions.csv').read_bytes()
    for i in range(5):
        out = f'on_features{i}'
        shutil.rmtree('results/features')
        for _ in range(5):
            running = _process('train', CONFIG, *settings, '--output', out)
            time.sleep(random.uniform(1, 4))
            os.killpg(running.pid, signal.SIGKILL)
            running.communicate()
        code, error = command('train', CONFIG, *settings, '--output', out)
        is_same = code == 0 and arrays(out) == expected and (
            Path(out, 'predictions.csv').read_bytes() == predictions)
        yield None if is_same else f'not the same after kills: {error[-80:]}'


def loaders(random):
    """An image damaged, lost or replaced by a pipe while up to four threads load, and mended."""
    images, expected = sorted(Path('birds/images').rglob('*.png')), arrays(RUN)
    for i in range(12):
        path = images[random.randint(len(images))]
        content = path.read_bytes()
        path.unlink()
        if i % 3 == 0:
            path.write_bytes(content[:len(content) // 2])
        elif i % 3 == 1:
            os.mkfifo(path)
        arguments = 'train', CONFIG, '--set', f'training.workers={2 ** (i % 4) // 2}', '--output', (
            out := f'loader{i}')
        running = _process(*arguments)
        error = running.communicate(timeout=60)[1]
        path.unlink(missing_ok=True)
        path.write_bytes(content)
        if running.returncode != 2 or error.count('\n') != 1 or path.name not in error:
            yield f'{running.returncode} {error}'
            continue
        running = _process(*arguments)
        error = running.communicate(timeout=60)[1]
        yield (_left(running) if running.returncode == 0 and arrays(out) == expected
               else f'not the same after an image was mended: {error[-80:]}')


def signals(random):
    """A run and a suite interrupted by each signal, at a random time."""
    for arguments in (['train', CONFIG, '--set', 'training.epochs=200', '--set',
                       'training.workers=1', '--output', 'interrupted'],
                      ['train', CONFIG, '--seeds', '5,6', '--jobs', '2', '--set',
                       'training.epochs=200']):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            running = _process(*arguments)
            time.sleep(random.uniform(3, 6))
            running.send_signal(number)
            error = running.communicate(timeout=60)[1]
            is_sound = running.returncode == 128 + number and error.count('\n') == 1
            yield (_left(running) if is_sound
                   else f'{running.returncode} {error[-80:]}')


def _process(*arguments):
    TEMPORARY.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, '-m', 'finetune', *map(str, arguments)], text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        env={**os.environ, 'PYTHONPATH': str(PROJECT), 'TMPDIR': str(TEMPORARY.absolute())},
        preexec_fn=lambda: [signal.signal(number, signal.SIG_DFL) for number in (1, 2, 15)])


def _left(running):
    """What a process that has ended left behind, if anything."""
    if _is_left(running.pid):
        return 'a process is left'
    left = [*TEMPORARY.iterdir()]
    return f'left: {left}' if left else None


def _is_left(group):
    """Whether processes of a session are still there after some seconds."""
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        if not subprocess.run(['ps', '-o', 'pid=', '-s', str(group)],
                              capture_output=True, text=True).stdout.split():
            return False
        time.sleep(.2)
    return True
