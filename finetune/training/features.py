"""Local features of a fine-tuned CNN, reduced by PCA and kept on disk."""
import itertools
import math
from typing import Any, NamedTuple

import chainer
from chainer.backends import cuda
import chainer.functions as F
import numpy
from sklearn.decomposition import PCA

from finetune import files
from finetune.config.catalogue import ARCHITECTURES
from finetune.data.dataset import PartDataset, collate
from finetune.data.fingerprint import Fingerprint
from finetune.data.iterators import iterate
from finetune.errors import InputError
from finetune.files import locked
from finetune.models.encodings import local_features
from finetune.progress import progress_bar
from fve_layer import masking

SHARD_SIZE = 128                # images per file, rounded up to whole batches
SAMPLE_SIZE = 50000             # local features on which the PCA is fitted
SAMPLE_IMAGES = 2000            # largest number of images in that sample
WHITENED = 1e-6                 # smallest variance that is whitened, as a share of the largest


class Features(NamedTuple):
    """Features of some images."""

    x: Any              # (n, T, d) float32: local features after PCA
    counts: Any         # (n, T) bool: visible, and kept by the norm filter (Sect. 3.4)
    image: Any          # (n, C) float32: averaged ConvMap of the whole image
    n_visible: Any      # (n,): number of visible parts


class Store:

    """Features of a data set's images, stored in files of a few images each.

    Memory use does not depend on the number of images. An interrupted extraction is resumed.

    Args:
        folder (pathlib.Path): Folder of the files.
        extractor (Extractor): Extracts missing features.
        data_set (finetune.data.records.DataSet): The images.

    """

    def __init__(self, folder, extractor, data_set):
        self.folder = folder
        self.extractor = extractor
        self.data_set = data_set
        self.records = {'train': data_set.train, 'test': data_set.test}
        # Whole batches, so that a resumed extraction has the same batches.
        self.shard_size = math.ceil(SHARD_SIZE / extractor.batch_size) * extractor.batch_size

    def fill(self):
        """Extracts missing features, while other processes wait."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with locked(self.folder / '.lock'):
            path, images = self.folder / 'pca.npz', self.folder / 'images.csv'
            now = Fingerprint.of(self.data_set)
            if path.exists() and (not images.exists() or Fingerprint.read(images).changes(now)):
                raise self._mismatch(path)
            now.write(images)
            if not path.exists():
                files.write_arrays(path, self.extractor.fit_pca(self.records['train']))
            self.extractor.pca = files.read_arrays(path)
            if not _is_pca(self.extractor.pca, self.extractor.n_channels):
                raise self._mismatch(path)
            for split in self.records:
                self._fill(split)

    def _fill(self, split):
        records = self.records[split]
        paths = self._paths(split)
        n_done = next((i for i, path in enumerate(paths) if not path.exists()), len(paths))
        if n_done == len(paths):
            return
        shards = self.extractor.extract(records[n_done * self.shard_size:], self.shard_size)
        shards = progress_bar(shards, len(paths) - n_done, f'Features of the {split} images: '
                              f'{n_done} of {len(paths)} files exist')
        for path, features in zip(paths[n_done:], shards):
            files.write_arrays(path, features._asdict())

    def n_shards(self, split):
        return math.ceil(len(self.records[split]) / self.shard_size)

    def _paths(self, split):
        return [self.folder / f'{split}_{i:05d}.npz' for i in range(self.n_shards(split))]

    def read(self, split):
        """Yields the :class:`Features` of a split, file by file."""
        n_left = len(self.records[split])
        for path in self._paths(split):
            arrays = files.read_arrays(path)
            if not _are_features(arrays, min(n_left, self.shard_size), self.extractor):
                raise self._mismatch(path)
            n_left -= self.shard_size
            yield Features(**arrays)

    def _mismatch(self, path):
        return InputError(f'{path}: is not a file of features of these images and this CNN; remove '
                          f'the folder {self.folder} to extract the features again.')


class Extractor:

    """Extracts features of images by both CNNs of a classifier.

    Args:
        model (finetune.models.part_classifier.PartClassifier): The fine-tuned classifier.
        config (finetune.config.settings.Config): Settings of the pipeline.
        parts (finetune.parts.kind.Parts): Kind of parts, which computes their boxes.
        batch_size (int): Images per batch.
        device: Device that computes.

    """

    def __init__(self, model, config, parts, batch_size, device):
        self.model = model
        self.config = config
        self.parts = parts
        self.batch_size = batch_size
        self.device = device
        self.pca = None

    @property
    def n_channels(self):
        """Number of channels of the ConvMaps, C."""
        return ARCHITECTURES[self.model.settings.architecture].n_features

    def fit_pca(self, records):
        """Computes mean (C,) and components (d, C) of local features of some training images.

        Whitening scales the components so that the features have unit variances, and drops
        directions in which they do not vary, such as channels that are always zero.
        """
        random = numpy.random.RandomState(self.config.training.seed)
        n = min(SAMPLE_IMAGES, len(records))
        n_per_image = math.ceil(SAMPLE_SIZE / n)
        records = records[numpy.sort(random.permutation(len(records))[:n])]
        batches = progress_bar(self._raw(records), math.ceil(n / self.batch_size),
                               'Local features for the PCA')
        sample = []
        for x, counts, _, _ in batches:
            for features, mask in zip(x, counts):
                counting = features[mask]
                sample.append(counting[random.permutation(len(counting))[:n_per_image]])
        sample = numpy.concatenate(sample)
        settings = self.config.model
        if settings.pca_whiten:         # float32 would lose small variances
            sample = sample.astype(numpy.float64)
        size = min(settings.pca_size, *sample.shape)
        pca = PCA(size, random_state=self.config.training.seed).fit(sample)
        components, variances = pca.components_, pca.explained_variance_
        if settings.pca_whiten:
            varies = variances > WHITENED * variances[0]
            components = components[varies] / numpy.sqrt(variances[varies, None])
        return {'mean': pca.mean_, 'components': components}

    def extract(self, records, n_images):
        """Yields :class:`Features` of ``n_images`` images at a time, a multiple of the batch."""
        batches = self._raw(records)
        for _ in range(0, len(records), n_images):
            shard = [Features(self._reduced(x), *rest)
                     for x, *rest in itertools.islice(batches, n_images // self.batch_size)]
            yield Features(*map(numpy.concatenate, zip(*shard)))

    def _reduced(self, x):
        return ((x - self.pca['mean']) @ self.pca['components'].T).astype(numpy.float32)

    def _raw(self, records):
        """Yields the arrays of :class:`Features` per batch, with unreduced features (n, T, C)."""
        settings, training = self.config.data, self.config.training
        dataset = PartDataset(records, self.parts, settings, train=False, seed=training.seed)
        with iterate(dataset, self.batch_size, training.workers) as iterator, \
                chainer.using_config('train', False), chainer.no_backprop_mode():
            for batch in iterator:
                img, parts, visible, _ = collate(batch, self.device)
                x, mask = local_features(
                    self.model.part_conv_maps(parts, visible), visible, settings.missing)
                counts = masking.counting_features(x.array, mask, self.config.model.norm_filter)
                image = F.mean(self.model.conv_maps(self.model.global_cnn, img), axis=(2, 3))
                yield tuple(map(cuda.to_cpu, (x.array, counts, image.array, visible.sum(axis=1))))


def _is_pca(arrays, n_channels):
    return (arrays.keys() == {'mean', 'components'} and are_finite(arrays)
            and arrays['mean'].shape == (n_channels,)
            and arrays['components'].ndim == 2 and arrays['components'].shape[1] == n_channels)


def _are_features(arrays, n_images, extractor):
    if arrays.keys() != set(Features._fields) or not are_finite(arrays):
        return False
    shapes = {name: array.shape for name, array in arrays.items()}
    n, t = shapes['counts'] if len(shapes['counts']) == 2 else (0, 0)
    return n == n_images and shapes == {
        'x': (n, t, len(extractor.pca['components'])), 'counts': (n, t),
        'image': (n, extractor.n_channels), 'n_visible': (n,)}


def are_finite(arrays):
    return all(numpy.isfinite(array).all() for array in arrays.values())
