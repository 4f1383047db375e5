"""What a run's classifier is given: images and crops, or their ConvMaps if these are kept."""
from __future__ import annotations

import hashlib
import itertools
import math
from typing import Any

import chainer
from chainer.backends import cuda
import numpy

from finetune.config.config import active_names, get
from finetune.config.settings import Config
from finetune.data.contents import identify
from finetune.data.dataset import Example, PartDataset
from finetune.data.iterators import iterate
from finetune.data.records import DataSet
from finetune.data.views import (
    Key, places_of, test_views, training_views, Views, Wanted, WHOLE)
from finetune.errors import InputError
from finetune.models.part_classifier import PartClassifier
from finetune.progress import progress_bar
from finetune.runs.folder import arrays_of
from finetune.training.conv_maps import DTYPE, size_of, Store

BATCH_PIXELS, MAX_BATCH = 32 * 224 ** 2, 128        # of the inputs of a CNN
SHARD_BYTES = 2 ** 25       # of the ConvMaps in a file, about

# Settings of the section ``data`` that do not change an input of the part CNN, given its key.
NOT_OF_CROPS = {f'data.{name}' for name in (
    'dataset', 'split', 'fold', 'root', 'test_share', 'split_seed', 'drawing', 'train_per_class',
    'n_parts', 'boxes', 'missing', 'order', 'input_size', 'flip', 'colour_jitter', 'random_crop',
    'part_jitter', 'part_dropout', 'test_flip')}


class Inputs:

    """Makes the datasets of a run, like the class :class:`~finetune.data.dataset.PartDataset`."""

    are_conv_maps = False

    def prepare(self, model: PartClassifier, with_training: bool) -> None:
        """Computes what the datasets need of a model that has its weights."""

    def __call__(self, *arguments: Any, **options: Any) -> PartDataset:
        return PartDataset(*arguments, **options)


def inputs_of(config: Config, data_set: DataSet) -> Inputs:
    """The inputs of a run."""
    return StoredInputs(config, data_set) if config.training.keeps_conv_maps else Inputs()


def n_stored(config: Config, data_set: DataSet) -> tuple[int, int]:
    """Numbers of whole images and of part crops, in all views, whose ConvMaps are kept."""
    n_images = n_crops = 0
    for records, views in (
            (data_set.train, training_views(config.data, config.training.views, 0)),
            (data_set.test, test_views(config.data))):
        visible = records.visible
        n_images += len(views) * len(records)
        n_crops += len(views) * int(visible.size if config.data.missing == 'centre'
                                    else visible.sum())
    return n_images, n_crops if config.data.has_parts else 0


class StoredInputs(Inputs):

    """Makes datasets of ConvMaps that are kept on disk.

    Args:
        config (finetune.config.settings.Config): Settings of the run.
        data_set (finetune.data.records.DataSet): The data set with its parts.

    """

    are_conv_maps = True

    def __init__(self, config: Config, data_set: DataSet):
        self.config, self.data_set = config, data_set
        self.training_views = training_views(
            config.data, config.training.views, config.training.seed)
        self.test_views = test_views(config.data)
        self._contents: dict[str, str] = {}     # by the image's id
        self._stores: dict[bool, Store] = {}    # of parts, of whole images

    def __call__(self, *arguments: Any, **options: Any) -> StoredDataset:
        return StoredDataset(self, *arguments, **options)

    def prepare(self, model: PartClassifier, with_training: bool) -> None:
        """Computes missing ConvMaps of the test images, and of the training images if needed."""
        records, views = self.data_set.test, len(self.data_set.test) * [self.test_views]
        if with_training:
            train = self.data_set.train
            records, views = train + records, len(train) * [self.training_views] + views
        self._contents.update(zip(records.image_ids, identify(records.paths)))
        for of_parts in (False, True) if model.n_parts > 0 else (False,):
            cnn = model.part_cnn if of_parts else model.global_cnn
            store = self._stores[of_parts] = Store(
                self.config.project.results / 'features',
                _origin(self.config, cnn, of_parts))
            with store.opened():
                wanted = self._missing(store, records, views, of_parts)
                if wanted:
                    self._fill(store, records, wanted, model, cnn, of_parts)

    def conv_map(self, image_id: str, place: str, view: str) -> numpy.ndarray:
        """A ConvMap (C, h, w), float16, of a whole image or a part."""
        return self._stores[place != WHOLE][Key(self._contents[image_id], place, view)]

    @property
    def shape_of_parts(self) -> tuple[int, ...]:
        """Shape (C, h, w) of the ConvMaps of parts; zeros if no image has a part."""
        return self._stores[True].shape if True in self._stores else (0, 0, 0)

    def _missing(self, store, records, views, of_parts):
        """A list of :class:`Wanted`: what a store lacks of the views of each image."""
        missing, known = [], set()
        for i, (record, of_image) in enumerate(zip(records, views)):
            keys = self._keys(record, of_image, of_parts)
            lacking = {key: slot for key, slot in keys.items()
                       if key not in store and key not in known}
            if lacking:
                missing.append(Wanted(i, tuple(lacking.values()), tuple(lacking)))
                known |= lacking.keys()
        return missing

    def _keys(self, record, views, of_parts):
        """The numbers of an image's parts that are cropped, or ``None``, by their keys."""
        contents = self._contents[record.image_id]
        places = dict(enumerate(places_of(record))) if of_parts else {None: WHOLE}
        shows_hidden = self.config.data.missing == 'centre'
        return {Key(contents, place, view): slot for view in views
                for slot, place in places.items()
                if slot is None or shows_hidden or record.visible[slot]}

    def _fill(self, store, records, wanted, model, cnn, of_parts):
        """Computes ConvMaps by whole batches, so that an interruption does not change them."""
        data = self.config.data
        size = data.part_input_size if of_parts else data.input_size
        batch_size = min(max(BATCH_PIXELS // size ** 2, 1), MAX_BATCH)
        shape = _conv_maps(model, cnn, numpy.zeros((1, 3, size, size), numpy.float32)).shape[1:]
        n_bytes = math.prod(shape) * DTYPE.itemsize
        keys = [key for one in wanted for key in one.keys]
        owners = [one.i for one in wanted for _ in one.keys]
        store.require_space(len(keys) * n_bytes)
        views, crops = {key.view for key in keys}, 'part crops' if of_parts else 'whole images'
        batches = progress_bar(
            self._batches(records, wanted, size, batch_size), math.ceil(len(keys) / batch_size),
            f'{store.folder}: ConvMaps are computed once: {len(wanted)} images, {len(views)} '
            f'view{"s" if len(views) > 1 else ""}, in all {len(keys)} {crops} of {size} pixels, '
            f'each {" x ".join(map(str, shape))} in {DTYPE}, {size_of(len(keys) * n_bytes)}')
        done, shard = 0, []
        for batch in batches:
            shard.append(_conv_maps(model, cnn, batch))
            n = sum(map(len, shard))
            if n * n_bytes >= SHARD_BYTES or done + n == len(keys):
                paths = [records[i].path for i in owners[done:done + n]]
                if identify(paths) != [key.contents for key in keys[done:done + n]]:
                    raise InputError(f'{store.folder}: images have changed while their ConvMaps '
                                     'were computed; start again.')
                store.add(keys[done:done + n], numpy.concatenate(shard))
                done, shard = done + n, []

    def _batches(self, records, wanted, size, batch_size):
        """Yields inputs (n, 3, size, size); threads load them beside the CNN."""
        dataset = Views(records, self.data_set.parts, self.config.data, size, wanted)
        n_images = max(batch_size // max(len(one.keys) for one in wanted), 1)
        with iterate(dataset, n_images, max(self.config.training.workers, 1)) as iterator:
            inputs = (view for examples in iterator for views in examples for view in views)
            while batch := list(itertools.islice(inputs, batch_size)):
                yield numpy.stack(batch)


def _conv_maps(model, cnn, batch):
    """ConvMaps (n, C, h, w), float16, on the CPU."""
    with chainer.using_config('train', False), chainer.no_backprop_mode(), \
            numpy.errstate(over='ignore'):
        conv_map = model.computed_conv_maps(cnn, model.xp.asarray(batch)).array
        return cuda.to_cpu(conv_map.astype(DTYPE))


def _origin(config, cnn, of_parts):
    """Everything that determines the ConvMaps of a key."""
    digest = hashlib.sha256()
    for name, array in sorted(arrays_of(cnn).items()):
        array = numpy.ascontiguousarray(cuda.to_cpu(array))
        digest.update(f'{name} {array.dtype} {array.shape}\n'.encode() + array.tobytes())
    names = ([name for name in active_names(config)
              if name.startswith('data.') and name not in NOT_OF_CROPS] if of_parts else
             ['data.input_size', 'data.interpolation'])
    return {'format': 1, 'inputs': 'part crops' if of_parts else 'whole images',
            'architecture': config.model.architecture, 'dtype': config.training.dtype,
            'sha256 of the weights': digest.hexdigest(), 'upright': config.data.upright,
            **{name: get(config, name) for name in names}}


class StoredDataset(PartDataset):

    """Like :class:`~finetune.data.dataset.PartDataset`, with ConvMaps in place of images and crops.

    ``img`` is (C, h, w), ``parts`` (V, C, h', w'), both float16. In as many consecutive epochs as
    there are views, each image shows each view once, in an order that depends on seed and image.

    Args:
        inputs (StoredInputs): Has the ConvMaps when examples are read.
        arguments, options: As those of the base class.

    """

    is_slow = False

    def __init__(self, inputs: StoredInputs, *arguments: Any, **options: Any):
        super().__init__(*arguments, **options)
        self.inputs = inputs

    def get_example(self, index: int) -> Example:
        index, view = divmod(int(index), self.n_views)
        epoch, i = divmod(index, len(self.records))
        record = self.records[i]
        view = (self._training_view(record.image_id, epoch) if self.train else
                self.inputs.test_views[view])
        order, visible = self.cropped_parts(i, epoch)
        img, places = self.inputs.conv_map(record.image_id, WHOLE, view), places_of(record)
        parts = [self.inputs.conv_map(record.image_id, places[part], view)
                 for part in order[visible]]
        if not parts:
            parts = numpy.empty((0, *self.inputs.shape_of_parts), img.dtype)
        return img, numpy.stack(parts) if len(parts) else parts, visible, numpy.int32(record.label)

    def _training_view(self, image_id, epoch):
        views = self.inputs.training_views
        number, place = divmod(epoch + len(views) - 1, len(views))     # epochs count from 1
        # A generator for each example would take longer than the example.
        order = sorted(views, key=lambda view: hashlib.blake2b(
            f'{self.seed} {number} {view} {image_id}'.encode(), digest_size=8).digest())
        return order[place]
