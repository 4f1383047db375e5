"""The layers of PyTorch are the links of Chainer, and behave as modules of PyTorch do."""
import copy
import itertools
import os
from pathlib import Path
import socket
import subprocess
import sys
from types import SimpleNamespace
import warnings

import chainer
import numpy
import pytest

import fve_layer
from fve_layer import link

torch = pytest.importorskip('torch')
from torch.autograd.gradcheck import GradcheckError  # noqa: E402

from fve_layer import tensors, torch as ours  # noqa: E402

N, T, D = 4, 30, 6
SETTINGS = list(itertools.product((1, 5, 20), (False, True), ('sqrt', 'mean'), (True, False)))
TOLERANCE = {'float32': 1e-6, 'float64': 1e-12}


def batches(n_steps, dtype, seed=0):
    """Features that drift, and masks, of which one hides all features of an image."""
    random = numpy.random.RandomState(seed)
    centres = random.normal(0, 2, (4, D))
    for step in range(n_steps):
        x = centres[random.randint(4, size=(N, T))] + random.normal(0, .5, (N, T, D)) + step / 50
        mask = random.uniform(size=(N, T)) < .8
        mask[step % N] &= step % 7 != 3
        yield x.astype(dtype), mask, random.normal(size=N).astype(dtype)


def pair(dtype, k, **settings):
    """The same layer for Chainer and for PyTorch."""
    with chainer.using_config('dtype', numpy.dtype(dtype)):
        of_chainer = fve_layer.FVELayer(D, k, seed=3, **settings)
    before = torch.get_default_dtype()
    torch.set_default_dtype(getattr(torch, dtype))
    try:
        return of_chainer, ours.FVELayer(D, k, seed=3, **settings)
    finally:
        torch.set_default_dtype(before)


def close(first, second, dtype):
    numpy.testing.assert_allclose(first, second, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


@pytest.mark.parametrize('dtype', TOLERANCE)
@pytest.mark.parametrize('k, is_masked, normalization, resp_gradient', SETTINGS)
def test_outputs_gradients_and_state_are_those_of_the_link(k, is_masked, normalization,
                                                           resp_gradient, dtype):
    of_chainer, module = pair(dtype, k, normalization=normalization, resp_gradient=resp_gradient,
                              norm_filter=is_masked)
    for x, mask, factor in batches(50, dtype):
        variable = chainer.Variable(x)
        tensor = torch.tensor(x, requires_grad=True)
        expected = of_chainer(variable, mask if is_masked else None)
        got = module(tensor, torch.from_numpy(mask) if is_masked else None)
        close(got.detach(), expected.array, dtype)
        gradient = numpy.broadcast_to(factor[:, None], expected.shape).astype(dtype)
        expected.grad = gradient
        expected.backward()
        got.backward(torch.from_numpy(gradient.copy()))
        close(tensor.grad, variable.grad, dtype)
        for name in 'mean', 'var', 'weight', 'n_updates', 'log_likelihood':
            close(getattr(module, name), getattr(of_chainer, name), dtype)


@pytest.mark.parametrize('settings', [
    {'relative_var_floor': 1., 'var_floor': 1e-9}, {'ema_decay': .99}, {'init': 'random'}],
    ids=str)
def test_other_settings_are_those_of_the_link(settings):
    of_chainer, module = pair('float64', 5, **settings)
    for x, mask, _ in batches(10, 'float64'):
        close(module(torch.from_numpy(x), torch.from_numpy(mask)),
              of_chainer(x, mask).array, 'float64')
    close(module.smallest_var, of_chainer.smallest_var, 'float64')


@pytest.mark.parametrize('is_masked', (False, True))
def test_gradcheck(is_masked):
    random = torch.Generator().manual_seed(0)
    x = torch.randn(2, 5, D, dtype=torch.float64, generator=random).requires_grad_()
    mask = torch.rand(2, 5, generator=random) < .7 if is_masked else None
    layer = ours.FVELayer(D, 3, seed=0, init='random', var_floor=2).double()
    mixture = layer.mean, layer.var, layer.weight
    assert torch.autograd.gradcheck(lambda x: ours.fisher_vector(x, *mixture, mask), x)
    with pytest.raises(GradcheckError):     # the responsibilities are no constants
        torch.autograd.gradcheck(lambda x: ours.fisher_vector(
            x, *mixture, mask, resp_gradient=False), x)


def test_test_mode_does_not_learn_and_warns_once_without_a_mixture():
    x = torch.rand(N, T, D)
    layer = ours.FVELayer(D, 2, seed=0).eval()
    with pytest.warns(UserWarning, match='test mode') as caught:
        layer(x)
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        layer(x)
    assert not layer.is_seeded and layer.n_updates == 0
    layer.train()(x)
    before = copy.deepcopy(layer.state_dict())
    layer.eval()(x + 1)
    assert all(torch.equal(before[name], value) for name, value in layer.state_dict().items())


def test_features_pass_through_the_mixture():
    x = torch.rand(N, T, D)
    layer = ours.GMMLayer(D, 2, seed=0)
    assert layer(x) is x and layer.n_updates == 1 and layer.out_size == D


def test_state_moves_between_the_layers(tmp_path):
    of_chainer, module = pair('float32', 5, relative_var_floor=.5)
    for x, mask, _ in batches(3, 'float32'):
        of_chainer(x, mask)
    ours.copy_state(of_chainer, module)
    again, _ = pair('float32', 5, relative_var_floor=.5)
    ours.copy_state(module, again)
    other = ours.FVELayer(D, 5, seed=9, relative_var_floor=.5)
    torch.save(module.state_dict(), tmp_path / 'state.pt')
    other.load_state_dict(torch.load(tmp_path / 'state.pt'))
    for layer in again, module, other, copy.deepcopy(module):
        x, mask, _ = list(batches(4, 'float32'))[-1]
        if layer is again:
            got = layer(x, mask).array
        else:
            got = layer(torch.from_numpy(x), torch.from_numpy(mask))
        close(got, copy.deepcopy(of_chainer)(x, mask).array, 'float32')


def test_a_copy_learns_by_itself():
    layer = ours.FVELayer(D, 2, seed=0)
    layer(torch.rand(N, T, D))
    other = copy.deepcopy(layer)
    other(torch.rand(N, T, D))
    assert layer.n_updates == 1 and not torch.equal(layer.mean, other.mean)


@pytest.mark.parametrize('settings, problem', [
    ({'in_size': 0}, 'in_size and n_components must be at least 1'),
    ({'ema_decay': 1}, r'ema_decay must be in \[0, 1\)'), ({'init': 'x'}, 'init must be one of'),
    ({'var_floor': 0}, 'var_floor must be positive'), ({'seed': -1}, 'seed must be a whole number'),
    ({'relative_var_floor': -1}, 'relative_var_floor must be finite'),
    ({'normalization': 'x'}, 'normalization must be one of')], ids=str)
def test_settings_have_the_errors_of_the_link(settings, problem):
    settings = {'in_size': D, 'n_components': 2, **settings}
    for layer in fve_layer.FVELayer, ours.FVELayer:
        with pytest.raises(ValueError, match=problem):
            layer(**settings)


@pytest.mark.parametrize('x, mask, problem', [
    (torch.rand(N, D, 3, 3), None, r'in PyTorch h.flatten\(2\).transpose\(1, 2\)$'),
    (torch.rand(N, T, D + 1), None, 'shape'),
    (torch.zeros(N, T, D, dtype=int), None, 'floats'),
    (torch.rand(N, T, D), torch.ones(N, T + 1, dtype=bool), 'mask must have')])
def test_inputs_have_the_errors_of_the_link(x, mask, problem):
    with pytest.raises(ValueError, match=problem):
        ours.FVELayer(D, 2)(x, mask)


@pytest.mark.parametrize('name, value, problem', [
    ('var', -1, 'var must be positive'), ('mean', numpy.nan, 'must be finite'),
    ('var', numpy.inf, 'must be finite')])
def test_a_state_that_is_no_mixture_is_refused(name, value, problem):
    layer = ours.FVELayer(D, 2, seed=0)
    state = {**layer.state_dict(), name: torch.full((2, D), value)}
    with pytest.raises(RuntimeError, match=problem):
        layer.load_state_dict(state)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype):
    x, _, _ = next(batches(1, 'float32'))
    layer = ours.FVELayer(D, 3, seed=0)
    expected = layer(torch.from_numpy(x).to(dtype).float())
    other = ours.FVELayer(D, 3, seed=0)
    half = torch.from_numpy(x).to(dtype).requires_grad_()
    with torch.autocast('cpu', dtype):
        got = other(half)
    assert got.dtype == torch.float32 and other.mean.dtype == torch.float32
    numpy.testing.assert_allclose(got.detach(), expected, rtol=1e-5, atol=1e-5)
    got.sum().backward()
    assert half.grad.dtype == dtype
    assert other(half).dtype == dtype


@pytest.mark.parametrize('use_reentrant', (True, False))
def test_a_checkpoint_takes_one_step(use_reentrant):
    from torch.utils.checkpoint import checkpoint
    x, _, _ = next(batches(1, 'float32'))
    layers = [ours.FVELayer(D, 3, seed=0) for _ in range(2)]
    tensors = [torch.tensor(x, requires_grad=True) for _ in layers]
    layers[0](tensors[0]).sum().backward()
    checkpoint(layers[1], tensors[1], use_reentrant=use_reentrant).sum().backward()
    assert layers[1].n_updates == 1
    assert torch.equal(*(tensor.grad for tensor in tensors))


def test_an_earlier_graph_keeps_its_mixture():
    (x, _, _), (other, _, _) = batches(2, 'float32')
    grads = []
    for is_later in False, True:
        layer, tensor = ours.FVELayer(D, 3, seed=0), torch.tensor(x, requires_grad=True)
        fv = layer(tensor)
        if is_later:
            layer(torch.from_numpy(other))
        fv.sum().backward()
        grads.append(tensor.grad)
    assert torch.equal(*grads)


def test_compiled_network_breaks_the_graph_at_the_layer_alone():
    network = torch.nn.Sequential(torch.nn.Linear(D, D), ours.FVELayer(D, 2, seed=0),
                                  torch.nn.Linear(4 * D, 2))
    explained = torch._dynamo.explain(network)(torch.rand(N, T, D))
    assert explained.graph_break_count <= 1


def test_no_second_derivative():
    x = torch.rand(1, 5, D, requires_grad=True)
    fv = ours.FVELayer(D, 2, seed=0)(x)
    gx, = torch.autograd.grad(fv.square().sum(), x, create_graph=True)
    assert gx.isfinite().all()
    with pytest.raises(RuntimeError, match='differentiate twice'):
        gx.sum().backward()


def test_half_converts_the_network_but_not_the_mixture():
    layer = ours.FVELayer(D, 3, seed=0, relative_var_floor=1, var_floor=1e-9)
    layer(1e-4 * torch.randn(N, T, D))      # float16 cannot represent the variances
    before = copy.deepcopy(layer.state_dict())
    network = torch.nn.Sequential(torch.nn.Linear(D, D), layer).half()
    assert network[0].weight.dtype == torch.float16
    for name, value in layer.state_dict().items():
        assert torch.equal(value, before[name]) and value.dtype == before[name].dtype
    assert layer.double().mean.dtype == torch.float64


@pytest.mark.parametrize('name', ['x', 'mask'])
@pytest.mark.parametrize('norm_filter', [False, True])
def test_an_input_that_is_changed_before_the_backward_pass_is_an_error(name, norm_filter):
    inputs = {'x': torch.rand(N, T, D), 'mask': torch.rand(N, T) < .5}
    x = inputs['x'].requires_grad_()
    fv = ours.FVELayer(D, 2, seed=0, norm_filter=norm_filter)(**inputs)
    with torch.no_grad():
        inputs[name].fill_(0)
    if name == 'mask' and norm_filter:      # the layer has a mask of its own
        fv.sum().backward()
    else:
        with pytest.raises(RuntimeError, match='modified by an inplace operation'):
            fv.sum().backward()
        assert x.grad is None


@pytest.mark.parametrize('convert', [torch.Tensor.numpy, torch.Tensor.tolist, torch.Tensor.int])
def test_masks_of_other_kinds(convert):
    x, mask = torch.rand(N, T, D), torch.rand(N, T) < .5
    expected, found = (ours.FVELayer(D, 2, seed=0)(x, m) for m in (mask, convert(mask)))
    assert torch.equal(expected, found)


def test_the_seed_is_drawn_from_pytorchs_generator():
    before = numpy.random.get_state()[1].tolist()
    seeds = []
    for _ in range(2):
        torch.manual_seed(5)
        seeds.append([ours.FVELayer(D, 2).seed for _ in range(2)])
    assert seeds[0] == seeds[1] and len(set(seeds[0])) == 2
    assert numpy.random.get_state()[1].tolist() == before


def test_tracing_is_an_error(monkeypatch):
    monkeypatch.setattr(torch.jit, 'is_tracing', lambda: True)
    with pytest.raises(RuntimeError, match='cannot be traced or exported'):
        ours.FVELayer(D, 2, seed=0)(torch.rand(N, T, D))


def test_devices_without_an_implementation_are_named(monkeypatch):
    with pytest.raises(ValueError, match='on CPUs and CUDA devices, not on meta'):
        ours.FVELayer(D, 2, seed=0)(torch.empty(N, T, D, device='meta'))
    monkeypatch.setitem(sys.modules, 'cupy', None)
    tensor = SimpleNamespace(device=torch.device('cuda:0'), dtype=torch.float32,
                             detach=lambda: tensor, to=lambda dtype: tensor)
    with pytest.raises(ImportError, match='pip install cupy-cuda12x'):
        tensors.to_array(tensor)


def test_a_given_mixture_is_a_constant():
    mixture = map(torch.nn.Parameter, (torch.rand(2, D), torch.ones(2, D), torch.ones(2) / 2))
    assert not ours.fisher_vector(torch.rand(N, T, D), *mixture).requires_grad


def test_a_layer_of_another_size_is_refused():
    layers = ours.FVELayer(D, 1, seed=0), ours.FVELayer(D, 5, seed=0), fve_layer.FVELayer(D, 2)
    for source, target in itertools.permutations(layers, 2):
        with pytest.raises(ValueError, match='mean has the shape'):
            ours.copy_state(source, target)


def test_the_tensors_are_not_copied(monkeypatch):
    seen = []
    monkeypatch.setattr(ours, 'maths_for', lambda x: seen.append(x) or link.function.maths_for(x))
    x = torch.rand(N, T, D)
    ours.FVELayer(D, 2, seed=0)(x)
    assert all(numpy.shares_memory(array, x.numpy()) for array in seen) and len(seen) == 2


def test_two_processes_have_one_mixture_as_one_process_on_the_joined_batches(tmp_path):
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = str(free.getsockname()[1])
    outputs = {rank: tmp_path / f'{rank}.npz' for rank in ('0', '1', 'alone')}
    script = Path(__file__).with_name('torch_ranks.py')
    processes = [subprocess.Popen([sys.executable, str(script), rank, port, str(output)],
                                  env={**os.environ, 'OMP_NUM_THREADS': '1',
                                       'PYTHONPATH': os.pathsep.join(sys.path)})
                 for rank, output in outputs.items()]
    assert [process.wait(120) for process in processes] == [0, 0, 0]
    first, second, alone = (dict(numpy.load(output)) for output in outputs.values())
    assert first['n_updates'] == 12
    for name, value in alone.items():
        assert numpy.array_equal(first[name], second[name]), name
        numpy.testing.assert_allclose(first[name], value, rtol=1e-6, atol=1e-6, err_msg=name)


def test_a_copied_state_without_a_mixture_is_seeded_again():
    """Else all components would stay equal."""
    x = torch.tensor(numpy.random.RandomState(0).normal(size=(4, 30, D)), dtype=torch.float32)
    with chainer.using_config('dtype', numpy.float32):
        for target in ours.FVELayer(D, 3, seed=0), fve_layer.FVELayer(D, 3, seed=0):
            for _ in range(2):
                target(x if isinstance(target, torch.nn.Module) else x.numpy())
            ours.copy_state(ours.FVELayer(D, 3, seed=1), target)
            assert not target.is_seeded
            target(x if isinstance(target, torch.nn.Module) else x.numpy())
            assert len(numpy.unique(numpy.asarray(target.weight))) == 3


def test_buffers_follow_pytorch():
    with torch.device('meta'):
        layer = ours.FVELayer(D, 2, seed=0)
    assert layer.mean.device.type == 'meta'
    assert not layer.to_empty(device='cpu').mean.is_meta
    trained = ours.FVELayer(D, 2, seed=0)
    trained(torch.rand(2, 9, D))
    half = {name: a.half() if a.is_floating_point() else a
            for name, a in trained.state_dict().items()}
    layer.load_state_dict(half, assign=True)
    assert layer.mean.dtype == torch.float32 and layer.is_seeded
