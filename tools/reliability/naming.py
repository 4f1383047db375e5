"""Names of files, folders, classes and parts: odd bytes, forms, signs, lengths and words."""
import csv
import json
import os
from pathlib import Path
import shutil
import unicodedata

import numpy
from PIL import Image
import yaml

from common import command, problem_of, RUN, SETTINGS
from finetune.config.schema import override_of
from finetune.files import read_csv
from finetune.names import composed
from finetune.runs.folder import RunFolder

NAMES = [
    b'caf\xe9', b'\xff\xfe', b'\x80\xc3', b'a\xed\xa0\x80', 'käfer', unicodedata.normalize(
        'NFD', 'Käfer groß'), '鸟', '\U0001f426', '\u202egnp', '\ufeffbom', 'a\u2028b', 'a\x85b',
    'new\nline', 'line\n', 'cr\rx', 'tab\tx', '\x1b[31mred', '\x7f', ' leading', 'trailing ',
    'price $5_and_$6', 'b_{$x^^$}', '$', '\\alpha\\', '\\', 'a%20b%', '%s', '{name}', '_a_', '^',
    '"quoted"', '"', "it's", "'", '`tick`', 'a,b;c', '|pipe|', '*star*', '<b>&amp;', '[x](y)',
    '{a: 1}', '[x]', '#x', 'x #y', 'a: b', '- x', '? x', '!tag', '&a', '@', '%TAG', '---', 'x...',
    'null', 'true', 'no', '~', '123', '2021_06_01', '1e3', 'nan', '0x1F', '2020-13-45', '<<',
    '=1+1', '-rf', '--help', 'con', 'classes', 'parts', 'l' * 255, 'é' * 127]
TEXTS = [os.fsdecode(name) for name in NAMES]
N_TOGETHER = 12         # classes in a data set
PHOTOS, RESULTS, ODD = Path('photos'), Path('results/odd/odd'), Path('configs/odd/odd.yml')
RUN_OF_ODD = RESULTS / 'seed0'


def names(random):
    """Odd names of classes and pictures, of folders and of pictures with parts, by command."""
    ODD.parent.mkdir(exist_ok=True)
    ODD.write_text(yaml.safe_dump({
        'data': {**SETTINGS['data'], 'dataset': 'folder', 'root': str(PHOTOS), 'parts': 'GRID',
                 **dict.fromkeys(('missing', 'drawing'))},
        'model': SETTINGS['model'], 'training': {**SETTINGS['training'], 'epochs': 1}}).replace(
            '  missing: null\n', '').replace('  drawing: null\n', ''))
    for start in range(0, len(TEXTS), N_TOGETHER):
        yield from _of_classes(TEXTS[start:start + N_TOGETHER], random)
    _classes(['a', 'b'], random)
    for name in TEXTS:
        yield _of_root(name)
        yield _of_parts(name)


def _of_classes(kinds, random):
    """From training to the report; the names come back from every file."""
    paths = _classes(kinds, random)
    shutil.rmtree(RESULTS, ignore_errors=True)
    for path in Path('answers.csv'), Path('answers.json'), Path('odd.onnx'):
        path.unlink(missing_ok=True)
    shutil.rmtree('drawn', ignore_errors=True)
    for arguments in (
            ('doctor', ODD), ('train', ODD), ('evaluate', RUN_OF_ODD), ('status',), ('report',),
            ('predict', RUN_OF_ODD, PHOTOS, '--output', 'answers.csv'),
            ('predict', RUN_OF_ODD, PHOTOS, '--output', 'answers.json', '--pictures', 'drawn'),
            ('predict', RUN_OF_ODD, *paths), ('export', RUN_OF_ODD, 'odd.onnx'),
            ('visualize', 'parts', ODD), ('visualize', 'mixture', RUN_OF_ODD),
            ('visualize', 'confusion', RUN_OF_ODD)):
        yield _problem(kinds, *arguments)
    try:
        folder, known = RunFolder(RUN_OF_ODD), set(map(composed, kinds))
        is_kept = {
            'names.yml': set(folder.read_names().class_names) == known,
            'predictions.csv': set(folder.read_predictions()['label']) <= known,
            'answers.csv': {row['image'] for row in _rows('answers.csv')} == set(map(str, paths)),
            'classes of answers.csv': {row['class'] for row in _rows('answers.csv')} <= known,
            'answers.json': {row['image'] for row in json.loads(
                Path('answers.json').read_text(encoding='utf-8'))['images']} == set(
                    map(str, paths)),
            'drawn': len(list(Path('drawn').iterdir())) == len(paths)}
        yield from (None if kept else f'{what} of {kinds} is not the same'
                    for what, kept in is_kept.items())
    except Exception as error:
        yield f'{kinds}: {type(error).__name__} {error}'


def _of_root(name):
    """A data set's folder of that name, by --set."""
    PHOTOS.rename(name)
    problem = _problem(name, 'train', ODD, '--output', 'odd_root', '--set',
                       override_of('data.root', name))
    Path(name).rename(PHOTOS)
    shutil.rmtree('odd_root', ignore_errors=True)
    return problem


def _of_parts(name):
    """A picture of that name in a table of parts, there in the other form of Unicode."""
    try:
        name.encode()
    except UnicodeEncodeError:          # such a table is not UTF-8
        return None
    picture = Path(f'{name[:100]}.png')
    shutil.copy(next(Path('birds').rglob('*.png')), picture)
    other = unicodedata.normalize('NFD' if composed(name) == name else 'NFC', picture.name)
    with open('odd.csv', 'w', newline='', encoding='utf-8') as file:
        csv.writer(file).writerows([['image', ' part', 'x', 'y'], [other, 'beak', 20, 20]])
    code, error = command('predict', RUN, f'./{picture}', '--parts', 'odd.csv')
    picture.unlink()
    is_refused = name != name.strip() and 'has no line in' in error     # blanks around are not read
    return (problem_of(code, error) or code or error) and not is_refused and (
        f'predict of {name!r}: {error}') or None


def _problem(name, *arguments):
    code, error = command(*arguments)
    problem = problem_of(code, error) or (error if code else None)
    return problem and f'{" ".join(map(str, arguments[:2]))} of {name!r}: {problem}'


def _classes(kinds, random):
    """A folder per class with pictures of the same name; returns their paths."""
    shutil.rmtree(PHOTOS, ignore_errors=True)
    paths = [PHOTOS / kind / f'{os.fsdecode(os.fsencode(kind)[:250])}{i}.png'
             for kind in kinds for i in range(3)]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.randint(256, size=(40, 40, 3)).astype(numpy.uint8)).save(path)
    return paths


def _rows(path):
    header, *rows = read_csv(path)
    return [dict(zip(header, row)) for row in rows]
