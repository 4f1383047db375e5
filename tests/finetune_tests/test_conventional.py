"""The conventional pipeline: features, PCA, mixture, Fisher vectors and SVM against naive ones."""
import csv
import dataclasses
import itertools
from pathlib import Path
import shutil

import chainer
import numpy
import pytest
from sklearn.mixture import GaussianMixture
from sklearn.svm import LinearSVC
import yaml

from conftest import fails, load, run
from finetune import files
from finetune.config.catalogue import ARCHITECTURES
from finetune.config.config import read_config
from finetune.data import readers
from finetune.data.dataset import collate, PartDataset
from finetune.models import steps
from finetune.models.part_classifier import PartClassifier
from finetune.models.small_cnn import SmallCNN
from finetune.runs.folder import RunFolder
from finetune.runs.opening import open_run
from finetune.training import features, conventional
from finetune.training.conventional import ConventionalPipeline
from finetune.training.joint import JointLearning

K, SIZE = 3, 8
N_FEATURES = ARCHITECTURES['small_cnn'].n_features
CNN, OUT = Path('results/config/seed0'), Path('results/separate/seed0')
SEPARATE = {'training': {'method': 'conventional'},
            'model': {'pretrained': 'config.yml', 'n_components': K, 'pca_size': SIZE,
                      'pca_whiten': False, 'normalization': 'sqrt', 'power_normalize': True,
                      'l2_normalize': True}}
NORMALIZATIONS = 'power_normalize', 'component_normalize', 'l2_normalize'
CPU = chainer.get_device('@numpy')


@pytest.fixture(scope='module')
def finished_pipeline(finished_gap, tmp_path_factory):
    """A folder with a CNN, config.yml, and a finished pipeline on its features, separate.yml."""
    folder = tmp_path_factory.mktemp('separate')
    shutil.copytree(finished_gap.parents[2], folder, dirs_exist_ok=True)
    config = yaml.safe_load((folder / 'config.yml').read_text())
    config = {'data': {**config['data'], 'missing': 'mask'},
              'model': {**config['model'], **SEPARATE['model'], 'encoding': 'fve'},
              'training': SEPARATE['training']}
    (folder / 'separate.yml').write_text(yaml.safe_dump(config))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(features, 'SHARD_SIZE', 3)
        assert run('train', 'separate.yml') == 0
    return folder


@pytest.fixture
def separate(finished_pipeline, tmp_path, monkeypatch):
    """A copy of that folder, in which the test runs; files of features hold a batch, 4 images."""
    monkeypatch.setattr(features, 'SHARD_SIZE', 3)
    monkeypatch.chdir(shutil.copytree(finished_pipeline, tmp_path / 'separate'))
    return 'separate.yml'


@pytest.fixture
def n_reads(monkeypatch):
    """A list with an entry for every time that a data set is read."""
    entries, load = [], readers.load
    monkeypatch.setattr(readers, 'load', lambda *arguments: (
        entries.append(arguments), load(*arguments))[1])
    return entries


def folder_of_features():
    folder, = CNN.glob(f'features*_{SIZE}')
    return folder


def stored(split, name):
    """An array of the features on disk, all files of it."""
    return numpy.concatenate([numpy.load(path)[name]
                              for path in sorted(folder_of_features().glob(f'{split}_*.npz'))])


def open_pipeline(path, overrides=()):
    config = read_config(path, overrides)
    return ConventionalPipeline(config, load(config.data), CPU, RunFolder(CNN))


def raw_features(split):
    """Local features of a split by the CNN itself, one image at a time, and which of them count."""
    settings = read_config('separate.yml')
    model, _, data_set, device = open_run(RunFolder(CNN))
    dataset = PartDataset(getattr(data_set, split), data_set.parts, settings.data, train=False,
                          seed=0)
    for i in range(len(dataset)):
        img, crops, visible, _ = collate([dataset[i]], device)
        with chainer.using_config('train', False), chainer.no_backprop_mode():
            maps = model.part_cnn(crops).array if len(crops) else numpy.zeros((0, N_FEATURES, 4, 4))
            image = model.global_cnn(img).array.mean(axis=(0, 2, 3))
        x = maps.transpose(0, 2, 3, 1).reshape(-1, maps.shape[1])
        norm = numpy.linalg.norm(x.astype(numpy.float64), axis=1)
        yield x, norm > norm.mean() if len(x) else norm > 0, image, visible.sum()


def naive_fisher_vector(x, mean, var, weight):
    """Eqs. 13 and 14, then power and L2 normalisation, feature by feature."""
    mu, sigma = numpy.zeros((K, SIZE)), numpy.zeros((K, SIZE))
    for feature in x:
        log_p = [numpy.log(weight[k]) - .5 * (numpy.log(2 * numpy.pi * var[k])
                                              + (feature - mean[k]) ** 2 / var[k]).sum()
                 for k in range(K)]
        p = numpy.exp(log_p - numpy.max(log_p))
        p /= p.sum()
        for k in range(K):
            u = (feature - mean[k]) / numpy.sqrt(var[k])
            mu[k] += p[k] * u
            sigma[k] += p[k] * (u ** 2 - 1)
    mu /= numpy.sqrt(max(len(x), 1) * weight[:, None])
    sigma /= numpy.sqrt(2 * max(len(x), 1) * weight[:, None])
    fv = numpy.concatenate([mu.ravel(), sigma.ravel()])
    fv = numpy.sign(fv) * numpy.sqrt(numpy.abs(fv))
    return fv / max(numpy.linalg.norm(fv), 1e-12)


def test_features_are_those_of_the_cnn_after_pca(separate):
    folder = folder_of_features()
    # 12 and 6 images
    assert [len(list(folder.glob(f'{split}_*.npz'))) for split in ('train', 'test')] == [3, 2]
    pca = numpy.load(folder / 'pca.npz')
    counting = []
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
    counting = numpy.concatenate(counting)
    counting -= counting.mean(axis=0)
    # Not the directions themselves: those of close variances are as good as each other.
    largest = numpy.linalg.svd(counting, compute_uv=False)[:SIZE] ** 2
    numpy.testing.assert_allclose(
        ((counting @ pca['components'].T) ** 2).sum(), largest.sum(), rtol=1e-4)
    numpy.testing.assert_allclose(
        pca['components'] @ pca['components'].T, numpy.eye(SIZE), atol=1e-5)


def test_prediction_is_that_of_naive_fisher_vectors(separate):
    model = numpy.load(OUT / 'model.npz')
    inputs = {}
    for split in ('train', 'test'):
        fv = numpy.array([naive_fisher_vector(x[counts].astype(numpy.float64), model['mean'],
                                              model['var'], model['weight'])
                          for x, counts in zip(stored(split, 'x'), stored(split, 'counts'))])
        image = stored(split, 'image').astype(numpy.float64)
        image /= numpy.linalg.norm(image, axis=1, keepdims=True)
        inputs[split] = {'both': numpy.concatenate([fv, image], axis=1), 'global': image,
                         'parts': fv}
    data_set = load(read_config(separate).data)
    rows = list(csv.DictReader(open(OUT / 'predictions.csv', newline='')))
    evaluation = yaml.safe_load((OUT / 'evaluation.yml').read_text())
    assert list(rows[0]) == ['image', 'n_visible', 'label', 'both', 'global', 'parts']
    assert set(evaluation) == {'accuracy', 'n_parameters', 'data'}
    for stream in ('both', 'global', 'parts'):
        svm = LinearSVC(C=1, dual=True, max_iter=10000, random_state=0)
        svm.fit(inputs['train'][stream], [record.label for record in data_set.train])
        numpy.testing.assert_allclose(svm.coef_, model[f'{stream}/W'], atol=2e-3)
        assert [row[stream] for row in rows] == [
            data_set.class_names[i] for i in svm.predict(inputs['test'][stream])]
        assert evaluation['accuracy'][stream] == pytest.approx(
            numpy.mean([row[stream] == row['label'] for row in rows]))


def joint_encoding(settings):
    """The training images' features as joint learning encodes them, with the pipeline's mixture."""
    model = PartClassifier(settings, 3, 1)
    for name in ('mean', 'var', 'weight'):
        setattr(model.encoder, name, numpy.load(OUT / 'model.npz')[name].astype('f'))
    model.encoder.n_updates, model.encoder.norm_filter = numpy.asarray(1), False
    with chainer.using_config('train', False), chainer.no_backprop_mode():
        inputs = stored('train', 'x'), stored('train', 'counts')
        *_, vector = model.vectors(inputs, None).values()
    return vector.array


@pytest.mark.parametrize('epsilon, atol', [(1e-12, 1e-4), (None, .031)])
@pytest.mark.parametrize('values', itertools.product((False, True), repeat=3))
def test_both_methods_encode_alike(values, epsilon, atol, separate, monkeypatch):
    """Up to the epsilon of joint learning's root, which moves no entry by more than 0.031."""
    if epsilon:
        monkeypatch.setattr(steps, 'ROOT_EPSILON', epsilon)
    pipeline = open_pipeline(separate, [f'model.{name}={value}'.lower()
                                        for name, value in zip(NORMALIZATIONS, values)])
    pipeline.store.fill()
    inputs, _ = pipeline._encode('train', numpy.load(OUT / 'model.npz'))
    settings = dataclasses.replace(pipeline.config.model, comp_size=SIZE, scaling=False)
    numpy.testing.assert_allclose(inputs['parts'], joint_encoding(settings), atol=atol, rtol=1e-4)


def remove(path, *names):
    """Removes settings of the model from a config."""
    config = yaml.safe_load(Path(path).read_text())
    for name in names:
        del config['model'][name]
    Path(path).write_text(yaml.safe_dump(config))


def test_pipeline_of_a_revision_without_these_settings_keeps_both_normalisations(
        separate, capsys, monkeypatch):
    monkeypatch.setattr(ConventionalPipeline, 'learn', None)
    remove(OUT / 'config.yml', *NORMALIZATIONS)
    before = bytes_of(OUT)
    assert run('evaluate', OUT) == run('train', separate) == 0
    assert bytes_of(OUT) == before
    remove(separate, 'power_normalize', 'l2_normalize')
    assert 'the run has a different model.power_normalize, model.l2_normalize; move it away' in (
        fails(capsys, 'train', separate))


@pytest.mark.parametrize('name, given', [('none', None), ('balanced', 'balanced')])
def test_svms_weight_classes(name, given, separate, monkeypatch):
    fitted = []
    monkeypatch.setattr(conventional, 'LinearSVC', lambda **options: (
        fitted.append(options['class_weight']), LinearSVC(**options))[1])
    assert run('train', separate, '--set', f'training.class_weight={name}', '--output',
               'results/other') == 0
    assert fitted == 3 * [given]


def test_mixture_is_that_of_scikit_learn(separate):
    """Of all features of the training images that count; the same start gives the same mixture."""
    x = stored('train', 'x')[stored('train', 'counts')]
    store = open_pipeline(separate).store
    store.fill()
    sample = conventional._sample(store, 0)
    assert sorted(map(tuple, sample)) == sorted(map(tuple, x))
    model = numpy.load(OUT / 'model.npz')
    options = dict(covariance_type='diag', reg_covar=1e-3, max_iter=200)
    fitted = GaussianMixture(K, random_state=0, **options).fit(sample.astype(numpy.float64))
    numpy.testing.assert_allclose(model['mean'], fitted.means_, rtol=1e-9)
    numpy.testing.assert_allclose(model['var'], fitted.covariances_, rtol=1e-9)
    numpy.testing.assert_allclose(model['weight'], fitted.weights_, rtol=1e-9)
    again = GaussianMixture(K, means_init=model['mean'], weights_init=model['weight'],
                            precisions_init=1 / model['var'], **options).fit(x)
    assert again.score(x) - fitted.score(x) < .01 * abs(fitted.score(x))    # EM had converged


def test_parameters_are_those_that_predict(separate):
    evaluation = yaml.safe_load((OUT / 'evaluation.yml').read_text())
    n_classes = 3
    assert evaluation['n_parameters'] == (
        SmallCNN().count_params() + N_FEATURES * (SIZE + 1) + K * (2 * SIZE + 1)
        + n_classes * (2 * K * SIZE + 1))


def test_result_is_that_of_the_parts_alone(separate, capsys):
    assert run('evaluate', OUT) == 0
    accuracy = {stream: 100 * value for stream, value in yaml.safe_load(
        (OUT / 'evaluation.yml').read_text())['accuracy'].items()}
    assert (f'{OUT}: test accuracy {accuracy["parts"]:.1f} %, with the whole image '
            f'{accuracy["both"]:.1f} %, global stream alone {accuracy["global"]:.1f} %\n'
            in capsys.readouterr().out)
    assert len(set(accuracy.values())) > 1


def test_whitened_features_have_unit_covariance(separate):
    """In a folder of their own."""
    plain = bytes_of(folder_of_features())
    assert run('train', separate, '--set', 'model.pca_whiten=true', '--set', 'model.pca_size=512',
               '--output', 'results/white') == 0
    assert bytes_of(folder_of_features()) == plain
    folder = CNN / 'features_mask_512_whitened'
    x, counts = (numpy.concatenate([numpy.load(path)[name] for path in sorted(
        folder.glob('train_*.npz'))]) for name in ('x', 'counts'))
    counting = x[counts].astype(numpy.float64)
    assert SIZE < counting.shape[1] <= N_FEATURES
    numpy.testing.assert_allclose(counting.mean(axis=0), 0, atol=1e-3)
    numpy.testing.assert_allclose(numpy.cov(counting.T), numpy.eye(counting.shape[1]), atol=2e-3)


def test_directions_without_variance_are_not_whitened(separate, monkeypatch):
    """Three channels that vary, on a large mean, and three that do not: noise stays noise."""
    random = numpy.random.RandomState(0)
    x = numpy.zeros((6, 100, 6), numpy.float32)
    x[..., ::2] = 50 + random.randn(6, 100, 3) @ random.randn(3, 3)
    x[..., 3] = 7
    monkeypatch.setattr(features.Extractor, '_raw', lambda self, records: [
        (x, numpy.ones((6, 100), bool), None, None)])
    config = read_config(separate, ['model.pca_whiten=true'])
    pca = features.Extractor(None, config, None, 6, CPU).fit_pca(numpy.arange(6))
    assert pca['components'].shape == (3, 6)
    white = (x.reshape(-1, 6) - pca['mean']) @ pca['components'].T
    numpy.testing.assert_allclose(numpy.cov(white.T), numpy.eye(3), atol=1e-5)


def test_cnn_is_fine_tuned_first(write_config, n_reads, capsys):
    """With the seed of the pipeline; its features are in one file of a split."""
    write_config('cnn.yml', model={'encoding': 'gap'}, data={'missing': 'zero'},
                 training={'epochs': 1})
    path = write_config('separate.yml', training=SEPARATE['training'],
                        model={**SEPARATE['model'], 'pretrained': 'cnn.yml'})
    assert run('train', path, '--seed', 2) == 0
    cnn, out = RunFolder('results/cnn/seed2'), RunFolder('results/separate/seed2')
    assert cnn.state == out.state == 'reported'
    assert out.read_log() == [] and len(cnn.read_log()) == 1
    printed = capsys.readouterr().out
    places = [printed.index(text) for text in (
        'Fine-tuning of the CNN: cnn.yml', f'{cnn}: test accuracy',
        'Fine-tuning of the CNN is done', f'{out}: test accuracy')]
    assert places == sorted(places)
    assert {path.name for path in cnn.path.glob('features*/*.npz')} == {
        'pca.npz', 'train_00000.npz', 'test_00000.npz'}
    assert len(n_reads) == 2        # a run each
    before = bytes_of(out.path)
    (out.path / 'model.npz').unlink()
    assert run('train', path, '--seed', 2) == 0
    assert bytes_of(out.path) == before


def bytes_of(folder, pattern='*'):
    return {path.name: path.read_bytes() for path in Path(folder).glob(pattern) if path.is_file()}


def times_of(folder, pattern='*'):
    """When the files in a folder were changed."""
    return {path.name: path.stat().st_mtime_ns for path in Path(folder).glob(pattern)
            if path.is_file()}


def test_interrupted_extraction_goes_on(separate, monkeypatch):
    folder = folder_of_features()
    whole, results = bytes_of(folder, '*.npz'), bytes_of(OUT)
    for path in ('train_00002.npz', 'test_00000.npz', 'test_00001.npz'):
        (folder / path).unlink()
    shutil.rmtree(OUT)
    times = times_of(folder, '*.npz')
    n_images = []
    extract = features.Extractor.extract

    def counting(self, records, n):
        n_images.append(len(records))
        return extract(self, records, n)
    monkeypatch.setattr(features.Extractor, 'extract', counting)
    assert run('train', separate) == 0
    assert n_images == [4, 6]
    assert bytes_of(folder, '*.npz') == whole
    again = bytes_of(OUT)
    for of_run in again, results:
        del of_run['environment.yml']       # has the folder of the fixture, or of its copy
    assert again == results
    assert times.items() <= times_of(folder, '*.npz').items()


@pytest.fixture
def no_extraction(monkeypatch):
    monkeypatch.setattr(features.Extractor, 'extract', None)
    monkeypatch.setattr(features.Extractor, 'fit_pca', None)


def test_features_are_shared_by_all_numbers_of_components(separate, no_extraction, capsys):
    train = 'train', separate, '--set', 'model.n_components=2', '--output', 'results/two'
    assert run(*train) == 0
    assert 'two: test accuracy' in capsys.readouterr().out
    assert numpy.load('results/two/model.npz')['mean'].shape == (2, SIZE)
    two = Path('results/two')
    before, weights = bytes_of(two), (two / 'model.npz').stat().st_mtime_ns
    assert run(*train) == 0
    assert bytes_of(two) == before and (two / 'model.npz').stat().st_mtime_ns == weights


def test_finished_pipeline_is_evaluated_again(separate, no_extraction, monkeypatch):
    before, times = bytes_of(OUT), times_of(OUT)
    for name in ('evaluation.yml', 'predictions.csv'):
        (OUT / name).unlink()
    monkeypatch.setattr(ConventionalPipeline, 'learn', None)
    assert run('evaluate', OUT) == 0
    assert bytes_of(OUT) == before
    after = times_of(OUT)
    assert {name for name in after if after[name] != times[name]} - {'.lock'} == {
        'evaluation.yml', 'predictions.csv'}


@pytest.mark.parametrize('damage', [
    lambda arrays: arrays.update({'other/W': arrays.pop('both/W')}),
    lambda arrays: arrays['both/W'].fill(numpy.nan)])
def test_weights_of_something_else(damage, separate, capsys):
    arrays = dict(numpy.load(OUT / 'model.npz'))
    damage(arrays)
    numpy.savez(OUT / 'model.npz', **arrays)
    before = bytes_of(OUT)
    for command in (('evaluate', OUT), ('train', separate)):
        assert run(*command) == 2
        assert (f'{OUT}/model.npz: the arrays are not those of this pipeline'
                in capsys.readouterr().err)
    assert bytes_of(OUT) == before


def test_finished_cnn_is_left_alone_and_the_data_set_read_once(
        separate, n_reads, monkeypatch, capsys):
    monkeypatch.setattr(JointLearning, 'learn', None)
    monkeypatch.setattr(JointLearning, 'predict', None)
    before = times_of(CNN)
    shutil.rmtree(OUT)
    shutil.rmtree(folder_of_features())
    assert run('train', separate) == 0
    assert times_of(CNN) == before and len(n_reads) == 1
    printed = capsys.readouterr().out
    assert 'Fine-tuning' not in printed and f'{CNN}: ' not in printed
    assert run('evaluate', OUT) == 0
    assert times_of(CNN) == before and len(n_reads) == 2


def test_cnn_without_results_is_evaluated_but_not_trained(separate, monkeypatch):
    before, weights = bytes_of(CNN), (CNN / 'model.npz').stat().st_mtime_ns
    monkeypatch.setattr(JointLearning, 'learn', None)
    (CNN / 'evaluation.yml').unlink()
    assert run('train', separate) == 0
    assert bytes_of(CNN) == before and (CNN / 'model.npz').stat().st_mtime_ns == weights


def test_joint_run_reads_its_data_set_once(write_config, n_reads):
    assert run('train', write_config(training={'epochs': 1})) == 0
    assert len(n_reads) == 1


def test_memory_does_not_grow_with_the_data_set(separate, monkeypatch):
    """No more than a file's images are held while features are extracted."""
    held, save = [], files.write_arrays
    monkeypatch.setattr(files, 'write_arrays', lambda path, arrays: (
        held.append(len(arrays.get('x', []))), save(path, arrays)))
    shutil.rmtree(folder_of_features())
    store = open_pipeline(separate).store
    store.fill()
    assert held == [0, 4, 4, 4, 4, 2]       # PCA, training images, test images
    monkeypatch.setattr(conventional, 'MIXTURE_SAMPLE', 30)
    assert len(conventional._sample(store, 0)) == 30


WRONG_FEATURES = {
    'a key too few': lambda arrays: arrays.pop('image'),
    'a key too many': lambda arrays: arrays.update(more=arrays['image']),
    'fewer images': lambda arrays: arrays.update(
        {name: array[:1] for name, array in arrays.items()}),
    'another dimension': lambda arrays: arrays.update(x=arrays['x'][..., :1]),
    'not a number': lambda arrays: arrays['x'].fill(numpy.nan),
    'text': lambda arrays: arrays.update(x=numpy.array('text')),
    'flat': lambda arrays: arrays.update(counts=arrays['counts'].ravel()),
}


@pytest.mark.parametrize('kind', WRONG_FEATURES)
def test_wrong_features_are_refused(kind, separate, capsys):
    path = sorted(folder_of_features().glob('train_*.npz'))[0]
    arrays = dict(numpy.load(path))
    WRONG_FEATURES[kind](arrays)
    numpy.savez(path, **arrays)
    shutil.rmtree('results/separate')
    assert run('train', separate) == 2
    error = capsys.readouterr().err
    assert f'{path}: is not ' in error and 'Traceback' not in error


@pytest.mark.parametrize('change', [lambda arrays: arrays.pop('mean'), lambda arrays: arrays.update(
    components=arrays['components'][:, :3])])
def test_wrong_pca_is_refused(change, separate, capsys):
    path = folder_of_features() / 'pca.npz'
    arrays = dict(numpy.load(path))
    change(arrays)
    numpy.savez(path, **arrays)
    assert run('evaluate', 'results/separate/seed0') == 2
    assert f'{path}: is not a file of features of these images' in capsys.readouterr().err


@pytest.mark.parametrize('name, value', [('part_ratio', .5), ('parts', 'GT2')])
def test_cnn_of_other_data(name, value, separate, capsys):
    config = yaml.safe_load(Path(separate).read_text())
    config['data'][name] = value
    Path('other.yml').write_text(yaml.safe_dump(config))
    assert run('train', 'other.yml') == 2
    assert (f'{CNN}: the CNN was fine-tuned with a different data.{name}; '
            in capsys.readouterr().err)
    assert not Path('results/other').exists()


def test_more_components_than_features(separate, capsys):
    assert run('train', separate, '--set', 'model.n_components=4000',
               '--output', 'results/many') == 2
    error = capsys.readouterr().err
    assert 'model.n_components is 4000, but' in error and error.count('\n') == 1
    assert not Path('results/many/model.npz').exists()


@pytest.mark.parametrize('what', ['mixture', 'confusion'])
def test_there_is_no_network_to_look_at(what, separate, capsys):
    assert run('visualize', what, OUT) == 2
    error = capsys.readouterr().err
    assert 'conventional pipeline' in error and 'config.yml' in error


def test_evaluate_never_trains(separate, capsys):
    shutil.move(CNN.parent, 'elsewhere')
    before = bytes_of(OUT)
    assert run('evaluate', OUT) == 2
    assert f'{CNN}: there is no such folder; train first, or give ' in capsys.readouterr().err
    assert not CNN.exists() and bytes_of(OUT) == before


def test_cnn_that_was_finished_with_other_settings_is_used(separate, capsys):
    """Its data are what matters to the pipeline."""
    text = Path('config.yml').read_text()
    Path('config.yml').write_text(text.replace('epochs: 2', 'epochs: 7', 1))
    assert text != Path('config.yml').read_text()
    assert run('train', 'separate.yml') == 0
    assert 'Fine-tuning' not in capsys.readouterr().out


@pytest.mark.parametrize('damage', ['replaced', 'removed'])
def test_features_of_other_images_are_refused(damage, separate, capsys):
    shutil.rmtree(OUT)
    (CNN / 'images.csv').unlink()       # of a run that kept none
    path = folder_of_features() / 'images.csv'
    if damage == 'removed':
        path.unlink()
    else:
        path.write_text(path.read_text().replace(',train,', ',test,', 1))
    assert 'to extract the features again' in fails(capsys, 'train', separate)
