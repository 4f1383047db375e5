"""The conventional pipeline: features, PCA, mixture, Fisher vectors and SVM against naive ones."""
import csv
from pathlib import Path

import chainer
import numpy
import pytest
from sklearn.mixture import GaussianMixture
from sklearn.svm import LinearSVC
import yaml

from finetune import cli, config
from finetune.conventional import features, pipeline
from finetune.data import data_sets
from finetune.data.dataset import PartDataset, collate
from finetune.models.small_cnn import SmallCNN
from finetune.training import trainer

K, SIZE = 3, 8


def run(*arguments):
    return cli.main([str(argument) for argument in arguments])


@pytest.fixture
def configs(write_config):
    """A CNN to be fine-tuned, and the pipeline on its features."""
    write_config('cnn.yml', model={'encoding': 'gap'}, data={'missing': 'zero'},
                 training={'epochs': 1})
    return write_config('separate.yml', training={'joint': False},
                        model={'pretrained': 'cnn.yml', 'n_components': K, 'pca_size': SIZE,
                               'normalization': 'sqrt'})


@pytest.fixture
def small_shards(monkeypatch):
    monkeypatch.setattr(features, 'SHARD_SIZE', 3)


def stored(split, name):
    """An array of the features on disk, all files of it."""
    folder, = Path('results/cnn/seed0').glob('features*')
    return numpy.concatenate([numpy.load(path)[name]
                              for path in sorted(folder.glob(f'{split}_*.npz'))])


def raw_features(split):
    """Local features of a split by the CNN itself, one image at a time, and which of them count."""
    settings = config.load('separate.yml')
    lists = data_sets.load(settings.data)
    model, _, _, device = trainer.load_run('results/cnn/seed0')
    dataset = PartDataset(getattr(lists, split), settings.data, train=False, seed=0)
    for i in range(len(dataset)):
        img, crops, visible, _ = collate([dataset[i]], device)
        with chainer.using_config('train', False), chainer.no_backprop_mode():
            maps = model.part_cnn.conv_map(crops).array if len(crops) else numpy.zeros((0, 96, 4, 4))
            image = model.global_cnn.conv_map(img).array.mean(axis=(0, 2, 3))
        x = maps.transpose(0, 2, 3, 1).reshape(-1, maps.shape[1])
        norm = numpy.linalg.norm(x.astype(numpy.float64), axis=1)
        yield x, norm > norm.mean() if len(x) else norm > 0, image, visible.sum()


def naive_fisher_vector(x, mean, var, weight):
    """Eqs. 13 and 14, then power and L2 normalisation, feature by feature."""
    mu, sigma = numpy.zeros((K, SIZE)), numpy.zeros((K, SIZE))
    for one in x:
        log_p = [numpy.log(weight[k]) - .5 * (numpy.log(2 * numpy.pi * var[k])
                                              + (one - mean[k]) ** 2 / var[k]).sum()
                 for k in range(K)]
        p = numpy.exp(log_p - numpy.max(log_p))
        p /= p.sum()
        for k in range(K):
            u = (one - mean[k]) / numpy.sqrt(var[k])
            mu[k] += p[k] * u
            sigma[k] += p[k] * (u ** 2 - 1)
    mu /= numpy.sqrt(max(len(x), 1) * weight[:, None])
    sigma /= numpy.sqrt(2 * max(len(x), 1) * weight[:, None])
    fv = numpy.concatenate([mu.ravel(), sigma.ravel()])
    fv = numpy.sign(fv) * numpy.sqrt(numpy.abs(fv))
    return fv / max(numpy.linalg.norm(fv), 1e-12)


def test_features_are_those_of_the_cnn_after_pca(configs, small_shards):
    assert run('conventional', configs) == 0
    folder, = Path('results/cnn/seed0').glob('features*')
    assert len(list(folder.glob('train_*.npz'))) == 3 and len(list(folder.glob('test_*.npz'))) == 2    # of 4
    pca = numpy.load(folder / 'pca.npz')
    every, counting = [], []
    for split in ('train', 'test'):
        x, counts = stored(split, 'x'), stored(split, 'counts')
        image, n_visible = stored(split, 'image'), stored(split, 'n_visible')
        assert len(x) == {'train': 12, 'test': 6}[split]
        for i, (raw, which, whole, n) in enumerate(raw_features(split)):
            expected = (raw[which] - pca['mean']) @ pca['components'].T
            numpy.testing.assert_allclose(x[i][counts[i]], expected, atol=1e-4)
            numpy.testing.assert_allclose(image[i], whole, rtol=1e-4, atol=1e-5)
            assert n_visible[i] == n
            if split == 'train':
                counting.append(raw[which].astype(numpy.float64))
    every = numpy.concatenate(counting)
    every -= every.mean(axis=0)
    directions = numpy.linalg.svd(every, full_matrices=False)[2][:SIZE]
    cosines = numpy.linalg.svd(directions @ pca['components'].T, compute_uv=False)
    numpy.testing.assert_allclose(cosines, 1, atol=1e-3)    # the same subspace


def test_prediction_is_that_of_naive_fisher_vectors(configs):
    assert run('conventional', configs) == 0
    out = Path('results/separate/seed0')
    model = numpy.load(out / 'model.npz')
    train, test = (
        numpy.array([naive_fisher_vector(x[counts].astype(numpy.float64), model['mean'],
                                         model['var'], model['weight'])
                     for x, counts in zip(stored(split, 'x'), stored(split, 'counts'))])
        for split in ('train', 'test'))
    lists = data_sets.load(config.load(configs).data)
    svm = LinearSVC(C=1, dual=True, max_iter=10000, random_state=0)
    svm.fit(train, [record.label for record in lists.train])
    numpy.testing.assert_allclose(svm.coef_, model['accuracy_parts/W'], atol=2e-3)
    rows = list(csv.DictReader(open(out / 'predictions.csv', newline='')))
    assert [row['predicted_parts'] for row in rows] == [lists.class_names[i]
                                                        for i in svm.predict(test)]
    evaluation = yaml.safe_load((out / 'evaluation.yml').read_text())
    for key in ('', '_global', '_parts'):
        assert evaluation[f'accuracy{key}'] == pytest.approx(numpy.mean(
            [row[f'predicted{key}'] == row['label'] for row in rows]))


def test_mixture_is_that_of_scikit_learn(configs):
    assert run('conventional', configs) == 0
    x = stored('train', 'x')[stored('train', 'counts')].astype(numpy.float64)
    model = numpy.load('results/separate/seed0/model.npz')
    found = GaussianMixture(K, covariance_type='diag')
    found.means_, found.covariances_, found.weights_ = (model[name]
                                                        for name in ('mean', 'var', 'weight'))
    found.precisions_cholesky_ = 1 / numpy.sqrt(model['var'])
    fitted = GaussianMixture(K, covariance_type='diag', reg_covar=1e-3, max_iter=200, n_init=5,
                             random_state=1).fit(x)
    assert found.score(x) > fitted.score(x) - .02 * abs(fitted.score(x))
    again = GaussianMixture(K, covariance_type='diag', reg_covar=1e-3, max_iter=200, tol=1e-3,
                            means_init=model['mean'], weights_init=model['weight'],
                            precisions_init=1 / model['var']).fit(x)
    assert again.score(x) - found.score(x) < .01 * abs(found.score(x))  # EM had converged


def test_parameters_are_those_that_predict(configs):
    assert run('conventional', configs) == 0
    evaluation = yaml.safe_load(Path('results/separate/seed0/evaluation.yml').read_text())
    cnn = SmallCNN()
    n_features, n_classes = cnn.n_features, 3
    assert evaluation['n_parameters'] == (
        2 * cnn.count_params() + n_features * (SIZE + 1) + K * (2 * SIZE + 1)
        + n_classes * (2 * K * SIZE + n_features + 1))


def bytes_of(folder):
    return {path.name: path.read_bytes() for path in Path(folder).glob('*.npz')}


def test_interrupted_extraction_goes_on(configs, small_shards, monkeypatch):
    assert run('conventional', configs) == 0
    folder, = Path('results/cnn/seed0').glob('features*')
    whole = bytes_of(folder)
    evaluation = Path('results/separate/seed0/evaluation.yml').read_text()
    for path in ('train_00002.npz', 'test_00000.npz', 'test_00001.npz'):
        (folder / path).unlink()
    for path in Path('results/separate/seed0').iterdir():
        path.unlink()
    times = {path.name: path.stat().st_mtime_ns for path in folder.glob('*.npz')}
    n_images = []
    extract = features.Extractor.extract

    def counting(self, records, n):
        n_images.append(len(records))
        return extract(self, records, n)
    monkeypatch.setattr(features.Extractor, 'extract', counting)
    assert run('conventional', configs) == 0
    assert n_images == [4, 6]
    assert bytes_of(folder) == whole
    assert all((folder / name).stat().st_mtime_ns == time for name, time in times.items())
    assert Path('results/separate/seed0/evaluation.yml').read_text() == evaluation


def test_features_are_shared_by_all_numbers_of_components(configs, monkeypatch, capsys):
    assert run('conventional', configs) == 0
    monkeypatch.setattr(features.Extractor, 'extract', None)
    monkeypatch.setattr(features.Extractor, 'fit_pca', None)
    assert run('train', configs, '--set', 'model.n_components=2', '--output', 'two') == 0
    assert 'test accuracy' in capsys.readouterr().out
    assert numpy.load('two/model.npz')['mean'].shape == (2, SIZE)
    before = bytes_of('two')
    assert run('train', configs, '--set', 'model.n_components=2', '--output', 'two') == 0
    assert bytes_of('two') == before


def test_memory_does_not_grow_with_the_data_set(configs, small_shards, monkeypatch):
    """No more than a file's images and a batch are held while features are extracted."""
    held = []
    save = features.results.save_arrays
    monkeypatch.setattr(features.results, 'save_arrays', lambda path, **arrays: (
        held.append(len(arrays.get('x', []))), save(path, **arrays)))
    assert run('conventional', configs) == 0
    assert max(held) == 4
    monkeypatch.setattr(pipeline, 'MIXTURE_SAMPLE', 30)
    settings = config.load(configs)
    store, _ = pipeline._features(settings, data_sets.load(settings.data))
    assert len(pipeline._sample(store, 0, 3)) == 30


def test_a_config_of_joint_learning(write_config, capsys):
    assert run('conventional', write_config()) == 2
    assert 'training.joint is true; use the command train' in capsys.readouterr().err


def test_cnn_of_other_data(configs, write_config, capsys):
    assert run('train', 'cnn.yml') == 0
    write_config('separate.yml', training={'joint': False}, data={'part_ratio': .5},
                 model={'pretrained': 'cnn.yml'})
    assert run('train', 'separate.yml') == 2
    assert 'another data.part_ratio' in capsys.readouterr().err
    assert not Path('results/separate').exists()


def test_more_components_than_features(configs, capsys):
    assert run('train', configs, '--set', 'model.n_components=4000') == 2
    assert 'model.n_components is 4000, but' in capsys.readouterr().err


def test_there_is_no_network_to_look_at(configs, capsys):
    assert run('train', configs) == 0
    capsys.readouterr()
    assert run('visualize', 'mixture', 'results/separate/seed0') == 2
    error = capsys.readouterr().err
    assert 'conventional pipeline' in error and 'cnn.yml' in error
