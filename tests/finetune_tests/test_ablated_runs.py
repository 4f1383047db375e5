"""Runs with ``model.ablation``; the layers have tests of their own."""
import pytest

from conftest import fails, run
from finetune.config.catalogue import ABLATIONS


@pytest.mark.parametrize('name', ABLATIONS)
def test_ablation_of_a_run(name, write_config, capsys):
    config = write_config(model={'ablation': name, 'n_components': 2}, training={'epochs': 1})
    assert run('train', config) == 0 and run('evaluate', 'results/config/seed0') == 0
    assert f'model.ablation {name} cannot be exported' in fails(
        capsys, 'export', 'results/config/seed0', 'out.onnx')


def test_ablations_are_of_the_layer_that_learns_by_em(write_config, capsys):
    assert 'model.ablation has no effect without model.encoding fve' in fails(
        capsys, 'train', write_config(model={'ablation': 'frozen', 'encoding': 'gradient_fve'}))
