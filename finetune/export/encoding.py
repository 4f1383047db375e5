"""The Fisher vector of masked local features as nodes of a graph (Eqs. 1, 13, 14)."""
import chainer
import numpy
from onnx import TensorProto

from fve_layer import gmm
from fve_layer.encoding import part_normalizers

TYPES = {numpy.dtype('f'): TensorProto.FLOAT, numpy.dtype('d'): TensorProto.DOUBLE}


def add_fisher_vector(graph, layer, x, visible):
    """Adds a layer in test mode, with a constant mixture.

    Products are in float64 where the layer uses float64 (:func:`fve_layer.gmm.log_density`).

    Args:
        graph (finetune.export.graph.Graph): The graph.
        layer (fve_layer.FVELayer or fve_layer.GradientFVELayer): The layer.
        x (str): Name of local features (N, T, D), any N and T.
        visible (str): Name of the mask (N, T), bool, of visible features.

    Returns:
        str: Name of the Fisher vectors (N, 2KD).

    """
    mean, var, weight = (chainer.as_array(array) for array in (layer.mean, layer.var, layer.weight))
    counts = _counting(graph, x, visible) if layer.norm_filter else visible
    density = gmm.log_density(mean, var, weight, numpy.dtype('f'))
    dtype = density.centre.dtype
    x = graph.add('Where', graph.add('Unsqueeze', counts, graph.integers(2)), x,
                  numpy.zeros((), 'f'))         # hidden features may be anything, even NaN
    counts = graph.add('Cast', counts, to=TYPES[dtype])
    z = graph.add('Sub', graph.add('Cast', x, to=TYPES[dtype]), density.centre)
    resp, z2 = _responsibilities(graph, density, z, counts)
    s0 = graph.add('Unsqueeze', graph.add('ReduceSum', resp, graph.integers(1), keepdims=0),
                   graph.integers(2))
    # Einsum, as onnxruntime 1.19 replaces MatMul of a transposed array by a float32 operator.
    s1, s2 = (graph.add('Einsum', resp, array, equation='ntk,ntd->nkd') for array in (z, z2))
    parts = _parts(graph, density, var, s0, s1, s2)
    scale = part_normalizers(weight.astype(dtype))
    n = graph.add('Max', graph.add('ReduceSum', counts, graph.integers(1), keepdims=1),
                  numpy.ones((), dtype))
    if layer.normalization == 'sqrt':
        n = graph.add('Sqrt', n)
    vectors = [graph.add('Flatten', graph.add('Mul', part, factor))
               for part, factor in zip(parts, scale)]
    fv = graph.add('Div', graph.add('Concat', *vectors, axis=1), n)
    return graph.add('Cast', fv, to=TensorProto.FLOAT)


def _counting(graph, x, visible):
    """Features whose norm is above the mean of their image; all visible ones if none is above."""
    zero = numpy.zeros((), 'f')
    norm = graph.add('Where', visible, graph.add('ReduceL2', x, axes=[2], keepdims=0), zero)
    n = graph.add('ReduceSum', graph.add('Cast', visible, to=TensorProto.FLOAT),
                  graph.integers(1), keepdims=1)
    mean = graph.add('Div', graph.add('ReduceSum', norm, graph.integers(1), keepdims=1),
                     graph.add('Max', n, numpy.ones((), 'f')))
    counting = graph.add('And', visible, graph.add('Greater', norm, mean))
    passing = graph.add('ReduceSum', graph.add('Cast', counting, to=TensorProto.FLOAT),
                        graph.integers(1), keepdims=1)
    is_alone = graph.add('Not', graph.add('Greater', passing, zero))
    return graph.add('Or', counting, graph.add('And', is_alone, visible))


def _responsibilities(graph, density, z, counts):
    """Responsibilities (N, T, K), zero for features that do not count, and z squared."""
    z2 = graph.add('Mul', z, z)
    logits = graph.add('Add', graph.add('MatMul', z, density.linear.T),
                       graph.add('MatMul', z2, density.square.T))
    resp = graph.add('Softmax', graph.add('Add', logits, density.const), axis=2)
    return graph.add('Mul', resp, graph.add('Unsqueeze', counts, graph.integers(2))), z2


def _parts(graph, density, var, s0, s1, s2):
    """The mean part and the sigma part, each (N, K, D), without normalisers."""
    inverse = 1 / numpy.sqrt(var.astype(density.centre.dtype))
    centred = density.offset * inverse
    two = numpy.asarray(2, inverse.dtype)
    shift = graph.add('Mul', s0, centred)
    mean_part = graph.add('Sub', graph.add('Mul', s1, inverse), shift)
    cross = graph.add('Mul', graph.add('Add', graph.add('Mul', mean_part, two), shift), centred)
    sigma_part = graph.add('Sub', graph.add('Mul', s2, inverse * inverse), cross)
    return mean_part, graph.add('Sub', sigma_part, s0)
