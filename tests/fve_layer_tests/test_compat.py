"""Every shim in an interpreter of its own: with it the code runs, without it the code fails."""
import os
import pathlib
import subprocess
import sys
import warnings

import numpy
import pytest

import fve_layer

ROOT = pathlib.Path(fve_layer.__file__).parents[1]


def run(code, without=(), before=''):
    """Runs code after compat.apply() without the shims named; returns the finished process."""
    # Without the package's own code, which would apply all of them.
    prelude = '\n'.join([
        before, 'import sys, types',
        'package = sys.modules["fve_layer"] = types.ModuleType("fve_layer")',
        'package.__path__ = [%r]' % str(ROOT / 'fve_layer'),
        'from fve_layer import compat',
        *('assert compat.%s; compat.%s = lambda: None' % (name, name) for name in without),
        'compat.apply()', ''])
    return subprocess.run([sys.executable, '-c', prelude + code], capture_output=True, text=True,
                          env=dict(os.environ, OMP_NUM_THREADS='1'), timeout=60)


def check(shim, code, symptom, before=''):
    process = run(code, before=before)
    assert process.returncode == 0, process.stderr
    assert process.stderr == ''
    process = run(code, without=[shim], before=before)
    assert process.returncode != 0
    assert symptom in process.stderr


def numpy_has(name):
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        try:
            return hasattr(numpy, name)
        except Warning:
            return False


@pytest.mark.parametrize('code, sentence', [
    ('numpy.__version__ = "1.25.2"',
     'fve_layer needs NumPy 1.26 or newer, not 1.25.2; pip install --upgrade numpy'),
    ('importlib.metadata.version = lambda name: "7.7.0"', 'needs Chainer 7.8.1, not 7.7.0; '),
    ('import packaging.version, runpy, sys; sys.path = sys.path[:1]',
     'needs Chainer 7.8.1, not none; ')])
def test_requirements(code, sentence):
    """Of the layer and of the program, whose own sentence ends with exit code 2."""
    before = f'import importlib.metadata, numpy; {code}'
    for entry in ('import fve_layer; fve_layer.FVELayer',
                  'import runpy; runpy.run_module("finetune", {}, "__main__")'):
        process = subprocess.run([sys.executable, '-c', f'{before}; {entry}'], cwd=ROOT, text=True,
                                 capture_output=True)
        assert sentence in process.stderr.splitlines()[-1]
    assert process.returncode == 2 and len(process.stderr.splitlines()) == 1
    process = run('compat.requirements()', before=before)
    assert process.returncode != 0


def test_environment_check():
    check('environment_check',
          'import chainer; assert "numpy.distutils" not in sys.modules, "numpy.distutils"',
          'distutils')


@pytest.mark.skipif(numpy_has('sctypes'), reason='this NumPy has sctypes')
def test_sctypes():
    check('sctypes', 'import chainer', 'sctypes')


AS_STRIDED = '''
import chainer, numpy
x = chainer.Variable(numpy.arange(4, dtype=numpy.%s))
y = chainer.functions.as_strided(x, (3, 2), (1, 1), 0)
y.grad = numpy.ones((3, 2), dtype=x.dtype)
y.backward()
assert x.grad.tolist() == [1, 2, 2, 1]
'''


@pytest.mark.parametrize('dtype', ['float16', 'float32', 'float64'])
def test_as_strided_backward(dtype):
    process = run(AS_STRIDED % dtype)
    assert process.returncode == 0, process.stderr


RESIZE = '''
import chainer, numpy, warnings
warnings.simplefilter('error')
x = chainer.Variable(numpy.array([[[[0, 2], [4, 6]]]], dtype=numpy.float32))
y = chainer.functions.resize_images(x, (3, 3))
assert y.array.tolist() == [[[[0, 1, 2], [2, 3, 4], [4, 5, 6]]]]
chainer.functions.sum(y).backward()
assert x.grad.tolist() == [[[[2.25, 2.25], [2.25, 2.25]]]]
'''


def test_resize_images():
    check('float_in_resize_images', RESIZE, 'float')


@pytest.mark.skipif(not numpy_has('sctypes'), reason='Chainer cannot be imported first')
def test_chainer_may_be_imported_first():
    before = """
import sys, types
sys.modules['chainer._environment_check'] = types.SimpleNamespace(check=lambda: None)
import chainer
"""
    process = run(RESIZE, before=before)
    assert process.returncode == 0, process.stderr


CHAINER_FIRST = """
import sys
try:
    import chainer
except (ImportError, AttributeError):
    pass
"""


def test_import_of_chainer_that_failed_is_taken_back():
    """On NumPy 2 or Python 3.12 Chainer alone fails halfway; where it does not, nothing is lost."""
    process = run(RESIZE, before=CHAINER_FIRST)
    assert process.returncode == 0, process.stderr
    alone = subprocess.run([sys.executable, '-c', 'import chainer'], capture_output=True)
    process = run(RESIZE, before=CHAINER_FIRST, without=['failed_import'])
    assert (process.returncode == 0) == (alone.returncode == 0)


CUPY = """
import types, sys, warnings
warnings.simplefilter('always')
"""


def test_libraries_are_not_missed():
    """CuPy looks for them when Chainer imports it, and what is for several GPUs."""
    before = CUPY + """
class Package(types.ModuleType):
    __path__ = []
    def __getattr__(self, name):
        library = {'cuda': 'cudnn', 'nccl': 'nccl'}.get(name)
        if library:
            warnings.warn(f'\\n{library} library could not be loaded')
        raise AttributeError(name)
for name in ('cupy', 'cupy.cuda'):
    sys.modules[name] = Package(name)
"""
    process = run('import chainer', before=before)
    assert (process.returncode, process.stderr) == (0, '')
    process = run('import chainer', before=before, without=['library_warnings'])
    assert 'nccl library' in process.stderr and 'cudnn library' in process.stderr


def test_chainer_does_not_ask_for_cudnn():
    code = """
import chainer
cuda = chainer.backends.cuda
cuda.available, cuda.cudnn_enabled, cuda._cudnn_disabled_by_user = True, False, False
cuda.check_cuda_available()
"""
    process = run(code, before=CUPY)
    assert (process.returncode, process.stderr) == (0, '')
    assert 'cuDNN is not enabled' in run(code, before=CUPY, without=['library_warnings']).stderr


def without_module(name):
    return 'import sys; sys.modules[%r] = None' % name


def test_chainercv_without_pkg_resources():
    check('pkg_resources_import',
          'import chainercv, importlib.metadata\n'
          'assert chainercv.__version__ == importlib.metadata.version("chainercv")\n'
          'assert "pkg_resources" not in sys.modules',
          'pkg_resources', before=without_module('pkg_resources'))


def test_chainer_testing_without_pkg_resources():
    code = '''
import chainer.testing, unittest
def runs(*requirements):
    ran = []
    try:
        chainer.testing.with_requires(*requirements)(lambda: ran.append(1))()
    except unittest.SkipTest:
        pass
    return bool(ran)
assert runs('numpy>=1.10', 'chainer')
assert not runs('numpy<1.10')
assert not runs('no-such-package')
'''
    check('pkg_resources_import', code, 'pkg_resources', before=without_module('pkg_resources'))


def test_pkg_resources_does_not_warn():
    process = run('import chainercv')
    assert (process.returncode, process.stderr) == (0, '')


NMS = '''
import chainercv, numpy
module = sys.modules['chainercv.utils.bbox.non_maximum_suppression']
mask = numpy.zeros((70, 2), dtype=numpy.uint64)
mask[0, 0] = 1 << 63 | 1 << 1      # box 0 suppresses boxes 1 and 63,
mask[1, 0] = 1 << 2                # box 1, which is gone, would suppress box 2,
mask[2, 1] = 1 << 5                # box 2 suppresses box 69
selection, n = module._nms_gpu_post(mask.ravel(), 70, 64, 2)
assert selection[:n].tolist() == [i for i in range(70) if i not in (1, 63, 69)]
assert selection.dtype == numpy.int32
'''


def test_nms_extension():
    check('nms_extension', NMS, '_nms_gpu_post',
          before=without_module('chainercv.utils.bbox._nms_gpu_post'))


STRTOBOOL = '''
from chainercv.utils.download import strtobool
assert [strtobool(text) for text in ('ON', 'yes', '1', 'OFF', 'n', '0')] == [1, 1, 1, 0, 0, 0]
try:
    strtobool('perhaps')
except ValueError:
    pass
else:
    raise AssertionError('perhaps')
'''


def test_strtobool():
    check('strtobool', STRTOBOOL, 'distutils',
          before=without_module('distutils') + '; sys.modules["distutils.util"] = None')


VIS_POINT = '''
import matplotlib; matplotlib.use('Agg')
import chainercv, numpy, warnings
with warnings.catch_warnings():
    warnings.simplefilter('error')
    sys.modules['chainercv.visualizations.vis_point'].np.bool
chainercv.visualizations.vis_point(numpy.zeros((3, 8, 8)), numpy.array([[[3., 4.]]]))
'''


@pytest.mark.skipif(numpy_has('bool'), reason='this NumPy has bool')
def test_vis_point():
    process = run(VIS_POINT)
    assert process.returncode == 0, process.stderr
    process = run(VIS_POINT, without=['bool_in_chainercv'])
    assert process.returncode != 0
    assert 'bool' in process.stderr


MULTI_NODE_ITERATOR = '''
from chainermn.iterators.multi_node_iterator import _MultiNodeIteratorSlave
import numpy
class Communicator:
    def bcast(self, data, root):
        return numpy.array([7], dtype=numpy.float32)
assert _MultiNodeIteratorSlave(Communicator(), 0).dataset_size == 7
'''


def int_of_array_fails():
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        try:
            int(numpy.ones(1))
        except TypeError:
            return True
    return False


def test_multi_node_iterator():
    process = run(MULTI_NODE_ITERATOR)
    assert process.returncode == 0, process.stderr
    if int_of_array_fails():
        process = run(MULTI_NODE_ITERATOR, without=['int_of_array'])
        assert 'TypeError' in process.stderr


ITERATOR = '''
import chainer, faulthandler
iterator = chainer.iterators.%s(list(range(40)), 4, **%s)
assert len(next(iterator)) == len(next(iterator)) == 4
faulthandler.dump_traceback_later(3, exit=True)
'''


@pytest.mark.parametrize('name, arguments', [
    ('MultiprocessIterator', dict(n_processes=1, shared_mem=100)),
    ('MultithreadIterator', dict(n_threads=1))])
def test_iterators_at_exit(name, arguments):
    process = run(ITERATOR % (name, arguments))
    assert (process.returncode, process.stderr) == (0, '')
    # Without: a hang, which faulthandler ends, or an exception while the iterator is deleted.
    process = run(ITERATOR % (name, arguments), without=['iterators_at_exit'])
    assert 'Timeout' in process.stderr or 'Exception ignored' in process.stderr


def test_nothing_is_left_behind_and_nothing_is_said():
    process = run('''
import chainer, chainer.testing, chainercv
now = {name for name in vars(numpy) if not isinstance(vars(numpy)[name], type(numpy))}
assert not now - names, now - names
assert compat.apply() is None
''', before='import numpy; names = set(vars(numpy)); '
            'names |= {"__warningregistry__"} | set(getattr(numpy, "__all__", ()))')
    assert (process.returncode, process.stderr) == (0, '')


def test_importing_fve_layer_applies_them():
    process = subprocess.run(
        [sys.executable, '-c', 'import fve_layer, chainer, chainer.testing, chainercv'],
        cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (process.returncode, process.stderr) == (0, '')
