"""A CNN as nodes of a graph: what Chainer computes for an image, function by function."""
import chainer
import numpy

from finetune.errors import InputError


def add_cnn(graph, cnn, images, shape):
    """Adds a CNN in test mode.

    Args:
        graph (finetune.export.graph.Graph): The graph.
        cnn (chainer.Link): Made of convolutions, batch normalisations, ReLUs, poolings and
            concatenations; any number of images.
        images (str): Its input.
        shape (tuple): Shape (3, H, W) of an image.

    Returns:
        str: Its ConvMaps.

    Raises:
        finetune.errors.InputError: If it has a function of another kind.

    """
    x = chainer.Variable(numpy.zeros((1, *shape), numpy.float32))
    with chainer.using_config('train', False), chainer.using_config('enable_backprop', True):
        y = cnn(x)
    names = {id(x.node): images}
    for function in _in_order(y):
        kind = type(function).__name__
        if kind not in CONVERTERS:
            raise InputError(f'{type(cnn).__name__}: {kind} cannot be exported; export the layer '
                             'alone, by --layer.')
        values = [names[id(node)] if id(node) in names else _array(node)
                  for node in function.inputs]
        names[id(function.outputs[0]())] = CONVERTERS[kind](graph, function, *values)
    return names[id(y.node)]


def _in_order(y):
    """All functions that lead to a variable, each after those that it needs."""
    found, waiting = {}, [y.creator_node]
    while waiting:
        function = waiting.pop()
        if function is not None and id(function) not in found:
            found[id(function)] = function
            waiting += [node.creator_node for node in function.inputs]
    return sorted(found.values(), key=lambda function: function.rank)


def _array(node):
    """What a parameter or another constant holds."""
    variable = node.get_variable_or_none()
    return (node.data if variable is None else variable.array).astype(numpy.float32)


def _convolution(graph, function, x, weight, *bias):
    stride, (ph, pw) = (function.geometry if hasattr(function, 'geometry') else
                        ((function.sy, function.sx), (function.ph, function.pw)))
    return graph.add('Conv', x, weight, *bias, strides=stride, pads=[ph, pw, ph, pw])


def _batch_normalization(graph, function, x, gamma, beta, mean, var):
    """As a multiplication and an addition, which runtimes add to the convolution before."""
    factor = gamma / numpy.sqrt(var + numpy.float32(function.eps))
    scaled = graph.add('Mul', x, factor[:, None, None])
    return graph.add('Add', scaled, (beta - mean * factor)[:, None, None])


def _pool(operator, **attributes):
    def convert(graph, function, x):
        pad = function.pad
        if operator == 'AveragePool':
            attributes['count_include_pad'] = int(function.pad_value is not None)
        return graph.add(operator, x, kernel_shape=function.ksize, strides=function.stride,
                         pads=[*pad, *pad], ceil_mode=int(function.cover_all), **attributes)
    return convert


# By the names of Chainer's functions, and of our convolution.
CONVERTERS = {
    'Convolution': _convolution, 'Convolution2DFunction': _convolution,
    'FixedBatchNormalization': _batch_normalization,
    'Cast': lambda graph, function, x: x,       # of filters to the dtype of the images, the same
    'ReLU': lambda graph, function, x: graph.add('Relu', x),
    'MaxPoolingND': _pool('MaxPool'), 'AveragePoolingND': _pool('AveragePool'),
    'Concat': lambda graph, function, *values: graph.add('Concat', *values, axis=function.axis),
}
