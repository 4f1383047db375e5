"""The program on a GPU: every way through it, beside the CPU."""
import json
from pathlib import Path

from chainer.testing import attr
import numpy
from numpy.testing import assert_allclose
import pytest

from conftest import fails, run
from finetune import files
from finetune.runs.folder import RunFolder

PATHS = {
    'fve': {},
    'fve, 3 components, not filtered': {'model': {'n_components': 3, 'norm_filter': False}},
    'zero': {'data': {'missing': 'zero'}},
    'centre': {'data': {'missing': 'centre'}},
    'gradient_fve': {'model': {'encoding': 'gradient_fve'}},
    'gap': {'data': {'missing': 'zero'}, 'model': {'encoding': 'gap'}},
    'no parts': {'data': {'parts': 'GLOBAL'}, 'model': {'encoding': 'gap'}},
    'whole image': {'data': {'parts': 'GLOBAL'}},
    'tiles': {'data': {'parts': 'GRID'}},
    'l2, compressed, auxiliary head': {
        'model': {'power_normalize': True, 'component_normalize': True, 'l2_normalize': True,
                  'comp_size': 16, 'post_fve_size': 8, 'aux_lambda': .5}},
    'workers': {'training': {'workers': 1}},
    'recomputed': {'training': {'recompute': True}},
    'adam': {'training': {'optimizer': 'adam'}},
}


def losses(folder):
    return [entry['main/loss'] for entry in json.loads((folder / 'log').read_text())]


@attr.gpu
@pytest.mark.parametrize('name', PATHS)
def test_training_is_that_of_the_cpu(name, write_config):
    """To what float32 leaves of it after four updates."""
    config = write_config(**PATHS[name])
    assert run('train', config, '--output', 'cpu') == 0
    assert run('train', config, '--gpu', 0, '--output', 'gpu') == 0
    assert_allclose(losses(Path('gpu')), losses(Path('cpu')), rtol=1e-3)
    of_cpu, of_gpu = (files.read_arrays(f'{where}/model.npz') for where in ('cpu', 'gpu'))
    assert of_gpu.keys() == of_cpu.keys()
    for key, array in of_cpu.items():
        assert_allclose(of_gpu[key], array, atol=3e-3 * max(abs(array).max(), 1), err_msg=key)


@attr.gpu
def test_mixed_precision(write_config):
    assert run('train', write_config(training={'dtype': 'mixed16'}), '--gpu', 0) == 0
    arrays = files.read_arrays('results/config/seed0/model.npz')
    assert all(numpy.isfinite(array).all() for array in arrays.values())


@attr.gpu
def test_trained_model_is_used(write_config, finished_run, copy_of, birds, capsys):
    """By every command, with the results that the CPU has."""
    folder = copy_of(finished_run)
    write_config()
    before = RunFolder(folder).read_evaluation()
    assert run('evaluate', folder, '--gpu', 0) == 0
    after = RunFolder(folder).read_evaluation()
    assert after['accuracy'] == before['accuracy']
    assert after['loss'] == pytest.approx(before['loss'], rel=1e-4)
    Path('parts.csv').write_text('image,part,x,y\n' + ''.join(
        f'{path},beak,20,20\n' for path in (birds / 'images').rglob('*.png')))
    answers = {}
    for gpu in (-1, 0):
        assert run('predict', folder, birds / 'images', '--parts', 'parts.csv', '--gpu', gpu,
                   '--output', f'gpu{gpu}.json', '--pictures', f'pictures{gpu}') == 0
        answers[gpu] = [row['probability'] for image in json.loads(
            Path(f'gpu{gpu}.json').read_text())['images'] for row in image['classes']]
    assert_allclose(answers[0], answers[-1], rtol=1e-3)
    assert run('visualize', 'mixture', folder, '--gpu', 0) == 0
    assert run('visualize', 'confusion', folder, '--gpu', 0) == 0
    assert run('runtime', 'config.yml', '--gpu', 0, '--steps', 2) == 0
    run('doctor', 'config.yml', '--gpu', 0)
    assert 'GPU 0 computes a kernel' in capsys.readouterr().out


@attr.gpu
def test_parts_are_found_and_features_kept(write_config):
    """CS-Parts and the conventional pipeline."""
    write_config('cnn.yml', data={'parts': 'GLOBAL'}, model={'encoding': 'gap'})
    detector = {'cnn': 'cnn.yml', 'input_size': 32, 'sigma': 1, 'smallest_box': 8, 'svm_c': 10}
    config = write_config('cs.yml', data={'parts': 'CS_PARTS', 'box_frame': 32}, detector=detector)
    assert run('train', config, '--gpu', 0) == 0
    write_config('gap.yml', data={'missing': 'zero'}, model={'encoding': 'gap'})
    config = write_config('separate.yml', training={'method': 'conventional'},
                          model={'pretrained': 'gap.yml', 'pca_size': 8})
    assert run('train', config, '--gpu', 0) == 0


@attr.gpu
def test_gpu_that_is_not_there(write_config, capsys):
    assert 'GPU cannot be used' in fails(capsys, 'train', write_config(), '--gpu', 63)
