"""Converts a CNN to nodes of a graph, function by function, by tracing an image."""
import chainer
import numpy

from finetune.compute.geometry import Geometry
from finetune.errors import InputError


def add_cnn(graph, cnn, images, shape):
    """Adds a CNN in test mode.

    Args:
        graph (finetune.export.graph.Graph): The graph.
        cnn (chainer.Link): The CNN, made of functions in :data:`CONVERTERS`.
        images (str): Name of its input.
        shape (tuple): Shape (3, H, W) of an image.

    Returns:
        str: Name of its ConvMaps.

    """
    x, recorded = chainer.Variable(numpy.zeros((1, *shape), numpy.float32)), _Inputs()
    with chainer.using_config('train', False), chainer.using_config('use_onednn', False), \
            chainer.force_backprop_mode(), recorded:
        y = cnn(x)
    names = {id(x.node): images}
    for function in _in_order(y):
        kind = type(function).__name__
        if kind not in CONVERTERS:
            raise InputError(f'{type(cnn).__name__}: {kind} cannot be exported; export the layer '
                             'alone with --layer.')
        values = [names.get(id(node), array)        # parameters and other constants
                  for node, array in zip(function.inputs, recorded.arrays[id(function)])]
        names[id(function.outputs[0]())] = CONVERTERS[kind](graph, function, *values)
    return names[id(y.node)]


def _in_order(y):
    """All functions that compute a variable, in topological order."""
    found, waiting = {}, [y.creator_node]
    while waiting:
        function = waiting.pop()
        if function is not None and id(function) not in found:
            found[id(function)] = function
            waiting += [node.creator_node for node in function.inputs]
    return sorted(found.values(), key=lambda function: function.rank)


class _Inputs(chainer.FunctionHook):

    """Keeps the inputs of all functions, as Chainer's graph drops arrays that no gradient needs."""

    def __init__(self):
        self.arrays = {}

    def forward_postprocess(self, function, in_data):
        self.arrays[id(function)] = in_data


def _convolution(graph, function, x, weight, *bias):
    geometry = getattr(function, 'geometry', None) or Geometry(
        (function.sy, function.sx), ((function.ph,) * 2, (function.pw,) * 2), function.groups)
    before, after = geometry.ends()
    return graph.add('Conv', x, weight, *bias, strides=geometry.stride, pads=[*before, *after],
                     group=geometry.groups)


def _batch_normalization(graph, function, x, gamma, beta, mean, var):
    """Adds a multiplication and an addition, which runtimes fuse with the preceding convolution."""
    factor = gamma / numpy.sqrt(var + numpy.float32(function.eps))
    scaled = graph.add('Mul', x, factor[:, None, None])
    return graph.add('Add', scaled, (beta - mean * factor)[:, None, None])


def _max_pool(graph, function, x, operator='MaxPool', **attributes):
    return graph.add(operator, x, kernel_shape=function.ksize, strides=function.stride,
                     pads=2 * [*function.pad], ceil_mode=int(function.cover_all), **attributes)


def _average_pool(graph, function, x):
    return _max_pool(graph, function, x, 'AveragePool',
                     count_include_pad=int(function.pad_value is not None))


# Converters by the names of Chainer's functions and of our convolution.
CONVERTERS = {
    'Convolution': _convolution, 'Convolution2DFunction': _convolution,
    'FixedBatchNormalization': _batch_normalization,
    'Cast': lambda graph, function, x: x,       # from float32 to float32
    'Add': lambda graph, function, *values: graph.add('Add', *values),
    'ReLU': lambda graph, function, x: graph.add('Relu', x),
    'ReLU6': lambda graph, function, x: graph.add('Clip', x, *numpy.float32([0, 6])),
    'MaxPoolingND': _max_pool, 'AveragePoolingND': _average_pool,
    'Mean': lambda graph, function, x: graph.add(
        'ReduceMean', x, axes=function.axis, keepdims=int(function.keepdims)),
    'LinearFunction': lambda graph, function, x, weight, bias: graph.add(
        'Gemm', x, weight, bias, transB=1),
    'Sigmoid': lambda graph, function, x: graph.add('Sigmoid', x),
    'Mul': lambda graph, function, *values: graph.add('Mul', *values),
    # The number of images, or the one bias for all of them, comes first.
    'Reshape': lambda graph, function, x: graph.add(
        'Reshape', x, graph.integers(-1, *function.shape[1:])),
    'Concat': lambda graph, function, *values: graph.add('Concat', *values, axis=function.axis),
}
