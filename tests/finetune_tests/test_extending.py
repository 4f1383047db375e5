"""What docs/extending.md adds can be added as it says: a file and a row, and it trains."""
from importlib import import_module
from importlib.util import find_spec
import json
import os
from pathlib import Path
import re
import shutil
import subprocess
import sys

import numpy
import pytest
import yaml

from finetune import cli
from finetune.config import catalogue
from finetune.data import annotation_files

PROJECT = Path(__file__).resolve().parents[2]
PAGE = PROJECT / 'docs/extending.md'
SECTIONS = dict(re.findall(r'^## (.*?)\n(.*?)(?=^## |\Z)', PAGE.read_text(encoding='utf-8'),
                           re.MULTILINE | re.DOTALL))


@pytest.fixture
def add(tmp_path, monkeypatch):
    """Adds the file and the row of a section of the page to the program."""
    def add_section(title):
        code, = re.findall(r'```python\n(.*?)```', SECTIONS[title], re.DOTALL)
        package, name = re.search(r'This is \*\*finetune/(\w+)/(\w+)\.py', SECTIONS[title]).groups()
        package = import_module(f'finetune.{package}')
        table, row = re.search(r'^@@ (\w+) @@\n\+ +(.*)$', SECTIONS[title], re.MULTILINE).groups()
        (tmp_path / 'added').mkdir()
        (tmp_path / 'added' / f'{name}.py').write_text(code)
        monkeypatch.setattr(package, '__path__', [*package.__path__, str(tmp_path / 'added')])
        monkeypatch.delitem(sys.modules, f'{package.__name__}.{name}', raising=False)
        (key, value), = eval(f'{{{row}}}', vars(catalogue)).items()
        monkeypatch.setitem(getattr(catalogue, table), key, value)
        return key
    return add_section


def train(config):
    assert cli.main(['train', config, '--dry-run']) == 0
    assert cli.main(['train', config]) == 0
    evaluation = yaml.safe_load(Path('results/config/seed0/evaluation.yml').read_text())
    return evaluation['accuracy'], evaluation['n_parameters']


def test_cnn(add, write_config, capsys):
    name = add('A CNN')
    config = write_config(model={'architecture': name}, training={'epochs': 1})
    accuracies, n_parameters = train(config)
    assert set(accuracies) == {'both', 'global', 'parts'}
    n_features, n_classes, n_components = 12, 3, 2
    cnn = n_features * (3 * 8 * 8 + 1)
    heads = n_classes * (n_features + 1 + 2 * n_components * n_features + 1)
    assert n_parameters == 2 * cnn + heads
    assert f'2 x {n_features} x 4 x 4' in capsys.readouterr().out
    assert cli.main(['train', config, '--set', 'data.input_size=15']) == 2


def test_encoding(add, write_config, capsys):
    name = add('An encoding')
    config = write_config(model={'encoding': name}, training={'epochs': 1})
    accuracies, _ = train(config)
    assert set(accuracies) == {'both', 'global', 'parts'}
    assert cli.main(['evaluate', 'results/config/seed0']) == 0
    assert cli.main(['runtime', config, '--steps', '2']) == 0
    if find_spec('onnx'):
        assert cli.main(['export', 'results/config/seed0', 'model.onnx']) == 0
    capsys.readouterr()
    assert cli.main(['train', config, '--set', 'model.n_components=3']) == 2
    assert 'has no effect without model.encoding fve or gradient_fve' in capsys.readouterr().err
    assert cli.main(['visualize', 'mixture', 'results/config/seed0']) == 2
    assert 'no mixture to inspect' in capsys.readouterr().err
    assert cli.main(['visualize', 'confusion', 'results/config/seed0']) == 0


@pytest.fixture
def extended(tmp_path):
    """Runs commands of a copy of the program with the file and the lines of a section."""
    def extend(title):
        program = tmp_path / 'program'
        shutil.copytree(PROJECT / 'finetune', program / 'finetune')
        code, = re.findall(r'```python\n(.*?)```', SECTIONS[title], re.DOTALL)
        new, = re.findall(r'This is \*\*(.*?)\*\*', SECTIONS[title])
        (program / new).write_text(code)
        for changed, name, line in re.findall(r'^\+\+\+ b/(.*)\n@@ (\w+) @@\n\+(.*\n)',
                                              SECTIONS[title], re.MULTILINE):
            before = (program / changed).read_text()
            after = re.sub(rf'^(?:class )?{name}\b.*[:{{]\n(?: +""".*\n)?',
                           lambda head: head[0] + line, before, flags=re.MULTILINE)
            assert len(after) == len(before) + len(line)
            (program / changed).write_text(after)
        path = os.pathsep.join(map(str, (program, PROJECT)))

        def run(*arguments):
            return subprocess.run([sys.executable, '-m', 'finetune', *arguments],
                                  env={**os.environ, 'PYTHONPATH': path}, text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return run
    return extend


def test_step(extended, write_config):
    run = extended('A step after the encoding')
    config = write_config(model={'clipping': .5}, training={'epochs': 1})
    done = run('train', config, '--dry-run')
    size = 2 * 2 * catalogue.ARCHITECTURES['small_cnn'].n_features
    assert re.search(rf'encoding +2 x {size}\nclipping +2 x {size}\nscaling', done.stdout)
    for options in ((), ('--output', 'plain', '--set', 'model.clipping=0')):
        done = run('train', config, *options)
        assert done.returncode == 0, done.stdout
    weights = [numpy.load(Path(folder, 'model.npz'))['part_head/W']
               for folder in ('results/config/seed0', 'plain')]
    assert weights[0].shape == weights[1].shape and (weights[0] != weights[1]).any()
    if find_spec('onnx'):
        done = run('export', 'results/config/seed0', 'model.onnx')
        assert done.returncode == 0, done.stdout
    done = run('train', config, '--set', 'model.encoding=gap', '--set', 'model.clipping=1')
    assert done.returncode == 2 and ('model.clipping has no effect without model.encoding fve '
                                     'or gradient_fve and training.method joint') in done.stdout


def test_kind_of_parts(add, write_config, birds, capsys):
    name = add('A kind of parts')
    config = write_config(data={'parts': name}, training={'epochs': 1})
    accuracies, _ = train(config)
    assert set(accuracies) == {'both', 'global', 'parts'}
    assert 'parts 4' in capsys.readouterr().out
    cli.main(['doctor', config])
    assert '4 parts, 100 % of them visible' in capsys.readouterr().out
    assert cli.main(['visualize', 'parts', config, '--images', '2']) == 0
    assert cli.main(['evaluate', 'results/config/seed0']) == 0
    capsys.readouterr()
    picture = next((birds / 'images').rglob('*.png'))
    command = 'predict', 'results/config/seed0', str(picture), '--output', 'answer.json'
    assert cli.main(command) == 0
    answer, = json.loads(Path('answer.json').read_text())['images']
    assert [part['box'] for part in answer['parts']] == [
        [0, 0, 24, 24], [0, 24, 24, 48], [24, 0, 48, 24], [24, 24, 48, 48]]
    assert cli.main(['train', config, '--set', 'data.n_parts=3', '--output', 'three']) == 0
    assert cli.main(['train', config, '--set', 'data.part_ratio=.5']) == 2
    assert 'has no effect without boxes around points' in capsys.readouterr().err


def test_data_set(add, write_config, birds, capsys):
    name = add('A data set')
    data_set = annotation_files.read_cub(birds)
    lines = [f'{record.path.relative_to(birds)} {data_set.class_names[record.label]} {split}'
             for split, records in (('train', data_set.train), ('test', data_set.test))
             for record in records]
    (birds / 'list.txt').write_text('\n'.join(lines))
    config = write_config(data={'dataset': name, 'parts': 'GLOBAL'}, model={'encoding': 'gap'},
                          training={'epochs': 1})
    accuracies, _ = train(config)
    assert set(accuracies) == {'both'}
    assert 'classes 3, training images 12, test images 6, parts 0' in capsys.readouterr().out
    assert cli.main(['doctor', config]) == 0
    assert 'all 18 images exist' in capsys.readouterr().out
    assert cli.main(['visualize', 'parts', config, '--images', '2']) == 0
    (birds / 'list.txt').write_text('a.png finch')
    assert cli.main(['train', config, '--output', 'other']) == 2
    assert 'list.txt, line 1: has 2 columns instead of 3' in capsys.readouterr().err
