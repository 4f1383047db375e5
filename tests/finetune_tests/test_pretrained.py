
from chainer import serializers
import numpy
import pytest

from finetune.config.settings import Model
from finetune.errors import InputError
from finetune.models.part_classifier import PartClassifier
from finetune.models.small_cnn import SmallCNN
from finetune.weights import pretrained

SETTINGS = Model(architecture='small_cnn', n_components=2)


def classifier(n_parts=3, n_classes=5):
    return PartClassifier(SETTINGS, n_classes, n_parts)


def arrays_of(link):
    serializer = serializers.DictionarySerializer()
    serializer.save(link)
    return serializer.target


@pytest.mark.parametrize('class_layer', [
    {}, {'fc/W': numpy.zeros((7, 96)), 'fc/b': numpy.zeros(7)}])
def test_cnn_alone_starts_both_streams(class_layer, tmp_path):
    cnn = SmallCNN()
    cnn.layers[0].bn.avg_mean[...] = 3
    numpy.savez(tmp_path / 'cnn.npz', **arrays_of(cnn), **class_layer)
    model = classifier()
    head = model.global_head.W.array.copy()
    pretrained.load_backbones(model, tmp_path / 'cnn.npz')
    assert (model.global_head.W.array == head).all()
    for backbone in (model.global_cnn, model.part_cnn):
        for key, array in arrays_of(backbone).items():
            assert (array == arrays_of(cnn)[key]).all(), key


def test_global_cnn_of_a_classifier_starts_both_streams(tmp_path):
    source = classifier(n_classes=9)
    serializers.save_npz(tmp_path / 'model.npz', source)
    model = classifier()
    pretrained.load_backbones(model, tmp_path / 'model.npz')
    for backbone in (model.global_cnn, model.part_cnn):
        assert (backbone.layers[1].conv.W.array == source.global_cnn.layers[1].conv.W.array).all()


def test_model_without_parts(tmp_path):
    serializers.save_npz(tmp_path / 'model.npz', classifier())
    pretrained.load_backbones(classifier(n_parts=0), tmp_path / 'model.npz')


def test_whole_classifier(tmp_path):
    source, model = classifier(), classifier()
    source.encoder.mean[...] = 2
    serializers.save_npz(tmp_path / 'model.npz', source)
    pretrained.load_classifier(model, tmp_path / 'model.npz')
    for key, array in arrays_of(model).items():
        assert (array == arrays_of(source)[key]).all(), key


def test_every_key_that_does_not_fit_is_listed_and_nothing_is_loaded(tmp_path):
    arrays = {key: numpy.ones_like(array) for key, array in arrays_of(SmallCNN()).items()}
    arrays['layers/0/conv/V'] = arrays.pop('layers/0/conv/W')
    arrays['layers/1/bn/beta'] = numpy.zeros(3, 'f')
    del arrays['layers/2/bn/gamma']
    numpy.savez(tmp_path / 'cnn.npz', **arrays)
    model = classifier()
    before = model.global_cnn.layers[3].conv.W.array.copy()
    with pytest.raises(InputError) as raised:
        pretrained.load_backbones(model, tmp_path / 'cnn.npz')
    for part in ('2 missing: layers/0/conv/W, layers/2/bn/gamma', '1 unexpected: layers/0/conv/V',
                 '1 misshapen: layers/1/bn/beta (3,) for (48,)', 'SmallCNN'):
        assert part in str(raised.value)
    assert (model.global_cnn.layers[3].conv.W.array == before).all()


def test_of_many_keys_the_first_are_named(tmp_path):
    numpy.savez(tmp_path / 'cnn.npz', other=numpy.zeros(3))
    with pytest.raises(InputError, match=r'24 missing: (layers\S+ ){10}\.\.\.; 1 unexpected'):
        pretrained.load_backbones(classifier(), tmp_path / 'cnn.npz')


def test_weights_that_are_not_finite_are_named(tmp_path):
    cnn = SmallCNN()
    cnn.layers[0].conv.W.array[0] = numpy.nan
    serializers.save_npz(tmp_path / 'cnn.npz', cnn)
    with pytest.raises(InputError, match='1 not finite: layers/0/conv/W'):
        pretrained.load_backbones(classifier(), tmp_path / 'cnn.npz')


def damaged(content):
    middle = len(content) // 2
    return content[:middle] + bytes(200) + content[middle + 200:]


@pytest.mark.parametrize('change', [lambda content: content[:-100], damaged])
def test_files_that_are_no_complete_npz(change, tmp_path):
    serializers.save_npz(tmp_path / 'cnn.npz', SmallCNN())
    (tmp_path / 'cnn.npz').write_bytes(change((tmp_path / 'cnn.npz').read_bytes()))
    with pytest.raises(InputError, match='is not a complete .npz file'):
        pretrained.load_backbones(classifier(), tmp_path / 'cnn.npz')


def test_files_in_no_known_format(tmp_path):
    (tmp_path / 'cnn.npz').write_bytes(b'weights')
    with pytest.raises(InputError, match='is in no known format of weights'):
        pretrained.load_backbones(classifier(), tmp_path / 'cnn.npz')
