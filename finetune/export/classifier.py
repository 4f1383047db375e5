"""A classifier as a graph from images and part crops to scores."""
import numpy
from onnx import TensorProto

from finetune.config.catalogue import LOCAL_FEATURES
from finetune.errors import InputError
from finetune.export.cnn import add_cnn
from finetune.export.encoding import add_fisher_vector
from finetune.export.graph import BOOL, Graph


def classifier_graph(model, config):
    """The graph of a classifier in test mode.

    Inputs are ``images`` (N, 3, S, S) and, for a model with parts, ``parts`` (N, P, 3, s, s), the
    crops of all parts, and ``visible`` (N, P), bool; crops of hidden parts may have any finite
    values. N is any number, and so is P unless the encoding needs all parts. The output is
    ``scores`` (N, n_classes).

    Args:
        model (finetune.models.part_classifier.PartClassifier): The classifier, on the CPU.
        config (finetune.config.settings.Config): Settings of the run.

    """
    graph, size = Graph(), config.data.input_size
    images = graph.input('images', ['N', 3, size, size])
    conv_map, streams = add_cnn(graph, model.global_cnn, images, (3, size, size)), []
    if model.has_global_stream:
        streams.append(graph.linear(model.global_head, graph.pooled(conv_map)))
    if model.has_encoder:
        maps = _part_maps(graph, model, config) if model.n_parts > 0 else (
            conv_map, _whole_images(graph, images))
        streams.append(_encoded_scores(graph, model, *maps))
    scores = graph.add('Add', *streams) if len(streams) > 1 else streams[0]
    graph.output('scores', scores, ['N', model.n_classes])
    return graph


def layer_graph(layer):
    """The graph of a Fisher vector layer.

    Inputs are ``features`` (N, T, D) and ``visible`` (N, T), bool, with any N and T; the output is
    ``fisher_vectors`` (N, 2KD).
    """
    graph = Graph()
    x = graph.input('features', ['N', 'T', layer.mean.shape[1]])
    visible = graph.input('visible', ['N', 'T'], BOOL)
    graph.output('fisher_vectors', add_fisher_vector(graph, layer, x, visible),
                 ['N', layer.out_size])
    return graph


def _whole_images(graph, images):
    """A mask (N, 1) in which every image is visible."""
    shape = graph.add('Shape', images, start=0, end=1)
    whole = graph.add('Concat', shape, graph.integers(1), axis=0)
    return graph.add('Cast', graph.add('Expand', numpy.ones((), 'f'), whole), to=BOOL)


def _part_maps(graph, model, config):
    """ConvMaps (N P, C, h, w) of parts, and visible parts (N, P)."""
    size = config.data.part_input_size
    n_parts = model.n_parts if model.encoding.needs_all_parts else 'P'
    parts = graph.input('parts', ['N', n_parts, 3, size, size])
    visible = graph.input('visible', ['N', n_parts], BOOL)
    crops = graph.add('Reshape', parts, graph.integers(-1, 3, size, size))
    conv_map = add_cnn(graph, model.part_cnn, crops, (3, size, size))
    return _without_hidden(graph, conv_map, visible), visible


def _without_hidden(graph, conv_map, visible):
    """Replaces the ConvMaps (N P, C, h, w) of hidden parts by zeros."""
    rows = graph.add('Reshape', visible, graph.integers(-1, 1, 1, 1))
    return graph.add('Where', rows, conv_map, numpy.zeros((), 'f'))


def _encoded_scores(graph, model, conv_map, visible):
    """Scores of the part stream, or of the encoded whole image."""
    if model.settings.comp_size:
        conv_map = graph.add('Conv', conv_map, model.compression.W.array,
                             model.compression.b.array)
        conv_map = _without_hidden(graph, conv_map, visible)
    inputs = conv_map, visible
    if model.encoding.input == LOCAL_FEATURES:
        inputs = _local_features(graph, conv_map, visible, model.missing)
    add = add_fisher_vector if model.encoding.has_mixture else _add
    vector = add(graph, model.encoder, *inputs)
    for step in model.steps.values():
        vector = _add(graph, step, vector)
    return graph.linear(model.part_head, vector)


def _add(graph, link, *values):
    """Adds a link by its method ``add_to``."""
    if not hasattr(link, 'add_to'):
        raise InputError(f'{type(link).__name__} cannot be exported; give it a method add_to, or '
                         'export the layer alone with --layer.')
    return link.add_to(graph, *values)


def _local_features(graph, conv_map, visible, missing):
    """Features (N, P h w, C) and their mask (N, P h w), as in
    :func:`finetune.models.encodings.local_features`."""
    x = graph.add('Transpose', conv_map, perm=[0, 2, 3, 1])             # (N P, h, w, C)
    n_parts = graph.add('Shape', visible)                               # N, P
    n = graph.add('Shape', visible, start=0, end=1)
    places = graph.add('Mul', *(graph.add('Shape', x, start=i, end=i + 1) for i in (1, 2)))   # h w
    features = graph.add('Concat', n, graph.add(
        'Mul', graph.add('Shape', visible, start=1, end=2), places), axis=0)    # N, P h w
    channels = graph.add('Shape', x, start=3, end=4)
    # Zero images leave no way to infer a dimension.
    x = graph.add('Reshape', x, graph.add('Concat', features, channels, axis=0), allowzero=1)
    counts = visible
    if missing != 'mask':
        number = graph.add('ReduceMax', graph.add('Cast', visible, to=TensorProto.FLOAT),
                           axes=[1], keepdims=1)
        counts = graph.add('Expand', graph.add('Cast', number, to=BOOL), n_parts)
    mask = graph.add('Expand', graph.add('Unsqueeze', counts, graph.integers(2)),
                     graph.add('Concat', n_parts, places, axis=0))
    return x, graph.add('Reshape', mask, features, allowzero=1)
