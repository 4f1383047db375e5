"""``runtime``: the table adds up, and a row shows what it stands for and nothing else."""
import os
import re

import chainer
from chainer.testing import attr
import pytest

from finetune import cli
from finetune.data.dataset import PartDataset
from finetune.training import runtime
from fve_layer import function, gmm


def rows(capsys, *arguments):
    """Mean and share of every row that the command prints."""
    assert cli.main(['runtime', *arguments]) == 0
    matches = re.findall(r'^ *([A-Za-z][\w ,]*?) +([\d.]+) \+- +[\d.]+ +([\d.]+)',
                         capsys.readouterr().out, re.MULTILINE)
    return {name: (float(mean), float(share)) for name, mean, share in matches}


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
    (function, 'encode', ['forward pass', 'layer, forward', 'Fisher vector, forward',
                           'layer in all']),
    (function, 'encode_vjp', ['backward pass', 'Fisher vector, backward', 'layer in all']),
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
