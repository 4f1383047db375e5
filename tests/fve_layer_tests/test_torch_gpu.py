"""The layers of PyTorch on CuPy arrays.

Where PyTorch sees no GPU, as beside a stand-in for CUDA, its tensors stay on the CPU and are copied
to CuPy: the module, its state and its gradients are tested, and DLPack and streams with CuPy alone.
"""
from types import SimpleNamespace

import chainer
import numpy
import pytest

import fve_layer

torch = pytest.importorskip('torch')

from fve_layer import tensors, torch as ours  # noqa: E402

N, T, D = 4, 40, 16
TOLERANCE = {'float32': 1e-5, 'float64': 1e-11}

pytestmark = pytest.mark.gpu


@pytest.fixture(params=['copies', 'DLPack'])
def device(request, monkeypatch):
    """Where the tensors are, in the ways that this machine has."""
    import cupy
    if request.param == 'copies':
        monkeypatch.setattr(tensors, 'to_array', lambda tensor: None if tensor is None else
                            cupy.asarray(tensor.detach().numpy()))
        monkeypatch.setattr(tensors, 'to_tensor',
                            lambda array: torch.from_numpy(cupy.asnumpy(array)))
        yield 'cpu'
    elif not torch.cuda.is_available():
        pytest.skip('PyTorch sees no GPU')
    else:
        with torch.cuda.stream(torch.cuda.Stream()):
            yield 'cuda'


@pytest.mark.parametrize('dtype', TOLERANCE)
@pytest.mark.parametrize('k, settings', [
    (1, {}), (5, {'normalization': 'mean', 'norm_filter': True}), (20, {'resp_gradient': False}),
    (5, {'relative_var_floor': 1., 'var_floor': 1e-9})], ids=str)
def test_outputs_gradients_and_state_are_those_of_the_link_on_a_cpu(k, settings, dtype, device):
    random = numpy.random.RandomState(0)
    with chainer.using_config('dtype', numpy.dtype(dtype)):
        link = fve_layer.FVELayer(D, k, seed=0, **settings)
    module = ours.FVELayer(D, k, seed=0, **settings).to(device, getattr(torch, dtype))
    for step in range(10):
        x = random.normal(step / 5, 1, (N, T, D)).astype(dtype)
        mask = random.uniform(size=(N, T)) < .7
        mask[0] = step % 2
        gfv = random.normal(size=(N, 2 * k * D)).astype(dtype)
        variable, tensor = chainer.Variable(x), torch.tensor(x, device=device, requires_grad=True)
        expected = link(variable, mask)
        expected.grad = gfv
        expected.backward()
        found = module(tensor, torch.tensor(mask, device=device))
        found.backward(torch.tensor(gfv, device=device))
        for a, b in [(found.detach(), expected.array), (tensor.grad, variable.grad),
                     *((getattr(module, name), getattr(link, name))
                       for name in ('mean', 'var', 'weight', 'n_updates', 'log_likelihood'))]:
            assert abs(a.cpu().numpy() - b).max() <= TOLERANCE[dtype] * abs(b).max()


@pytest.mark.parametrize('dtype', ['float32', 'float64', 'float16', 'bool', 'int32'])
def test_dlpack_shares_memory(dtype, monkeypatch):
    import cupy
    array = cupy.arange(6).reshape(2, 3).astype(dtype)

    class Tensor:       # what the layer asks of a tensor on a GPU
        device, dtype = SimpleNamespace(type='cuda', index=0), 'of PyTorch'
        __dlpack__, __dlpack_device__ = array.__dlpack__, array.__dlpack_device__

        def detach(self):
            return self

        def to(self, dtype):
            return self

    view = tensors.to_array(Tensor())
    assert view.dtype == dtype and view.shape == (2, 3) and view.data.ptr == array.data.ptr
    monkeypatch.setattr(torch, 'from_dlpack', cupy.from_dlpack)     # PyTorch's needs its own CUDA
    assert tensors.to_tensor(array).data.ptr == array.data.ptr


def test_cupy_computes_on_the_stream_of_pytorch(monkeypatch):
    import cupy
    stream = cupy.cuda.Stream(non_blocking=True)
    monkeypatch.setattr(torch.cuda, 'current_stream',
                        lambda device: SimpleNamespace(cuda_stream=stream.ptr))
    tensor = SimpleNamespace(device=SimpleNamespace(type='cuda', index=0))
    with tensors.on_stream_of(tensor):
        assert cupy.cuda.get_current_stream().ptr == stream.ptr
    assert cupy.cuda.get_current_stream().ptr == cupy.cuda.Stream.null.ptr
