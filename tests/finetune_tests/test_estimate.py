"""What is told before a run starts: its stages, about how long they take, at no cost to results."""
import json
import random
import re

import chainer
import numpy
import pytest

from conftest import GAP, run
from finetune.config.config import read_config
from finetune.data import readers
from finetune.errors import InputError
from finetune.experiments import estimate
from finetune.progress import in_words
from finetune.runs.folder import RunFolder
from finetune.runs.opening import open_device

FOUND = {'data': {'parts': 'CS_PARTS', 'box_frame': 32, 'missing': 'zero'},
         'model': {'encoding': 'gap'},
         'detector': {'cnn': 'cnn.yml', 'input_size': 32, 'n_parts': 2, 'smallest_box': 8,
                      'columns': 'position'}}


@pytest.fixture
def told(monkeypatch):
    monkeypatch.setattr(estimate, 'SILENT_SECONDS', 0)
    monkeypatch.setattr(estimate, 'QUICK_SECONDS', .01)


def test_results_are_the_same_bits(told, write_config, capsys):
    config = write_config()
    assert run('train', config) == 0
    assert 'in all' in capsys.readouterr().out
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(estimate, 'tell', lambda *arguments: None)
        assert run('train', config, '--output', 'other') == 0
    for file in 'model.npz', 'predictions.csv':
        assert RunFolder('results/config/seed0').path.joinpath(file).read_bytes() == (
            RunFolder('other').path.joinpath(file).read_bytes())


def test_stages_of_a_run_and_of_those_that_it_needs(told, write_config, capsys):
    write_config('cnn.yml', data={'parts': 'GLOBAL'}, model={'encoding': 'gap'})
    assert run('train', write_config(**FOUND)) == 0
    printed = capsys.readouterr().out
    stages = [re.sub(r'^  \d+ seconds? +', '', line) for line in printed.splitlines()
              if line.startswith('  ')]
    assert stages == ['cnn.yml: training, 2 epochs of 12 images',
                      'cnn.yml: evaluation on 6 images', 'finding parts in 18 images',
                      'training, 2 epochs of 12 images', 'evaluation on 6 images', 'in all']
    assert run('train', 'config.yml') == 0      # finished
    config = read_config('config.yml', ['training.seed=1'])
    estimate.tell(config, readers.load(config), open_device(-1), RunFolder('new'))
    printed = capsys.readouterr().out
    assert printed.count('in all') == 1 and 'finding parts' not in printed


def goes_on(finished_run, copy_of, epochs, elapsed):
    """A copy of a finished run of two epochs without its results; its log has other times."""
    folder = RunFolder(copy_of(finished_run))
    log = folder.path / 'log'
    log.write_text(json.dumps([{**entry, 'elapsed_time': seconds}
                               for entry, seconds in zip(json.loads(log.read_text()), elapsed)]))
    folder.model.unlink()
    return folder, read_config('config.yml', [f'training.epochs={epochs}'])


@pytest.mark.parametrize('epochs, elapsed, expected', [
    (2, [7, 9], []), (5, [100, 300], [('training, epochs 3 to 5 of 12 images', 450)]),
    (4, [], [('training, epochs 3 to 4 of 12 images', 20)])])      # of 40 as measured
def test_what_remains_of_an_interrupted_run(epochs, elapsed, expected, write_config, finished_run,
                                            copy_of, monkeypatch):
    write_config()
    folder, config = goes_on(finished_run, copy_of, epochs, elapsed)
    monkeypatch.setattr(estimate, 'seconds', lambda *arguments: [
        estimate.Stage(name, seconds) for name, seconds in (
            ('ConvMaps', 9), ('training', 40), ('evaluation', 3))])
    stages = estimate.remaining(config, readers.load(config), open_device(-1), folder)
    assert stages == [*expected, ('evaluation', 3)]


def test_finished_and_longer_runs(write_config, finished_run, copy_of, drawn_birds, capsys):
    config = write_config(data={'root': str(drawn_birds)})
    log = copy_of(finished_run) / 'log'
    log.write_text(log.read_text().replace('"elapsed_time": ', '"elapsed_time": 100'))
    assert run('train', config) == 0
    assert 'will be done' not in capsys.readouterr().out
    assert run('train', config, '--set', 'training.epochs=3') == 0
    printed = capsys.readouterr().out
    assert re.search(r'This will be done, .*\n  \d+ \w+ +training, epochs 3 to 3 of 12 images\n'
                     r'  \d+ seconds? +evaluation on 6 images\n  \d+ \w+ +in all\n', printed)


def test_conventional_pipeline(told, write_config):
    write_config('cnn.yml', **GAP)
    write_config(model={'pretrained': 'cnn.yml'}, training={'method': 'conventional'})
    config = read_config('config.yml')
    stages = estimate.seconds(config, readers.load(config), open_device(-1))
    assert [stage.name for stage in stages] == ['features of 18 images, mixture and SVM']


def test_times_add_up(monkeypatch, write_config):
    """One second of loading per image, and two of computing, whatever is computed."""
    monkeypatch.setattr(estimate, '_load', lambda dataset: (1., [dataset[0]]))
    monkeypatch.setattr(estimate, '_timed', lambda work, n, device: work(n) or 2. * n)
    write_config(training={'evaluate_every': 2, 'update_size': 5})
    device = open_device(-1)
    for workers, per_image in (0, 3.), (1, 2.):
        config = read_config('config.yml', [f'training.workers={workers}', 'training.epochs=3'])
        training, evaluation = estimate.seconds(config, readers.load(config), device)
        assert training.seconds == 3 * (12 * per_image + 3 * 2) + 2 * 6 * per_image
        assert evaluation.seconds == 2 * 6 * per_image      # the second time for all other parts


def test_generators_and_chainers_settings_are_as_before(told, write_config):
    config = read_config(write_config())
    data_set = readers.load(config)
    random.seed(3), numpy.random.seed(3)
    expected = random.random(), numpy.random.rand(), chainer.config.train
    random.seed(3), numpy.random.seed(3)
    assert estimate.seconds(config, data_set, open_device(-1))
    assert (random.random(), numpy.random.rand(), chainer.config.train) == expected


@pytest.mark.parametrize('error', [InputError('x'), MemoryError(), OSError('x')])
def test_what_cannot_be_measured_is_not_told(error, told, write_config, monkeypatch, capsys):
    def fail(*arguments):
        raise error

    config = read_config(write_config())
    monkeypatch.setattr(estimate, '_load', fail)
    estimate.tell(config, readers.load(config), open_device(-1), RunFolder('new'))
    assert capsys.readouterr().out == ''


@pytest.mark.parametrize('seconds, text', [
    (0, '1 second'), (1, '1 second'), (1.2, '2 seconds'), (47, '47 seconds'), (89, '89 seconds'),
    (95, '2 minutes'), (3599, '60 minutes'), (5400, '1.5 hours'), (36000, '10 hours')])
def test_in_words(seconds, text):
    assert in_words(seconds) == text


def test_few_long_measurements_and_several_short_ones(monkeypatch):
    device, calls = open_device(-1), []
    clock = iter(numpy.arange(100.) * 7)
    with monkeypatch.context() as patch:
        patch.setattr(estimate.time, 'perf_counter', lambda: next(clock))
        assert estimate._per_image(calls.append, 16, device) == 7 / 2 and calls == [2]
    calls.clear()
    estimate._per_image(calls.append, 16, device)
    assert calls == [2] * estimate.MAX_REPETITIONS + [16] * estimate.MAX_REPETITIONS


def test_stored_conv_maps_are_a_stage(told, write_config):
    write_config(training={'views': 2, 'cnn_lr_factor': 0})
    config = read_config('config.yml')
    stages = estimate.seconds(config, readers.load(config), open_device(-1))
    assert [stage.name for stage in stages] == [
        'ConvMaps of 30 views of images', 'training, 2 epochs of 12 images',
        'evaluation on 6 images']
    assert all(stage.seconds > 0 for stage in stages)
