"""Finds the parts of a data set and writes them in the authors' layout."""
from collections.abc import Callable
from dataclasses import asdict, replace
import hashlib
from itertools import islice
import math
from pathlib import Path
import shutil
from typing import Any

import chainer
from chainer.backends import cuda
import numpy
import yaml

from finetune import files
from finetune.compute.threads import one_thread
from finetune.config.schema import read_yaml
from finetune.config.settings import Config
from finetune.data.annotation_files import LOCATIONS
from finetune.data.dataset import collate, PartDataset
from finetune.data.fingerprint import Fingerprint
from finetune.data.iterators import iterate
from finetune.data.layout import find_layout, ORIGIN, WORK
from finetune.data.records import DataSet
from finetune.errors import InputError
from finetune.files import atomic, locked, write_text
from finetune.parts.cs_parts import detector, selection
from finetune.parts.cs_parts.detector import BATCH_SIZE, Detector
from finetune.progress import progress_bar
from finetune.weights.pretrained import load_trained

SHARD_BATCHES = 16                  # batches per file of unfinished work
DETECTOR, IMAGES = 'detector', 'images.csv'
HIDDEN = -1, -1, -1, -1


def find_parts(config: Config, data_set: DataSet, folder: Path, source: Any,
               device: chainer.backend.Device, is_to_be_done: Callable[[], bool]) -> None:
    """Finds the parts of all training and test images and writes their boxes.

    The files have the layout of the authors' tools: ``parts/parts.txt`` and
    ``parts/part_locs.txt`` with lines ``image part x y width height`` in pixels of the detector's
    square input. Parts are numbered from 1 in descending order of their peaks; if nothing is found
    in an image, its parts are hidden, ``-1 -1 -1 -1``. The folder also gets the detector and
    ``origin.yml`` and ``images.csv``, which record its settings and input.

    An interrupted search is resumed; its results do not depend on interruptions or on the number
    of processes that load images.

    Args:
        config (finetune.config.settings.Config): Settings of detector and data set.
        data_set (finetune.data.records.DataSet): The images, without parts.
        folder (pathlib.Path): Folder for the result.
        source (finetune.runs.folder.RunFolder): Run with a detector, or finished run whose CNN of
            whole images becomes a detector.
        device (chainer.backend.Device): Device that computes.
        is_to_be_done (callable): Returns false if another process has found the parts meanwhile.

    """
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / '.lock', lambda: print(
            f'{folder}: waiting for another process that finds parts', flush=True)), one_thread():
        if is_to_be_done():
            _Search(config, data_set, folder).run(source, device)


def check_origin(folder: Path, config: Config, data_set: DataSet) -> None:
    """Raises an error if boxes were found in other images or, by this detector, differently."""
    if (folder / ORIGIN).exists():
        _check_origin(folder, _origin(config, data_set) if config.detector.cnn else {}, data_set)


class _Search:

    """Search for parts, which keeps unfinished work in files."""

    def __init__(self, config, data_set, folder):
        self.config, self.data_set, self.folder = config, data_set, folder
        self.work = folder / WORK

    def run(self, source, device):
        is_made = source.detector.is_dir()
        weights = source.detector / detector.WEIGHTS if is_made else source.model
        origin = {**_origin(self.config, self.data_set), 'weights': _sha256(weights.read_bytes())}
        self.work.mkdir(exist_ok=True)
        if (self.work / ORIGIN).exists():
            _check_origin(self.work, origin, self.data_set)
        _write_origin(self.work, origin, self.data_set)
        found_by = (detector.load(source.detector, device) if is_made
                    else self._make_detector(source, device))
        records = self.data_set.train + self.data_set.test
        boxes = self._by_batch(records, 'boxes', 'Parts of all images', lambda img: numpy.stack(
            [_to_file(parts) for parts in found_by.look(img)]))
        found_by.save(self.folder / DETECTOR)
        _write_origin(self.folder, origin, self.data_set)
        _write_boxes(self.folder / LOCATIONS, records, boxes)   # last: marks the end of the search
        shutil.rmtree(self.work)
        n_empty = int((boxes == HIDDEN).all(axis=(1, 2)).sum())
        print(f'{self.folder}: {found_by.n_parts} parts in each of {len(records)} images'
              + (f', except {n_empty} images in which none was found' if n_empty else ''),
              flush=True)

    def _make_detector(self, cnn, device):
        """Makes a detector of a CNN by fitting a sparse SVM on features of the training images."""
        settings, records, cnn_config = self.config.detector, self.data_set.train, cnn.read_config()
        model = load_trained(cnn.model, cnn_config, cnn.read_names(), device).global_cnn
        if len(set(records.labels.tolist())) < 2:
            raise InputError(f'{find_layout(self.config).main}: has training images of one class, '
                             'but the detector needs at least two; add another class.')

        def compute(img):
            with chainer.no_backprop_mode():
                features, _ = detector.pooled_features(model, img, device)
            return cuda.to_cpu(features.array)[:len(img)]

        features = self._by_batch(records, 'features', 'Features of the training images', compute)
        svm = selection.fit_svm(features, records.labels, settings.svm_c)
        print(f'{(svm[0] != 0).sum(axis=1).mean():.1f} of {features.shape[1]} features are '
              'selected for a class, mean over the classes', flush=True)
        return Detector(settings, cnn_config.model.architecture, model, *svm, device)

    def _by_batch(self, records, name, title, compute):
        """Computes rows (n, ...) from the images, batch by batch, and keeps them in files."""
        n_per_file = SHARD_BATCHES * BATCH_SIZE
        paths = [self.work / f'{name}_{i:05d}.npz'
                 for i in range(math.ceil(len(records) / n_per_file))]
        n_done = next((i for i, path in enumerate(paths) if not path.exists()), len(paths))
        if n_done < len(paths):
            left = records[n_done * n_per_file:]
            batches = progress_bar(self._inputs(left), math.ceil(len(left) / BATCH_SIZE), title)
            for path in paths[n_done:]:
                rows = [compute(img) for img in islice(batches, SHARD_BATCHES)]
                files.write_arrays(path, {'rows': numpy.concatenate(rows)})
        shards = [numpy.atleast_1d(files.read_arrays(path).get('rows', [])) for path in paths]
        if (len({shard.shape[1:] for shard in shards}) > 1
                or sum(map(len, shards)) != len(records)):
            raise InputError(f'{self.work}: holds files of another search for parts; remove this '
                             'folder to restart the search.')
        return numpy.concatenate(shards)

    def _inputs(self, records):
        settings = replace(self.config.data, input_size=self.config.detector.input_size)
        dataset = PartDataset(records, self.data_set.parts, settings, train=False, seed=0)
        with iterate(dataset, BATCH_SIZE, self.config.training.workers) as iterator:
            for batch in iterator:
                yield collate(batch)[0]


def part_names(n_parts: int) -> list[str]:
    """Names of parts that are only numbered."""
    return [f'part_{i}' for i in range(1, n_parts + 1)]


def _to_file(parts):
    """Returns x, y, width and height of each box, or HIDDEN, (P, 4) int."""
    low, high = parts.boxes[:, :2], parts.boxes[:, 2:]
    boxes = numpy.concatenate([low[:, ::-1], (high - low)[:, ::-1]], axis=1)
    return numpy.where(parts.visible[:, None], boxes, HIDDEN)


def _write_boxes(path, records, boxes):
    path.parent.mkdir(exist_ok=True)
    write_text(path.with_name('parts.txt'), ''.join(
        f'{i} {name}\n' for i, name in enumerate(part_names(boxes.shape[1]), 1)))
    with atomic(path) as unfinished, open(unfinished, 'w', encoding='utf-8') as file:
        for image_id, of_image in zip(records.image_ids, boxes):
            for i, box in enumerate(of_image, 1):
                file.write(' '.join(map(str, (image_id, i, *box))) + '\n')


def _origin(config, data_set):
    """Settings and input that determine the boxes."""
    images = ''.join(f'{split} {label} {image_id}\n' for split in ('train', 'test') for
                     label, image_id in zip(*(getattr(getattr(data_set, split), column)
                                              for column in ('labels', 'image_ids'))))
    return {'detector': asdict(config.detector), 'images': _sha256(images.encode())}


def _sha256(data):
    return hashlib.sha256(data).hexdigest()


def _check_origin(folder, origin, data_set):
    there = read_yaml(folder / ORIGIN)
    changed = [name for name, value in origin.get('detector', {}).items()
               if (there.get('detector') or {}).get(name) != value]
    if changed:
        names = ', '.join(f'detector.{name}' for name in changed)
        raise _other(folder, f'with a different {names}')
    if (folder / IMAGES).exists():
        changes = Fingerprint.read(folder / IMAGES).changes(Fingerprint.of(data_set))
        if changes:
            raise _other(folder, f'before the data set changed: {changes}')
    if any(there.get(name) != value for name, value in origin.items()):
        raise _other(folder, 'in other images or by another CNN')


def _other(folder, how):
    return InputError(f'{folder}: parts were found {how}; set data.boxes to another folder, or '
                      'move this one away to find them again.')


def _write_origin(folder, origin, data_set):
    Fingerprint.of(data_set).write(folder / IMAGES)
    write_text(folder / ORIGIN, yaml.safe_dump(origin, sort_keys=False))
