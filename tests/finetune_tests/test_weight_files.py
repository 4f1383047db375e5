"""Formats of weights: files by the libraries themselves, damaged files, and files that call."""
import argparse
import collections
import gzip
import io
import os
from pathlib import Path
import pickle
import struct
import subprocess
import sys
import tarfile
import zipfile

import numpy
import pytest

from conftest import fails
from finetune.errors import InputError
from finetune.weights.formats import opcodes, torch_files
from finetune.weights.reader import read_weights
import torch_files_reference as reference

MAGIC = 0x1950a86a20f9469cfc6c


def assert_arrays(actual, expected):
    assert actual.keys() == expected.keys()
    for name, array in expected.items():
        assert actual[name].dtype == array.dtype and actual[name].shape == array.shape, name
        assert (actual[name] == array).all(), name


@pytest.mark.parametrize('path', [reference.ZIP, reference.LEGACY])
def test_files_of_torch(path, tmp_path):
    start = 'module.' * (path == reference.LEGACY)
    expected = {start + name: array for name, array in reference.expected().items()}
    assert_arrays(read_weights(path), expected)
    renamed = tmp_path / 'model.npz'        # the content decides
    renamed.write_bytes(path.read_bytes())
    assert_arrays(read_weights(renamed), expected)


def test_place_in_a_file_of_a_training_script():
    """The averaged weights of a script win, whatever else it saved."""
    tensor = torch_files.Tensor(None, 0, (), ())
    value = {'state_dict': {'x': 1, 'y': tensor}, 'epoch': 1, 'state': {'w': tensor},
             'state_dict_ema': {'z': tensor, 'n': 'text'}, 'best': tensor}
    assert list(torch_files._tensors(value)) == ['z']
    value['state_dict_ema'] = None      # as of scripts that could average, but did not
    assert list(torch_files._tensors(value)) == ['y']
    assert list(torch_files._tensors({'model': value, 'epoch': 1})) == ['y']


@pytest.mark.parametrize('protocol', [2, 4])
def test_what_training_scripts_keep_beside_weights_is_left_out(protocol):
    class OfPython2:
        def __reduce__(self):
            return collections.OrderedDict, ([['x', 1], ['y', 2.5]],)

    beside = {'best': numpy.float64(60.2), 'args': argparse.Namespace(lr=[.1]), 'epoch': 7,
              'counts': numpy.float32(1), 'weights': OfPython2(),
              'folder': Path('a'), 'loss': numpy.zeros(3), 'names': {'a'},
              'times': collections.defaultdict(int, train=3)}
    read = torch_files._load(io.BytesIO(pickle.dumps(beside, protocol)))
    assert read == {'best': None, 'args': None, 'epoch': 7, 'counts': None,
                    'weights': {'x': 1, 'y': 2.5}, 'folder': None, 'loss': None, 'names': None,
                    'times': {'train': 3}}


def arrays():
    return {name: numpy.ascontiguousarray(array) for name, array in reference.expected().items()}


def test_safetensors(tmp_path):
    numpy_file = pytest.importorskip('safetensors.numpy')
    numpy_file.save_file(arrays(), tmp_path / 'x.pth', {'format': 'pt'})
    assert_arrays(read_weights(tmp_path / 'x.pth'), arrays())


def test_safetensors_in_bfloat16(tmp_path):
    pytest.importorskip('safetensors')
    numbers = numpy.array([1, -2.5, .125, 3e38], 'f')
    upper = numpy.frombuffer(numbers.tobytes(), '<u2')[1::2]
    header = b'{"x": {"dtype": "BF16", "shape": [2, 2], "data_offsets": [0, 8]}}'
    (tmp_path / 'x.safetensors').write_bytes(
        struct.pack('<Q', len(header)) + header + upper.tobytes())
    read = read_weights(tmp_path / 'x.safetensors')['x']
    assert read.dtype == 'f' and abs(read.ravel() / numbers - 1).max() < 2 ** -7
    assert (read.ravel()[:3] == numbers[:3]).all()


def test_keras(tmp_path):
    h5py = pytest.importorskip('h5py')
    kept = {name: array for name, array in arrays().items() if name != 'nothing'}
    with h5py.File(tmp_path / 'x', 'w') as file:
        for name, array in kept.items():
            file[f'model_weights/{name}/{name}:0'] = array
        file['words'] = 'none'
        file['again'] = h5py.SoftLink('/words')
        file['elsewhere'] = h5py.ExternalLink('secret.h5', '/x')
    assert_arrays(read_weights(tmp_path / 'x'),
                  {f'model_weights/{name}/{name}:0': array for name, array in kept.items()})


def test_npz_in_a_zip_file(tmp_path):
    numpy.savez_compressed(tmp_path / 'x.npz', **arrays())
    with zipfile.ZipFile(tmp_path / 'x.npz.zip', 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.write(tmp_path / 'x.npz', 'some/x.npz')
    for name in ('x.npz', 'x.npz.zip'):
        assert_arrays(read_weights(tmp_path / name), arrays())


@pytest.mark.parametrize('package, content', [
    ('safetensors', struct.pack('<Q', 2) + b'{}'), ('h5py', b'\x89HDF\r\n\x1a\n'),
    ('tensorflow', b'x' * 40 + bytes.fromhex('57fb808b247547db'))])
def test_without_its_package_a_sentence_says_what_to_install(
        package, content, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, package, None)
    (tmp_path / 'x').write_bytes(content)
    error = fails(capsys, 'convert', tmp_path / 'x', tmp_path / 'out.npz')
    assert f'pip install {package}' in error


class Called:

    """Whose pickle calls a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


CANARY = Path('executed')
# With the end of the name in a pickle.
CALLS = {Called(os.system, f'touch {CANARY}'): '.system',
         Called(eval, f'open("{CANARY}", "w")'): '.eval',
         Called(subprocess.Popen, ['touch', str(CANARY)]): '.Popen',
         Called(CANARY.touch): ''}       # by builtins.getattr and a class of pathlib


def zipped(data, **files):
    file = io.BytesIO()
    with zipfile.ZipFile(file, 'w') as archive:
        for name, content in {'data.pkl': data, **files}.items():
            archive.writestr(f'archive/{name}', content)
    return file.getvalue()


def legacy(data, keys=(), rest=b''):
    parts = MAGIC, 1001, {'little_endian': True}
    return (b''.join(pickle.dumps(part, 2) for part in parts) + data
            + pickle.dumps(list(keys), 2) + rest)


@pytest.mark.parametrize('protocol', [2, 4])
@pytest.mark.parametrize('call', CALLS)
@pytest.mark.parametrize('pack', [zipped, legacy, lambda data: data])
def test_pickle_that_calls_is_refused_by_name(pack, call, protocol, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for value in (call, {'state_dict': collections.OrderedDict(x=call)}, [call], {'x': (call,)}):
        Path('x.pth').write_bytes(pack(pickle.dumps(value, protocol)))
        error = fails(capsys, 'convert', 'x.pth', 'out.npz')
        assert f'{CALLS[call]}, which weights do not need, so nothing of it is executed' in error
    assert not CANARY.exists() and not Path('out.npz').exists()


def raw(text):
    """Opcodes by their one-byte names, with arguments in between."""
    return b'\x80\x02' + text + b'.'


STORAGE = (b'X\x07\x00\x00\x00storage', b'ctorch\nFloatStorage\n', b'X\x01\x00\x00\x000',
           b'X\x03\x00\x00\x00cpu', b'K\x04')


def tensor_pickle(offset=b'K\x00', shape=b'(K\x02K\x02t', strides=b'(K\x02K\x01t',
                  storage=STORAGE):
    """A dict with a tensor x of 2 x 2 numbers."""
    return raw(b'}X\x01\x00\x00\x00xctorch._utils\n_rebuild_tensor_v2\n((' + b''.join(storage)
               + b'tQ' + offset + shape + strides + b'\x89}tRs')


NUMBERS = numpy.arange(4, dtype='f').tobytes()


def test_the_pickle_of_the_next_test_is_a_file_of_torch(tmp_path):
    path = tmp_path / 'x.pth'
    for content in (zipped(tensor_pickle(), **{'data/0': NUMBERS}),
                    legacy(tensor_pickle(), '0', struct.pack('<q', 4) + NUMBERS)):
        path.write_bytes(content)
        assert_arrays(read_weights(path), {'x': numpy.arange(4, dtype='f').reshape(2, 2)})


def test_tensors_of_old_scripts_and_of_gpus(tmp_path):
    data = tensor_pickle(storage=(STORAGE[0], b'ctorch.cuda\nFloatStorage\n', *STORAGE[2:]))
    data = data.replace(b'_rebuild_tensor_v2', b'_rebuild_tensor')
    (tmp_path / 'x').write_bytes(legacy(data, '0', struct.pack('<q', 4) + NUMBERS))
    assert_arrays(read_weights(tmp_path / 'x'), {'x': numpy.arange(4, dtype='f').reshape(2, 2)})


IMPOSSIBLE = {
    'offset': tensor_pickle(offset=b'K\x01'),
    'negative offset': tensor_pickle(offset=b'J\xff\xff\xff\xff'),
    'negative stride': tensor_pickle(strides=b'(J\xff\xff\xff\xffK\x01t'),
    'large stride': tensor_pickle(strides=b'(K\x03K\x01t'),
    'many strides': tensor_pickle(strides=b'(K\x02K\x01K\x01t'),
    'huge shape': tensor_pickle(shape=b'(J\xff\xff\xff\x7fK\x02t'),
    'huge shape without strides': tensor_pickle(b'K\x00', b'(J\x00\x00\x10\x00J\x00\x00\x10\x00t',
                                                b'(K\x00K\x00t'),
    'text as shape': tensor_pickle(shape=b'X\x02\x00\x00\x00ab'),
    'fractions as shape': tensor_pickle(shape=b'(G?\xf0\x00\x00\x00\x00\x00\x00K\x02t'),
    'huge storage': tensor_pickle(storage=(*STORAGE[:-1], b'J\xff\xff\xff\x7f')),
    'negative storage': tensor_pickle(storage=(*STORAGE[:-1], b'J\xff\xff\xff\xff')),
    'no storage': tensor_pickle(storage=(b'X\x06\x00\x00\x00module', *STORAGE[1:])),
    'function as type': tensor_pickle(storage=(STORAGE[0], b'ccollections\nOrderedDict\n',
                                               *STORAGE[2:])),
    'a view of a storage': tensor_pickle(storage=(*STORAGE, b'(K\x00K\x00K\x00t')),
    'storage in another place': tensor_pickle(
        storage=(*STORAGE[:2], b'X\x05\x00\x00\x00../xy', *STORAGE[3:])),
    'a call of a class': raw(b'ctorch\nFloatStorage\n)R'),
    'a call of a text': raw(b'X\x01\x00\x00\x00x)R'),
    'a value that was not stored': raw(b'h\x07'),
    'an empty stack': raw(b'0'), 'a mark too few': raw(b't'), 'two values': raw(b'NN'),
    'appending to nothing': raw(b'NNa'), 'an item of a text': raw(b'X\x01\x00\x00\x00xNNs'),
    'an instance': raw(b'(ios\nsystem\n'), 'an extension': raw(b'\x82\x01'),
    'a new object of a class': raw(b'ctorch\nFloatStorage\n)\x81'),
    'a tuple as key': raw(b'})Ns'), 'no end': b'\x80\x02}',
    'long text': b'\x80\x02X\xff\xff\xff\x7fx', 'no pickle': b'\x80abc',
    'billions of numbers': b'\x80\x02\x8b\xff\xff\xff\x7fx',
    # tuples of tuples, 2 ** 60 elements in 60 opcodes, as key
    'many tuples': raw(b'})' + b''.join(b'q%cq%c\x86' % (i, i) + b'h%ch%c\x86' % (i, i)
                                        for i in range(60)) + b'Ns'),
}


@pytest.mark.parametrize('data', IMPOSSIBLE.values(), ids=IMPOSSIBLE)
@pytest.mark.parametrize('is_zip', [True, False])
def test_impossible_pickles(data, is_zip, tmp_path):
    content = (zipped(data, **{'data/0': NUMBERS}) if is_zip else
               legacy(data, '0', struct.pack('<q', 4) + NUMBERS))
    (tmp_path / 'x.pth').write_bytes(content)
    with pytest.raises(InputError, match='x.pth: (is not a complete file of torch.save|names os)'):
        read_weights(tmp_path / 'x.pth')


def big_endian():
    return zipped(tensor_pickle(), byteorder='big', **{'data/0': NUMBERS})


def big_endian_legacy():
    return legacy(tensor_pickle(), '0', struct.pack('<q', 4) + NUMBERS).replace(b'\x88', b'\x89', 1)


def compressed():
    file = io.BytesIO()
    zeros = tensor_pickle(storage=(*STORAGE[:-1], b'J' + struct.pack('<i', 10 ** 6)))
    with zipfile.ZipFile(file, 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr('x/data.pkl', zeros)
        archive.writestr('x/data/0', bytes(4 * 10 ** 6))
    return file.getvalue()


def bomb(is_zipped=True):
    """An .npz of 80 MB of zeros, of less than a megabyte, and that in a zip file."""
    inner, outer = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(inner, 'w', zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with archive.open('x.npy', 'w') as file:
            numpy.lib.format.write_array_header_1_0(
                file, {'descr': '<f4', 'fortran_order': False, 'shape': (2 * 10 ** 7,)})
            file.write(bytes(8 * 10 ** 7))
    with zipfile.ZipFile(outer, 'w') as archive:
        archive.writestr('x.npz', inner.getvalue())
    return outer.getvalue() if is_zipped else inner.getvalue()


def object_array():
    file, outer = io.BytesIO(), io.BytesIO()
    numpy.savez(file, x=numpy.array([next(iter(CALLS))], object))
    with zipfile.ZipFile(outer, 'w') as archive:
        archive.writestr('x.npz', file.getvalue())
    return outer.getvalue()


def of_zip(*names):
    file = io.BytesIO()
    with zipfile.ZipFile(file, 'w') as archive:
        for name in names:
            archive.writestr(name, 'x')
    return file.getvalue()


def tarred():
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode='w') as archive:
        archive.addfile(tarfile.TarInfo('x.ckpt'))
    return file.getvalue()


def npy():
    file = io.BytesIO()
    numpy.save(file, numpy.zeros(3))
    return file.getvalue()


@pytest.mark.parametrize('make, problem', [
    (big_endian, 'another byte order'), (big_endian_legacy, 'another byte order'),
    (compressed, 'it is compressed'), (bomb, 'bytes become 8000'),
    (object_array, 'allow_pickle'),
    (lambda: legacy(tensor_pickle(), '0', struct.pack('<q', 5) + NUMBERS), 'storage 0 has'),
    (lambda: zipped(tensor_pickle(), **{'data/0': NUMBERS * 2}), 'storage 0 has another size'),
    (lambda: zipped(tensor_pickle()), 'data/0'),
    (lambda: struct.pack('<Q', 10) + b'{"x":[],"y', 'safetensors file'),
    (lambda: b'\x89HDF\r\n\x1a\n' + bytes(300), 'HDF5 file'),
    (lambda: b'PK\x03\x04' + bytes(100), 'npz file')])
def test_broken_files(make, problem, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path('x').write_bytes(make())
    error = fails(capsys, 'convert', 'x', 'out.npz')
    assert 'x: is not a complete' in error and problem in error
    assert not CANARY.exists() and not Path('out.npz').exists()


def test_small_files_with_large_arrays_are_not_read(tmp_path, capsys):
    (tmp_path / 'x').write_bytes(bomb(is_zipped=False))
    error = fails(capsys, 'convert', tmp_path / 'x', tmp_path / 'out.npz')
    assert 'x: contains 80000128 bytes, more than weights in a file of its size' in error


@pytest.mark.parametrize('content, problem', [
    (b'\n <!DOCTYPE html><title>Virus scan warning</title>', 'is a web page, not weights; '),
    (b'version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n', 'run git lfs pull'),
    (gzip.compress(b'x', mtime=0), 'is compressed by gzip; unpack it'),
    (npy(), 'is a single array'),
    (tarred(), 'is a tar file; unpack it'), (zipped(b''), 'is not a complete file of torch.save'),
    (zipped(raw(b']')), 'has no tensors with names; save the state_dict'),
    (zipped(raw(b'}'), **{'constants.pkl': b'', 'code/x.py': b'x'}), 'is a program of TorchScript'),
    (pickle.dumps([1]), 'is a pickle, but not of torch.save'),
    (of_zip('a/x.pth', 'a/b.txt'), 'is a zip file without arrays; unpack it'),
    (of_zip('config.json', 'model.weights.h5'), "save the model by model.save('model.h5')")])
def test_what_people_have_in_place_of_weights(content, problem, tmp_path, capsys):
    (tmp_path / 'x').write_bytes(content)
    error = fails(capsys, 'convert', tmp_path / 'x', tmp_path / 'out.npz')
    assert f'{tmp_path}/x: ' in error and problem in error


def test_types_of_numbers_that_numpy_lacks(tmp_path, capsys):
    pytest.importorskip('safetensors')
    header = b'{"x": {"dtype": "F8_E4M3", "shape": [2], "data_offsets": [0, 2]}}'
    (tmp_path / 'x').write_bytes(struct.pack('<Q', len(header)) + header + bytes(2))
    error = fails(capsys, 'convert', tmp_path / 'x', tmp_path / 'out.npz')
    assert 'x: has numbers of type F8_E4M3, which are not read; save them as float32.' in error


@pytest.mark.parametrize('content', [b'', b'weights', bytes(range(256)), b'{"x": 1}'])
def test_files_in_no_known_format(content, tmp_path, capsys):
    (tmp_path / 'x').write_bytes(content)
    error = fails(capsys, 'convert', tmp_path / 'x', tmp_path / 'out.npz')
    assert 'x: is in no known format of weights' in error


def file_of(kind, folder):
    """A file with the arrays of the reference."""
    path = folder / 'x'
    if kind == 'safetensors':
        pytest.importorskip('safetensors.numpy').save_file(arrays(), path)
    elif kind == 'keras':
        with pytest.importorskip('h5py').File(path, 'w') as file:
            file.update({name: array for name, array in arrays().items() if array.size})
    elif kind == 'npz.zip':
        numpy.savez_compressed(folder / 'inner.npz', **arrays())
        with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
            archive.write(folder / 'inner.npz', 'inner.npz')
    else:
        path.write_bytes({'zip': reference.ZIP, 'legacy': reference.LEGACY}[kind].read_bytes())
    return path


@pytest.mark.parametrize('kind', ['zip', 'legacy', 'safetensors', 'keras', 'npz.zip'])
def test_truncated_files(kind, tmp_path):
    path = file_of(kind, tmp_path)
    content = path.read_bytes()
    for n in {*numpy.linspace(1, len(content) - 1, 40).astype(int)}:
        path.write_bytes(content[:n])
        with pytest.raises(InputError) as raised:
            read_weights(path)
        assert str(raised.value).startswith(f'{path}: ') and '\n' not in str(raised.value)


def test_large_hdf5_arrays_without_data_are_refused(tmp_path):
    h5py = pytest.importorskip('h5py')
    with h5py.File(tmp_path / 'x', 'w') as file:
        file.create_dataset('x', (10 ** 6, 10 ** 6), 'f', chunks=(1000, 1000))
    with pytest.raises(InputError, match='x is larger than any known weights'):
        read_weights(tmp_path / 'x')


def test_hdf5_names_that_are_not_utf_8_are_refused(tmp_path):
    h5py = pytest.importorskip('h5py')
    with h5py.File(tmp_path / 'x', 'w') as file:
        file[b'a\xff'] = numpy.zeros(3)
    with pytest.raises(InputError, match='a name is not UTF-8'):
        read_weights(tmp_path / 'x')


def test_hdf5_arrays_in_other_files_are_refused(tmp_path):
    h5py = pytest.importorskip('h5py')
    (tmp_path / 'secret').write_bytes(bytes(16))
    with h5py.File(tmp_path / 'x', 'w') as file:
        file.create_dataset('x', (4,), 'f', external=[(str(tmp_path / 'secret'), 0, 16)])
    with pytest.raises(InputError, match='x is in another file'):
        read_weights(tmp_path / 'x')


def test_files_larger_than_any_weights_are_not_read(tmp_path):
    with open(tmp_path / 'x', 'wb') as file:
        file.truncate(2 ** 32 + 1)
    with pytest.raises(InputError, match='4294967297 bytes, more than any known weights'):
        read_weights(tmp_path / 'x')


def test_no_name_outside_the_table_is_looked_up():
    """Not even one whose module does not exist or breaks when it is imported."""
    for text in (b'cantigravity\nfly\n', b'cno such module\nx\n', b'ctorch\nload\n',
                 b'ccollections\nOrderedDict.clear\n'):
        with pytest.raises(opcodes.ForeignName):
            opcodes.load(io.BytesIO(raw(text)), torch_files.FUNCTIONS, torch_files.CLASSES, None)
    assert 'antigravity' not in sys.modules
