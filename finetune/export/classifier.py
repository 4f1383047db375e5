"""A whole classifier as a graph: images and part crops to scores."""
import numpy
from onnx import TensorProto

from finetune.export.cnn import add_cnn
from finetune.export.encoding import add_fisher_vector
from finetune.export.graph import BOOL, Graph

NORMALIZE_EPS = 1e-5        # Chainer's


def classifier_graph(model, config):
    """The graph of a classifier in test mode.

    Inputs are ``images`` (N, 3, S, S) and, for a model with parts, ``parts`` (N, P, 3, s, s), the
    crops of all parts, and ``visible`` (N, P), bool; crops of hidden parts may hold anything
    finite. N is any number, and so is P unless each part has its place in the encoding. The
    output is ``scores`` (N, n_classes).

    Args:
        model (finetune.models.part_classifier.PartClassifier): The classifier, on the CPU.
        config (finetune.config.settings.Config): Its settings.

    Returns:
        finetune.export.graph.Graph: The graph.

    """
    graph, size = Graph(), config.data.input_size
    images = graph.input('images', ['N', 3, size, size])
    conv_map = add_cnn(graph, model.global_cnn, images, (3, size, size))
    if model.n_parts > 0:
        scores = graph.add('Add', _linear(graph, model.global_head, _pooled(graph, conv_map)),
                           _part_scores(graph, model, config))
    elif model.has_encoder:
        shape = graph.add('Shape', images, start=0, end=1)
        whole = graph.add('Concat', shape, graph.integers(1), axis=0)
        visible = graph.add('Cast', graph.add('Expand', numpy.ones((), 'f'), whole), to=BOOL)
        scores = _encoded_scores(graph, model, conv_map, visible)
    else:
        scores = _linear(graph, model.global_head, _pooled(graph, conv_map))
    graph.output('scores', scores, ['N', model.n_classes])
    return graph


def layer_graph(layer):
    """The graph of a Fisher vector layer alone: ``features`` (N, T, D) and ``visible`` (N, T),
    bool, to ``fisher_vectors`` (N, 2KD), with any N and T."""
    graph = Graph()
    x = graph.input('features', ['N', 'T', layer.mean.shape[1]])
    visible = graph.input('visible', ['N', 'T'], BOOL)
    graph.output('fisher_vectors', add_fisher_vector(graph, layer, x, visible),
                 ['N', layer.out_size])
    return graph


def _part_scores(graph, model, config):
    size = config.data.part_input_size
    n_parts = 'P' if hasattr(model.encoder, 'mixture') else model.n_parts
    parts = graph.input('parts', ['N', n_parts, 3, size, size])
    visible = graph.input('visible', ['N', n_parts], BOOL)
    crops = graph.add('Reshape', parts, graph.integers(-1, 3, size, size))
    conv_map = _without_hidden(
        graph, add_cnn(graph, model.part_cnn, crops, (3, size, size)), visible)
    return _encoded_scores(graph, model, conv_map, visible)


def _without_hidden(graph, conv_map, visible):
    """ConvMaps (N P, C, h, w) with zeros for hidden parts."""
    rows = graph.add('Reshape', visible, graph.integers(-1, 1, 1, 1))
    return graph.add('Where', rows, conv_map, numpy.zeros((), 'f'))


def _encoded_scores(graph, model, conv_map, visible):
    """Scores of the part stream, or of the encoded whole image."""
    settings = model.settings
    if settings.comp_size:
        conv_map = graph.add('Conv', conv_map, model.compression.W.array,
                             model.compression.b.array)
        conv_map = _without_hidden(graph, conv_map, visible)
    if not hasattr(model.encoder, 'mixture'):
        encoding = graph.add('Reshape', _pooled(graph, conv_map),
                             graph.integers(-1, model.encoder.out_size))
    else:
        encoding = add_fisher_vector(
            graph, model.encoder, *_local_features(graph, conv_map, visible, model.missing))
    return _linear(graph, model.part_head, _refined(graph, model, encoding))


def _local_features(graph, conv_map, visible, missing):
    """Features (N, P h w, C) and their mask (N, P h w), as in
    :func:`finetune.models.encodings.local_features`."""
    x = graph.add('Transpose', conv_map, perm=[0, 2, 3, 1])             # (N P, h, w, C)
    n_parts = graph.add('Shape', visible)                               # N, P
    channels = graph.add('Shape', x, start=3, end=4)
    n = graph.add('Shape', visible, start=0, end=1)
    x = graph.add('Reshape', x, graph.add('Concat', n, graph.integers(-1), channels, axis=0))
    counts = visible
    if missing != 'mask':
        number = graph.add('ReduceMax', graph.add('Cast', visible, to=TensorProto.FLOAT),
                           axes=[1], keepdims=1)
        counts = graph.add('Expand', graph.add('Cast', number, to=BOOL), n_parts)
    places = graph.add('Div', graph.add('Shape', x, start=1, end=2),
                       graph.add('Shape', visible, start=1, end=2))     # h w
    mask = graph.add('Expand', graph.add('Unsqueeze', counts, graph.integers(2)),
                     graph.add('Concat', n_parts, places, axis=0))
    return x, graph.add('Reshape', mask, graph.add('Concat', n, graph.integers(-1), axis=0))


def _refined(graph, model, encoding):
    """As in :meth:`finetune.models.part_classifier.PartClassifier.refine`."""
    settings = model.settings
    if settings.only_mean:
        encoding = graph.add('Slice', encoding, graph.integers(0),
                             graph.integers(model.encoder.out_size // 2), graph.integers(1))
    if settings.l2_normalize:
        norm = graph.add('ReduceL2', encoding, axes=[1], keepdims=1)
        encoding = graph.add('Div', encoding,
                             graph.add('Add', norm, numpy.asarray(NORMALIZE_EPS, 'f')))
    if hasattr(model, 'scaling') and model.scaling.n_seen > 0:
        encoding = graph.add('Mul', encoding, numpy.asarray(model.scaling.scale, 'f'))
    if settings.post_fve_size:
        encoding = graph.add('Relu', _linear(graph, model.post_fve, encoding))
    return encoding


def _pooled(graph, conv_map):
    return graph.add('ReduceMean', conv_map, axes=[2, 3], keepdims=0)


def _linear(graph, link, x):
    return graph.add('Gemm', x, link.W.array, link.b.array, transB=1)
