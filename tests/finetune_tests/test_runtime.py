"""``runtime``: the table adds up, and a row shows what it stands for and nothing else."""
import functools
import os
from pathlib import Path
import re

import chainer
from chainer.testing import attr
import pytest

from finetune import cli
from finetune.checks import runtime
from finetune.data.dataset import PartDataset
from finetune.report import published
from fve_layer import encoding, gmm


def print_table(capsys, *arguments):
    """What the command prints: for every row its numbers, the published ones last."""
    assert cli.main(['runtime', *arguments]) == 0
    matches = re.findall(r'^ *([A-Za-z][\w ,]*?) +([\d.]+) \+- +([\d. ]+)$',
                         capsys.readouterr().out, re.MULTILINE)
    return {name: [float(mean), *map(float, rest.split())] for name, mean, rest in matches}


def rows(capsys, *arguments):
    """Mean and share of every row that the command prints."""
    return {name: (mean, share)
            for name, (mean, _, share, *_) in print_table(capsys, *arguments).items()}


def test_rows_add_up(write_config, capsys, tmp_path):
    config = write_config()
    before = set(os.listdir(tmp_path))
    table = rows(capsys, config, '--steps', '2')
    assert set(os.listdir(tmp_path)) == before
    step = table['training step'][0]
    assert table['training step'][1] == 100
    parts = sum(table[name][0] for name in (
        'waiting for images', 'forward pass', 'backward pass', 'update of the weights'))
    assert .8 * step < parts <= 1.001 * step
    layer = table['update of the mixture'][0] + table['Fisher vector, forward'][0]
    assert layer == pytest.approx(table['layer, forward'][0], abs=.02)
    assert layer < table['forward pass'][0]
    assert table['Fisher vector, backward'][0] < table['backward pass'][0]
    for mean, share in table.values():
        assert share == pytest.approx(100 * mean / step, abs=.1)


@pytest.mark.parametrize('owner, method, shown', [
    (PartDataset, 'get_example', ['waiting for images']),
    (encoding, 'encode', ['forward pass', 'layer, forward', 'Fisher vector, forward',
                           'layer in all']),
    (encoding, 'encode_vjp', ['backward pass', 'Fisher vector, backward', 'layer in all']),
    (gmm, 'm_step', ['forward pass', 'layer, forward', 'update of the mixture', 'layer in all']),
    (chainer.optimizers.RMSprop, 'update', ['update of the weights'])])
def test_row_shows_what_it_stands_for(owner, method, shown, write_config, capsys, monkeypatch):
    now = [0.]      # a clock that stands still everywhere else
    original = getattr(owner, method)

    def timed(*arguments, **options):
        now[0] += .05
        return original(*arguments, **options)

    monkeypatch.setattr(runtime.time, 'perf_counter', lambda: now[0])
    monkeypatch.setattr(owner, method, timed)
    table = rows(capsys, write_config(training={'batch_size': 1}), '--steps', '2')
    assert {name for name in table if table[name] == (50, 100)} == {'training step', *shown}
    assert {table[name] for name in set(table) - {'training step', *shown}} == {(0, 0)}


def test_without_a_fisher_vector(write_config, capsys):
    assert 'layer in all' not in rows(capsys, write_config(
        data={'missing': 'zero'}, model={'encoding': 'gap'}), '--steps', '2')
    assert 'training step' in rows(capsys, write_config(
        data={'parts': 'GLOBAL'}, model={'encoding': 'gap'}), '--steps', '2')


def published_numbers(capsys, config):
    """Published milliseconds and per cent by the rows beside which they stand."""
    table = print_table(capsys, config, '--steps', '2')
    return {name: numbers[3:] for name, numbers in table.items() if len(numbers) > 3}


def test_step_is_the_updaters_with_mixed_precision(write_config, capsys, monkeypatch):
    scales, backward = [], chainer.Variable.backward

    def record(self, *args, loss_scale=None, **kwargs):
        scales.append(loss_scale)
        backward(self, *args, loss_scale=loss_scale, **kwargs)

    monkeypatch.setattr(chainer.Variable, 'backward', record)
    rows(capsys, write_config(training={'dtype': 'mixed16'}), '--steps', '2')
    assert scales and all(scale and scale >= 1 for scale in scales)


def test_published_numbers_are_those_of_the_file(write_config, capsys, tmp_path, monkeypatch):
    config = write_config()
    assert published_numbers(capsys, config) == {
        'training step': [270, 100], 'update of the mixture': [3, 1.11],
        'Fisher vector, forward': [9.5, 3.52], 'layer in all': [12.5, 4.63]}
    text = Path(published.PATH).read_text(encoding='utf-8')
    for old, new in (('270.0', '500.0'), ('3.0', '6.0'), ('9.5', '22.5')):
        assert text.count(f'milliseconds: {old},') == 1
        text = text.replace(f'milliseconds: {old},', f'milliseconds: {new},')
    (tmp_path / 'changed.yml').write_text(text, encoding='utf-8')
    monkeypatch.setattr(published, 'read', functools.partial(
        published.read, tmp_path / 'changed.yml'))
    assert published_numbers(capsys, config) == {
        'training step': [500, 100], 'update of the mixture': [6, 1.2],
        'Fisher vector, forward': [22.5, 4.5], 'layer in all': [28.5, 5.7]}


@attr.gpu
def test_gpu(write_config, capsys):
    table = rows(capsys, write_config(), '--steps', '2', '--gpu', '0')
    assert 0 < table['layer in all'][0] < table['training step'][0]


def test_stopwatch_sums_spans_of_a_step(monkeypatch):
    stopwatch = runtime.Stopwatch(chainer.get_device('@numpy'))
    marks = iter(range(100))
    monkeypatch.setattr(stopwatch, 'now', lambda: next(marks))
    for _ in range(2):
        with stopwatch.step():
            for _ in range(3):
                with stopwatch.span('a'):
                    pass
    times = stopwatch.milliseconds()
    assert times['a'].tolist() == [3000, 3000]
    assert times['training step'].tolist() == [7000, 7000]
