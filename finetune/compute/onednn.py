"""oneDNN, a library of neural networks for CPUs, called through its C interface (version 3).

It is used if one of its PyPI packages is installed, unless ``chainer.config.use_onednn`` is false
or a layer refuses it. Arrays are float32 and channels last in memory, as in
:class:`finetune.compute.convolution.Convolution2D`; only filters are reordered. Threads share the
sums over the batch: results are equal, bit for bit, for the same number of threads.

Source: https://uxlfoundation.github.io/oneDNN
"""
import contextlib
import ctypes
import functools
import importlib.metadata
import threading
import weakref

import chainer
import numpy

from finetune.compute.threads import N_THREADS

PACKAGES = 'onednn-cpu-gomp', 'onednn-cpu-iomp'
N_SHAPES = 1024     # cached shapes per operation
_lock = threading.Lock()    # operations share the stream and memory for intermediate results

# Values of dnnl_types.h.
CPU = IN_ORDER = ANY = 1
TRAINING, BACKWARD = 64, 128
FLOAT32 = 3
ARGUMENTS = {'src': 1, 'dst': 17, 'weights': 33, 'bias': 41, 'mean': 49, 'variance': 50,
             'scale': 51, 'shift': 52, 'workspace': 64, 'diff_src': 129, 'diff_dst': 145,
             'diff_weights': 161, 'diff_scale': 255, 'diff_shift': 256}
# Queries of dnnl_primitive_desc_query_md.
QUERIES = {'weights': 131, 'diff_weights': 132, 'workspace': 135}


class _Argument(ctypes.Structure):
    _fields_ = [('name', ctypes.c_int), ('memory', ctypes.c_void_p)]


@functools.cache
def library():
    """The loaded library, or ``None`` if no package has it or it cannot be loaded."""
    for package in PACKAGES:
        try:
            file, = (file for file in importlib.metadata.files(package)
                     if file.name == 'libdnnl.so.3')
            lib = ctypes.CDLL(str(file.locate()))
        except (importlib.metadata.PackageNotFoundError, TypeError, ValueError, OSError):
            continue
        lib.dnnl_primitive_desc_query_md.restype = ctypes.c_void_p
        lib.dnnl_memory_desc_get_size.restype = ctypes.c_size_t
        lib.package = f'{package} {importlib.metadata.version(package)}'
        return lib
    return None


def usable(*arrays):
    """Whether oneDNN is installed and enabled, and supports the arrays."""
    return getattr(chainer.config, 'use_onednn', True) and library() is not None and all(
        type(array) is numpy.ndarray and array.dtype == numpy.float32 and array.size
        for array in arrays)


@contextlib.contextmanager
def _threads():
    """Context with all threads of OpenMP, for one thread of Python at a time; outside, BLAS and
    scikit-learn use one."""
    with _lock:
        before = library().omp_get_max_threads()
        library().omp_set_num_threads(N_THREADS)
        try:
            yield
        finally:
            library().omp_set_num_threads(before)


def _call(name, *arguments):
    status = getattr(library(), name)(*arguments)
    if status:
        raise RuntimeError(f'oneDNN: {name} returned status {status}')


class _Object(ctypes.c_void_p):

    """What a function of the library makes; it is destroyed with this object."""

    def __init__(self, kind, make, *arguments):
        super().__init__()
        _call(f'dnnl_{make}', ctypes.byref(self), *arguments)
        destroy = getattr(library(), f'dnnl_{kind}_destroy')
        weakref.finalize(self, destroy, ctypes.c_void_p(self.value)).atexit = False


@functools.cache
def engine():
    return _Object('engine', 'engine_create', CPU, ctypes.c_size_t(0))


@functools.cache
def _stream():
    return _Object('stream', 'stream_create', engine(), IN_ORDER)


def dims(values):
    """Sizes as a C array."""
    return (ctypes.c_int64 * len(values))(*values)


@functools.lru_cache(maxsize=N_SHAPES)
def layout(shape, order=None):
    """A memory descriptor of float32 values.

    Args:
        shape (tuple): Logical shape: (N, C, H, W) for images.
        order (tuple or None): Axes from the outermost in memory to the innermost; ``None``: the
            library chooses the order.

    """
    if order is None:
        return _Object('memory_desc', 'memory_desc_create_with_tag', len(shape), dims(shape),
                       FLOAT32, ANY)
    strides, stride = [0] * len(shape), 1
    for axis in reversed(order):
        strides[axis] = stride
        stride *= shape[axis]
    return _Object('memory_desc', 'memory_desc_create_with_strides', len(shape), dims(shape),
                   FLOAT32, dims(strides))


def channels_last(shape):
    """Memory descriptor of an array (N, C, H, W) whose channels are innermost."""
    return layout(shape, (0, 2, 3, 1))


def image(x):
    """Memory descriptor and array of images (N, C, H, W), copied unless their channels are
    innermost."""
    return channels_last(x.shape), numpy.ascontiguousarray(x.transpose(0, 2, 3, 1))


def new_image(shape):
    """Memory descriptor and array for images (N, C, H, W)."""
    n, c, h, w = shape
    return channels_last(shape), numpy.empty((n, h, w, c), dtype=numpy.float32)


def view(image):
    """The array (N, C, H, W) of a pair of memory descriptor and array."""
    return image[1].transpose(0, 3, 1, 2)


def bytes_of(memory):
    """A memory descriptor with an array for data in the library's own format."""
    n_bytes = library().dnnl_memory_desc_get_size(memory)
    return memory, numpy.empty(n_bytes, dtype=numpy.uint8)


def followed_by(kind, alpha, beta):
    """Attributes of an operation on whose results an element-wise function follows."""
    functions, attributes = _Object('post_ops', 'post_ops_create'), _Object(
        'primitive_attr', 'primitive_attr_create')
    _call('dnnl_post_ops_append_eltwise', functions, kind, ctypes.c_float(alpha),
          ctypes.c_float(beta))
    _call('dnnl_primitive_attr_set_post_ops', attributes, functions)
    return attributes


class Primitive:

    """An operation on arrays of given shapes.

    Args:
        kind (str): Name of the operation in the C interface.
        *arguments: Arguments of the primitive descriptor, before the attributes.
        attributes (ctypes.c_void_p or None): See :func:`followed_by`.

    """

    def __init__(self, kind, *arguments, attributes=None):
        with _threads():
            self.description = _Object('primitive_desc', f'{kind}_primitive_desc_create',
                                       *arguments, attributes)
            self.primitive = _Object('primitive', 'primitive_create', self.description)

    def layout(self, name):
        """Memory descriptor of the argument ``name``, as the library chose it."""
        return ctypes.c_void_p(library().dnnl_primitive_desc_query_md(
            self.description, QUERIES[name], 0))

    def __call__(self, **arguments):
        """Computes; arguments, outputs included, are pairs of memory descriptor and array."""
        memories = [_Object('memory', 'memory_create', memory, engine(),
                            ctypes.c_void_p(array.ctypes.data))
                    for memory, array in arguments.values()]
        pairs = (_Argument * len(memories))(*(
            (ARGUMENTS[name], memory) for name, memory in zip(arguments, memories)))
        with _threads():
            _call('dnnl_primitive_execute', self.primitive, _stream(), len(pairs), pairs)
            _call('dnnl_stream_wait', _stream())


class Reorder:

    """Copies an array from one order in memory to another."""

    def __init__(self, source, target):
        self.source, self.target = source, target
        self.copy = Primitive('reorder', source, engine(), target, engine())

    def __call__(self, array):
        """The array in the other order, as a pair of memory descriptor and array."""
        result = bytes_of(self.target)
        self.copy(src=(self.source, array), dst=result)
        return result
