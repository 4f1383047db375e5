"""Names of files, classes and parts in any bytes, any form of Unicode, and with any signs."""
import csv
import json
import os
from pathlib import Path
import shutil
import unicodedata

import numpy
from PIL import Image
import pytest
import yaml

from conftest import fails, run, settings
from finetune import files
from finetune.data.lines import name
from finetune.data.records import Record
from finetune.names import composed, counted, encoded, shown
from finetune.runs.folder import RunFolder

LATIN = os.fsdecode(b'caf\xe9')
APART = unicodedata.normalize('NFD', 'käfer')
CLASSES = [LATIN, 'b_{$x^^$}\\frac{%', 'new\nline', 'cr\rx', 'a\x85b', APART, 'null',
           'l' * 250]


def test_shown_is_one_line_of_text():
    assert shown(f'{LATIN}/new\nline\x1b') == 'caf\\xe9/new\\nline\\x1b'
    assert shown('a\u2028käfer 鸟') == 'a\\u2028käfer 鸟'
    assert shown('a\\$_%') == 'a\\$_%'
    assert shown(os.fsdecode(b'\xff\x00')) == '\\xff\\x00'


def test_counted_is_singular_for_one():
    assert [counted(n, 'run is', 'runs are') for n in (0, 1, 2)] == [
        '0 runs are', '1 run is', '2 runs are']


def test_composed_names_are_equal():
    assert composed(APART) == composed('käfer') == 'käfer' != APART
    assert composed(LATIN + APART) == LATIN + 'käfer'
    assert name(APART) == 'käfer'       # of classes.txt and parts.txt


@pytest.mark.parametrize('name', [f'{kind}/IMG_0 {kind}.png' for kind in CLASSES] + [
    'a.png', '../käfer/50%.png', '/away/a b.png', 'a%20b/1.png'])
def test_own_pictures_are_called_as_on_disk(name):
    path = Path('photos', name)
    assert Record(encoded(Path(name)), path, 0, None, None).title == name
    assert Record('17', path, 0, None, None).title == '17'      # of images.txt


def test_tables_have_every_name(tmp_path):
    """csv leaves a carriage return unquoted, at which its reader then ends the line."""
    rows = [[text, str(i)] for i, text in enumerate([*CLASSES, '"', ',', ' x ', ''])]
    files.write_csv(tmp_path / 'table.csv', rows)
    assert list(files.read_csv(tmp_path / 'table.csv')) == rows
    content = (tmp_path / 'table.csv').read_bytes()
    assert b'\ncaf\xe9,0\n' in b'\n' + content and b'\r\n' not in content
    files.write_csv(tmp_path / 'plain.csv', [('a', 1), ('b c', .5)])
    assert (tmp_path / 'plain.csv').read_bytes() == b'a,1\nb c,0.5\n'


@pytest.fixture
def odd_run(tmp_path, monkeypatch):
    """A run on pictures whose names and classes are odd; the test runs beside it."""
    monkeypatch.chdir(tmp_path)
    random = numpy.random.RandomState(0)
    for kind in CLASSES:
        for i in range(2):
            path = Path('photos', kind, f'{kind[:245]}{i}.png')
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(random.randint(256, size=(40, 40, 3)).astype(numpy.uint8)).save(path)
    tree = settings('photos', data={'dataset': 'folder', 'parts': 'GRID', 'test_share': .5},
                    training={'epochs': 1})
    Path('config.yml').write_text(yaml.safe_dump(tree))
    assert run('train', 'config.yml') == 0
    return Path('results/photos/config/seed0')


@pytest.mark.filterwarnings('ignore:Glyph')         # no font has all characters
def test_odd_names_come_back(odd_run, capsys):
    paths = sorted(map(str, Path('photos').rglob('*.png')))
    drawn = [path for path in paths if path.endswith('0.png')]
    names = set(map(composed, CLASSES))
    assert set(RunFolder(odd_run).read_names().class_names) == names
    predictions = RunFolder(odd_run).read_predictions()
    assert set(predictions['label']) <= names
    assert len(predictions['image']) and all(
        Path('photos', name).is_file() for name in predictions['image'])
    for arguments in (
            ('doctor', 'config.yml'), ('evaluate', odd_run), ('export', odd_run, 'odd.onnx'),
            ('predict', odd_run, 'photos', '--output', 'answers.csv', '--top', 99),
            ('predict', odd_run, *drawn, '--output', 'answers.json', '--pictures', 'drawn'),
            ('visualize', 'parts', 'config.yml', '--images', 4),
            ('visualize', 'mixture', odd_run, '--images', 2), ('visualize', 'confusion', odd_run)):
        assert run(*arguments) == 0, arguments
    header, *rows = files.read_csv('answers.csv')
    assert {row[0] for row in rows} == set(paths) and {row[2] for row in rows} == names
    answers = json.loads(Path('answers.json').read_text(encoding='utf-8'))
    assert {answer['image'] for answer in answers['images']} == set(drawn)
    assert len(list(Path('drawn').iterdir())) == len(drawn)
    capsys.readouterr()
    assert run('predict', odd_run, 'photos') == 0
    printed = capsys.readouterr().out
    assert printed.count('\n') == len(paths) and 'photos/caf\\xe9/caf\\xe91.png ' in printed
    assert 'photos/new\\nline/new\\nline0.png ' in printed
    # The data set is copied to, and the run from, a file system of the other form.
    Path('photos', APART).rename(Path('photos/käfer'))
    names = yaml.safe_load((odd_run / 'names.yml').read_text())
    names['classes'] = [unicodedata.normalize('NFD', kind) for kind in names['classes']]
    (odd_run / 'names.yml').write_text(yaml.safe_dump(names))
    assert run('visualize', 'confusion', odd_run) == 0


def test_parts_of_a_picture_listed_in_another_form(finished_run, drawn_birds, tmp_path,
                                                   monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copy(next(drawn_birds.rglob('*.png')), f'{APART}.png')
    table = [['image', ' part', 'x', ' y '], ['käfer.png', 'beak', 20, 20]]
    with open('parts.csv', 'w', newline='', encoding='utf-16') as file:
        csv.writer(file).writerows(table)
    command = 'predict', finished_run, f'{APART}.png', '--parts', 'parts.csv'
    assert 'parts.csv: is in UTF-16; save it as UTF-8' in fails(capsys, *command)
    with open('parts.csv', 'w', newline='', encoding='utf-8') as file:
        csv.writer(file).writerows(table)
    assert run(*command) == 0
    assert capsys.readouterr().err == ''        # nothing of hidden parts


def test_names_cannot_turn_the_line_around():
    assert shown('a\u202egnp\u2066') == 'a\\u202egnp\\u2066'
    assert shown('👨\u200d👩') == '👨\u200d👩'
