"""Makes Chainer 7.8.1 and ChainerCV 0.13.1 run on current Python, NumPy and setuptools.

One function per incompatibility; it does nothing where the incompatibility does not occur.
:func:`apply` calls all of them, preferably before ``import chainer``. NumPy itself is not modified.
"""
import atexit
import builtins
import contextlib
import functools
import importlib.abc
import importlib.machinery
import importlib.metadata
import importlib.util
import sys
import types
import warnings
import weakref

import numpy

from packaging.version import Version

from fve_layer import stand_ins

CHAINER, NUMPY = '7.8', '1.26'      # the oldest that are supported


def apply() -> None:
    """Applies all workarounds; called when ``fve_layer`` is imported.

    Without Chainer, which the layers of PyTorch do not need, there is nothing to do.
    """
    if _hook in sys.meta_path or not importlib.util.find_spec('chainer'):
        return
    requirements()
    sys.meta_path.insert(0, _hook)
    for shim in (failed_import, environment_check, sctypes, float_in_resize_images,
                 pkg_resources_import, nms_extension, strtobool, bool_in_chainercv, int_of_array,
                 iterators_at_exit, library_warnings):
        shim()


def requirements() -> None:
    """Checks the versions of Chainer and NumPy, as pip may have been told not to.

    Raises:
        ImportError: If one is missing or too old.

    """
    try:
        chainer = importlib.metadata.version('chainer')
    except importlib.metadata.PackageNotFoundError:
        chainer = ''
    if not chainer or Version(chainer) < Version(CHAINER):
        raise ImportError(f'fve_layer needs Chainer 7.8.1, not {chainer or "none"}; the README '
                          'says how it is installed')
    if Version(numpy.__version__) < Version(NUMPY):
        raise ImportError(f'fve_layer needs NumPy {NUMPY} or newer, not {numpy.__version__}; '
                          'pip install --upgrade numpy')


def failed_import() -> None:
    """A failed ``import chainer`` leaves submodules behind that refer to the failed one."""
    if 'chainer' not in sys.modules:
        for name in [name for name in sys.modules if name.startswith('chainer.')]:
            del sys.modules[name]


def environment_check() -> None:
    """``chainer._environment_check`` imports ``numpy.distutils``, removed for Python 3.12."""
    # The module only issues warnings, for example about any CuPy newer than 7.
    name = 'chainer._environment_check'
    sys.modules.setdefault(name, stand_ins.module(name, check=lambda: None))


def sctypes() -> None:
    """``chainer.functions.array.as_strided`` uses ``numpy.sctypes``, removed in NumPy 2."""
    if _numpy_has('sctypes'):
        return
    names = {'sctypes': {
        'int': [numpy.int8, numpy.int16, numpy.int32, numpy.int64],
        'float': [numpy.float16, numpy.float32, numpy.float64, numpy.longdouble]}}

    @contextlib.contextmanager
    def around(module):
        # The module reads it at import time, before its NumPy can be replaced.
        vars(numpy).update(names)
        try:
            yield
        finally:
            del vars(numpy)['sctypes']
        module.np = _numpy_with(names)

    _around_import('chainer.functions.array.as_strided', around)


def float_in_resize_images() -> None:
    """``chainer.functions.resize_images`` uses ``numpy.float``, removed in NumPy 1.24."""
    @contextlib.contextmanager
    def around(module):
        yield
        # Only in this function, because others in the module test whether ``xp is numpy``.
        names = dict(vars(module), numpy=_numpy_with({'float': float}))
        module.compute_indices_and_weights = types.FunctionType(
            module.compute_indices_and_weights.__code__, names)

    _around_import('chainer.functions.array.resize_images', around)


def pkg_resources_import() -> None:
    """``chainercv`` and ``chainer.testing`` need ``pkg_resources``, removed in setuptools 82."""
    @contextlib.contextmanager
    def around(module):
        with _substitute_module('pkg_resources', stand_ins.pkg_resources):
            yield

    for name in ('chainercv', 'chainer.testing.helper', 'chainer.testing.doctest_helper'):
        _around_import(name, around)


def nms_extension() -> None:
    """ChainerCV imports ``_nms_gpu_post``, a C extension that may not have been compiled."""
    @contextlib.contextmanager
    def around(module):
        with _substitute_module('chainercv.utils.bbox._nms_gpu_post', stand_ins.nms_gpu_post):
            yield

    _around_import('chainercv.utils.bbox.non_maximum_suppression', around)


def strtobool() -> None:
    """``chainercv.utils.download`` uses ``distutils``, removed in Python 3.12."""
    @contextlib.contextmanager
    def around(module):
        with _substitute_module('distutils.util', stand_ins.distutils_util):
            yield

    _around_import('chainercv.utils.download', around)


def bool_in_chainercv() -> None:
    """ChainerCV's key point modules use ``numpy.bool``, missing in NumPy 1.26."""
    if _numpy_has('bool'):
        return

    @contextlib.contextmanager
    def around(module):
        yield
        module.np = _numpy_with({'bool': bool})

    for name in ('chainercv.datasets.cub.cub_keypoint_dataset',
                 'chainercv.utils.testing.assertions.assert_is_point',
                 'chainercv.visualizations.vis_point'):
        _around_import(name, around)


def int_of_array() -> None:
    """ChainerMN's multi-node iterator calls ``int`` on a 1-d array, an error in newer NumPy 2."""
    @contextlib.contextmanager
    def around(module):
        yield
        module.int = lambda value: builtins.int(numpy.asarray(value).item())

    _around_import('chainermn.iterators.multi_node_iterator', around)


def iterators_at_exit() -> None:
    """Python 3.13 hangs at exit if an iterator with workers has not been finalized."""
    iterators: weakref.WeakSet = weakref.WeakSet()

    @contextlib.contextmanager
    def around(module):
        yield
        # Registered after multiprocessing's exit handler, and therefore called before it.
        atexit.register(lambda: [iterator.finalize() for iterator in list(iterators)])
        for name in {'MultiprocessIterator', 'MultithreadIterator'} & set(vars(module)):
            _register_instances(getattr(module, name), iterators)

    for name in ('multiprocess_iterator', 'multithread_iterator'):
        _around_import('chainer.iterators.' + name, around)


def library_warnings() -> None:
    """CuPy and Chainer warn if NCCL or cuDNN is missing; both are optional."""
    @contextlib.contextmanager
    def around(module):
        with warnings.catch_warnings():
            warnings.filterwarnings('ignore', r'\s*(nccl|cudnn) library could not be loaded')
            yield
        if module.__name__ == 'chainer.backends.cuda':
            module.check_cuda_available._already_warned = True

    for name in ('backends.cuda', 'training.updaters.multiprocess_parallel_updater'):
        _around_import('chainer.' + name, around)


def _register_instances(cls, instances):
    init = cls.__init__

    @functools.wraps(init)
    def init_and_register(self, *args, **kwargs):
        init(self, *args, **kwargs)
        instances.add(self)

    cls.__init__ = init_and_register


class _ImportHook(importlib.abc.MetaPathFinder):
    """Executes a module inside the context manager registered for it."""

    def __init__(self):
        self.around = {}

    def find_spec(self, name, path, target=None):
        if name not in self.around:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            execute = functools.partial(self._exec, spec.loader.exec_module)
            spec.loader.exec_module = execute   # type: ignore[method-assign]
        return spec

    def _exec(self, exec_module, module):
        with self.around[module.__name__](module):
            exec_module(module)


_hook = _ImportHook()


def _around_import(name, context):
    _hook.around[name] = context
    if name in sys.modules:     # already imported: only the code after the yield has an effect
        with context(sys.modules[name]):
            pass


@contextlib.contextmanager
def _substitute_module(name, make):
    """Temporarily puts the module that ``make`` returns in place of a missing one."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')     # deprecation warnings
            importlib.import_module(name)
    except ImportError:
        sys.modules[name] = make(name)
        try:
            yield
        finally:
            del sys.modules[name]
    else:
        yield


def _numpy_has(name):
    """Whether NumPy has the name and it is not deprecated."""
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        try:
            return hasattr(numpy, name)
        except Warning:
            return False


def _numpy_with(names):
    """A copy of the NumPy module with additional names."""
    return stand_ins.module('numpy', **{**vars(numpy), **names})
