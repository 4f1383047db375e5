"""Prints settings, counts and shapes of an experiment without training or writing files.

Weights, and the runs that it needs, are checked, or whether a run that has begun can go on.
"""
import math
from pathlib import Path
import tempfile
import warnings

import chainer

from finetune.checks import needs
from finetune.config.config import dump, read_config
from finetune.config.project import HERE
from finetune.data import readable, readers
from finetune.data.dataset import collate, PartDataset
from finetune.experiments import prerequisites
from finetune.models.part_classifier import build_classifier
from finetune.names import shown
from finetune.parts import kind
from finetune.runs import longer
from finetune.runs.folder import NEW, RunFolder
from finetune.runs.folds import folder_of
from finetune.training.conv_maps import DTYPE, size_of
from finetune.training.inputs import n_stored


def describe(config_path, overrides=(), project=HERE, output=None, is_run=True):
    """Prints the merged settings, the size of the data set and the shapes in the network.

    Args:
        config_path (str): YAML file of the experiment.
        overrides (list of str): ``section.name=value`` settings that win over the file.
        project (finetune.config.project.Project): What paths are relative to.
        output (str or None): Folder of the run; ``None``: the default folder.
        is_run (bool): Whether it is a run of its own, which may have begun, and not one of a
            comparison of photographs.

    """
    config = read_config(config_path, overrides, project)
    prerequisites.check_circle(config_path, config)
    if output:
        config.project = project.of_run(output, config.data, is_new=True)
        folder = RunFolder(output, config.project)
    else:
        folder = folder_of(config_path, config)
    if is_run:
        folder.check(config, longer.allowed(folder, config))
    print(f'# {config_path}\n{dump(config)}')
    with tempfile.TemporaryDirectory() as drawn:
        if readers.is_to_be_drawn(config):       # in a temporary folder
            config.data.root = str(Path(drawn, 'drawn'))
        _describe(config, folder if is_run and folder.state != NEW else None)


def _describe(config, begun):
    """``begun`` is the folder of a run that has begun, or ``None``."""
    data_set = kind.load(config, provisional=True)
    if config.data.upright:     # as before the run; all pictures would take long to read
        readable.require_classes(config, data_set)
    print(f'classes {len(data_set.class_names)}, training images {len(data_set.train)}, '
          f'test images {len(data_set.test)}, parts {len(data_set.part_names)}')
    for line in list(readers.describe(config, data_set))[1:]:
        print(shown(line))
    model = build_classifier(config, data_set)
    dataset = PartDataset(data_set.train, data_set.parts, config.data, train=False,
                          seed=config.training.seed)
    batch = collate([dataset[i] for i in range(min(2, len(dataset)))])
    with chainer.using_config('train', False), chainer.no_backprop_mode(), \
            warnings.catch_warnings():
        warnings.simplefilter('ignore')     # the mixture has seen nothing
        shapes = dict(_shapes(model, *batch, config))
    for name, shape in shapes.items():
        print(f'{name:20s} {" x ".join(map(str, shape))}')
    if config.training.keeps_conv_maps:
        numbers = n_stored(config, data_set)
        n_bytes = DTYPE.itemsize * sum(
            n * math.prod(shapes.get(name, ())[1:])
            for n, name in zip(numbers, ('ConvMaps', 'ConvMaps of parts')))
        print(f'ConvMaps on disk     {sum(numbers)} in {DTYPE}, {size_of(n_bytes)}')
    print(f'parameters           {model.count_params():,}', flush=True)
    if begun:
        print(shown(_what_remains(begun, config, data_set)), flush=True)
        return
    for _, text in [*needs.weights(config), *needs.classifier(config, data_set),
                    *needs.runs(config)]:
        print(shown(text), flush=True)


def _what_remains(folder, config, data_set):
    if not data_set.parts.to_be_found:
        folder.check_data(data_set, config)
    done, n_epochs = longer.epochs_done(folder, config, len(data_set.train)), config.training.epochs
    if done is None:
        return f'{folder}: is finished; it is only evaluated again'
    return f'{folder}: goes on after epoch {done}, to epoch {n_epochs}'


def _shapes(model, img, parts, visible, label, config):
    """Names and shapes of the arrays in the network for a small batch."""
    yield 'images', img.shape
    conv_map = model.global_cnn(img)
    yield 'ConvMaps', conv_map.shape
    if model.has_encoder:
        if model.n_parts > 0:
            yield 'visible part crops', parts.shape
        conv_map, visible = model.encoded_maps(conv_map, parts, visible)
        if model.n_parts > 0:
            yield 'ConvMaps of parts', conv_map.shape
        inputs = model.encoder_input(conv_map, visible)
        if model.encoding.has_mixture:
            n, t, size = inputs[0].shape
            yield 'local features', (n, t, size)
        if not config.training.is_joint:
            size = min(size, config.model.pca_size)
            yield 'after PCA', (n, t, size)
            yield 'Fisher vectors', (n, 2 * config.model.n_components * size)
            return
        for name, vector in model.vectors(inputs, conv_map).items():
            yield name.replace('_', ' '), vector.shape
    yield 'class scores', (len(img), model.n_classes)
