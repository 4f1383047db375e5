"""Pictures of all formats: damaged ones, and odd metadata."""
import itertools
import json
import os
from pathlib import Path
import resource
import shutil
import tempfile
import time
import traceback

import numpy
from PIL import Image
import yaml

from common import command, problem_of
from finetune.data.pictures import read_image, size_and_orientation
from finetune.errors import InputError
from picture_kinds import damaged_pictures, foreign, with_metadata, with_tags

N_DAMAGED, N_AT_ONCE, SHARE_OF_COMMANDS = 20_000, 500, 100
SECONDS, MEGABYTES = 10, 3000       # of a core and of memory, that a file may take
CANARY = Path('started')


def pictures(random):
    """Damaged pictures of all formats, and all types in the tags of TIFF and EXIF."""
    _forbid_other_programs()
    files = itertools.chain(foreign(), with_tags(random), with_metadata(random),
                            damaged_pictures(random, N_DAMAGED))
    chosen = []
    while chunk := list(itertools.islice(files, N_AT_ONCE)):
        yield from _in_process(chunk)
        chosen += chunk[::SHARE_OF_COMMANDS]
    yield from _commands(chosen)


def _forbid_other_programs():
    """Puts a program that leaves a trace in place of Ghostscript."""
    program = Path('programs/gs').absolute()
    program.parent.mkdir(exist_ok=True)
    program.write_text(f'#!/bin/sh\ntouch {CANARY.absolute()}\n')
    program.chmod(0o755)
    os.environ['PATH'] = f'{program.parent}{os.pathsep}{os.environ["PATH"]}'


def _in_process(files):
    """What is wrong with the outcome of each file, in a process that may crash."""
    with tempfile.TemporaryFile('w+') as answers:
        child = os.fork()
        if child == 0:
            os._exit(_answer(files, answers))
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        answers.seek(0)
        problems = [json.loads(line) for line in answers]
    yield from problems
    if code or len(problems) != len(files):
        suffix = files[min(len(problems), len(files) - 1)][0]
        yield from [f'{suffix}: exit code {code}'] * (len(files) - len(problems) or 1)


def _answer(files, answers):
    resource.setrlimit(resource.RLIMIT_AS, (2 ** 33, 2 ** 33))
    with tempfile.TemporaryFile() as errors:
        os.dup2(errors.fileno(), 2)
        for suffix, content, is_sound in files:
            path = Path(f'picture{suffix}')
            path.write_bytes(content)
            started, peak = time.process_time(), _peak()
            problem = next(filter(None, (
                _outcome(path, is_sound, function, *upright) for function, *upright in (
                    (read_image, False), (read_image, True), (size_and_orientation,)))), None)
            if not problem and time.process_time() - started > SECONDS:
                problem = f'{time.process_time() - started:.0f} s'
            if not problem and _peak() > max(peak, MEGABYTES):
                problem = f'{_peak()} MB'
            if not problem and CANARY.exists():
                problem = 'another program was started'
                CANARY.unlink()
            if not problem and errors.tell():
                errors.seek(0)
                problem = f'prints {errors.read()[:100]}'
                errors.seek(0)
                errors.truncate()
            print(json.dumps(problem and f'{suffix}: {problem}'), file=answers, flush=True)
    return 0


def _peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def _outcome(path, is_sound, function, *upright):
    try:
        result = function(path, *upright)
    except InputError as error:
        text = str(error)
        if is_sound:
            return f'refused: {text}'[:150]
        is_told = text.startswith(f'{path}: ') and text.endswith('.') and len(text) < 400
        return None if is_told and '\n' not in text else f'no short sentence: {text[:80]!r}'
    except BaseException as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        return f'{type(error).__name__}: {error} in {where.name}'[:150]
    if function is size_and_orientation:
        (height, width), orientation = result
        is_right = height > 0 and width > 0 and orientation in range(1, 9)
    else:
        is_right = (result.dtype == numpy.uint8 and result.ndim == 3 and len(result) == 3
                    and result.size > 0)
    return None if is_right else 'no image'


def _commands(files):
    """What is wrong with the ends of commands for a folder that has a sound or damaged picture."""
    names = ('a', 'b')
    for k, i in itertools.product(range(2), range(6)):
        path = Path('photos', names[k], f'{i}.png')
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = numpy.random.RandomState(10 * k + i).randint(0, 256, (40, 40, 3))
        Image.fromarray(noise.astype(numpy.uint8)).save(path)
    tree = {'data': {'dataset': 'folder', 'root': 'photos', 'parts': 'GLOBAL', 'input_size': 32},
            'model': {'architecture': 'small_cnn', 'encoding': 'gap'}, 'training': {'epochs': 1}}
    Path('photos.yml').write_text(yaml.safe_dump(tree))
    code, error = command('train', 'photos.yml', '--output', 'trained')
    assert code == 0, error
    run = next(Path('trained').rglob('model.npz')).parent
    for i, (suffix, content, _) in enumerate(files):
        path = Path('photos/a', f'odd{suffix}')
        path.write_bytes(content)
        yield _ends(path, run, i)
        path.unlink()


def _ends(path, run, i):
    output = Path(f'answers{i}.json')
    ends = {'doctor': command('doctor', 'photos.yml'),
            'train': command('train', 'photos.yml', '--output', f'photos{i}'),
            'predict': command('predict', run, 'photos', '--output', output)}
    shutil.rmtree(f'photos{i}', ignore_errors=True)
    for name, (code, error) in ends.items():
        if problem := problem_of(code, error.removeprefix('Reading all pictures\n')):
            return f'{name} {path.suffix}: {problem}'
    if CANARY.exists():
        CANARY.unlink()
        return f'{path.suffix}: another program was started'
    is_bad = ends['predict'][0] == 1
    answered = json.loads(output.read_text())
    if (len(answered['images']), answered['unreadable']) != (13 - is_bad, is_bad * [str(path)]):
        return f'{path.suffix}: predict answers {answered}'
    codes = [code for code, _ in ends.values()]
    return None if codes == [2 * is_bad, 2 * is_bad, int(is_bad)] else f'{path.suffix}: {codes}'
