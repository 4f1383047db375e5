"""Finds the parts of a data set and writes them in the authors' layout."""
from collections.abc import Callable
from itertools import islice
import math
from pathlib import Path
import shutil
from typing import Any, NamedTuple

import chainer
from chainer import serializers
from chainer.backends import cuda
import numpy

from finetune import files
from finetune.compute.threads import one_thread
from finetune.config.conditions import CLASS_FREE
from finetune.config.settings import Config, Data
from finetune.data import pictures
from finetune.data.annotation_files import LOCATIONS
from finetune.data.iterators import iterate
from finetune.data.layout import find_layout, WORK
from finetune.data.records import DataSet, Records
from finetune.errors import InputError
from finetune.files import atomic, locked, write_text
from finetune.names import counted
from finetune.parts.cs_parts import detector, origin, selection
from finetune.parts.cs_parts.detector import BATCH_SIZE, Detector, NO_FOLD
from finetune.progress import progress_bar
from finetune.weights.pretrained import load_trained

SHARD_BATCHES = 16                  # batches per file of unfinished work
DETECTOR = 'detector'
HIDDEN = -1, -1, -1, -1


def find_parts(config: Config, data_set: DataSet, folder: Path, source: Any,
               device: chainer.backend.Device, folds: numpy.ndarray,
               is_to_be_done: Callable[[], bool]) -> None:
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
        source (finetune.runs.folder.RunFolder or pathlib.Path): Run with a detector, or finished
            run whose CNN of whole images becomes a detector, or file of a CNN's weights.
        device (chainer.backend.Device): Device that computes.
        folds (numpy.ndarray): Folds of the training images (n,), numbered from 0; their parts are
            found by an SVM that has not seen their fold. -1: by that of all training images.
        is_to_be_done (callable): Returns false if another process has found the parts meanwhile.

    """
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / '.lock', lambda: print(
            f'{folder}: waiting for another process that finds parts', flush=True)), one_thread():
        if is_to_be_done():
            _Search(config, data_set, folder, folds).run(source, device)


class _Search:

    """Search for parts, which keeps unfinished work in files."""

    def __init__(self, config, data_set, folder, folds):
        self.config, self.data_set, self.folder, self.folds = config, data_set, folder, folds
        self.work = folder / WORK

    def run(self, source, device):
        is_made = not isinstance(source, Path) and source.detector.is_dir()
        if is_made:
            weights = (source.detector / detector.WEIGHTS).read_bytes()
        elif isinstance(source, Path):
            source = self._loaded(source)
            weights = _content(source.cnn)
        else:
            weights = source.model.read_bytes()
        found_in = {**origin.of(self.config, self.data_set), 'weights': origin.sha256(weights)}
        self._begin(found_in)
        found_by = (detector.load(source.detector, device) if is_made
                    else self._make_detector(source, device))
        records = self.data_set.train + self.data_set.test
        folds = numpy.append(self.folds, [NO_FOLD] * len(self.data_set.test)).astype(int)
        boxes = self._by_batch(
            records, 'boxes', 'Parts of all images', lambda img, first: numpy.stack(
                [_to_file(parts) for parts in found_by.look(img, folds[first:first + len(img)])]))
        found_by.save(self.folder / DETECTOR)
        origin.write(self.folder, found_in, self.data_set)
        _write_boxes(self.folder / LOCATIONS, records, boxes)   # last: marks the end of the search
        shutil.rmtree(self.work)
        n_empty = int((boxes == HIDDEN).all(axis=(1, 2)).sum())
        print(f'{self.folder}: {found_by.n_parts} parts in each of {len(records)} images'
              + (f', except {counted(n_empty, "image", "images")} in which none was found'
                 if n_empty else ''), flush=True)

    def _begin(self, found_in):
        """Makes the folder of unfinished work, or goes on with the one that is there.

        Work on images that have changed is refused in a data set's folder; in the results it is
        the program's own and starts again.
        """
        how = origin.difference(self.work, found_in, self.data_set)
        if how and self.folder.is_relative_to(self.config.project.results):
            print(f'{self.folder}: the unfinished search for parts starts again; its parts were '
                  f'found {how}', flush=True)
            shutil.rmtree(self.work)
        origin.check(self.work, found_in, self.data_set)
        self.work.mkdir(exist_ok=True)
        origin.write(self.work, found_in, self.data_set)

    def _make_detector(self, source, device):
        """Makes a detector of a CNN."""
        architecture, cnn = (source if isinstance(source, _Loaded)
                             else _of_run(source, device))
        cnn.to_device(device)
        choice = (selection.AllFeatures() if self.config.detector.features in CLASS_FREE
                  else self._svms(cnn, device))
        return Detector(self.config.detector, architecture, cnn, choice, device,
                        origin.transform_of(self.config))

    def _loaded(self, path):
        architecture = detector.architecture_of(self.config)
        return _Loaded(architecture, detector.load_cnn(architecture, path))

    def _svms(self, cnn, device):
        """Fits sparse SVMs to features of the training images: of all, and without each fold."""
        settings, labels = self.config.detector, self.data_set.train.labels
        self._require_classes(labels, 'has training images of one class', 'add another class')

        def compute(img, _):
            with chainer.no_backprop_mode():
                features, _ = detector.pooled_features(cnn, img, device)
            return cuda.to_cpu(features.array)[:len(img)]

        features = self._by_batch(self.data_set.train, 'features',
                                  'Features of the training images', compute)
        svms = []
        for fold in range(NO_FOLD, max(self.folds, default=NO_FOLD) + 1):
            seen = (self.folds != fold) | (fold == NO_FOLD)
            self._require_classes(labels[seen], 'without a fold has training images of one class',
                                  'add images, or set detector.folds to 0')
            svms.append(selection.fit_svm(features[seen], labels[seen], settings.svm_c))
        print(selection.described(svms[0][0], settings.features), flush=True)
        return selection.SparseSVMs(svms, settings.features)

    def _require_classes(self, labels, problem, to_do):
        if len(set(labels.tolist())) < 2:
            raise InputError(f'{find_layout(self.config).main}: {problem}, but the detector needs '
                             f'at least two; {to_do}.')

    def _by_batch(self, records, name, title, compute):
        """Computes rows (n, ...) from the images, batch by batch, and keeps them in files.

        ``compute`` maps inputs, and the index of the first of them, to their rows.
        """
        n_per_file = SHARD_BATCHES * BATCH_SIZE
        paths = [self.work / f'{name}_{i:05d}.npz'
                 for i in range(math.ceil(len(records) / n_per_file))]
        n_done = next((i for i, path in enumerate(paths) if not path.exists()), len(paths))
        if n_done < len(paths):
            n_left = len(records) - n_done * n_per_file
            batches = progress_bar(self._inputs(records, n_done * n_per_file),
                                   math.ceil(n_left / BATCH_SIZE), title)
            for path in paths[n_done:]:
                rows = [compute(img, first) for first, img in islice(batches, SHARD_BATCHES)]
                files.write_arrays(path, {'rows': numpy.concatenate(rows)})
        shards = [numpy.atleast_1d(files.read_arrays(path).get('rows', [])) for path in paths]
        if (len({shard.shape[1:] for shard in shards}) > 1
                or sum(map(len, shards)) != len(records)):
            raise InputError(f'{self.work}: holds files of another search for parts; remove this '
                             'folder to restart the search.')
        return numpy.concatenate(shards)

    def _inputs(self, records, first):
        """Yields batches of inputs from the first image on, each with the index of its first."""
        settings = self.config.data, self.config.detector.input_size
        inputs = _Inputs(records[first:], origin.transform_of(self.config), *settings)
        with iterate(inputs, BATCH_SIZE, self.config.training.workers) as iterator:
            for i, batch in enumerate(iterator):
                yield first + i * BATCH_SIZE, batch


class _Loaded(NamedTuple):
    """A CNN with weights from a file."""

    architecture: str
    cnn: chainer.Link


def _of_run(folder, device):
    config = folder.read_config()
    model = load_trained(folder.model, config, folder.read_names(), device)
    return _Loaded(config.model.architecture, model.global_cnn)


def _content(link):
    """All arrays of a link as bytes."""
    target = serializers.DictionarySerializer()
    target.save(link)
    return b''.join(target.target[name].tobytes() for name in sorted(target.target))


class _Inputs(chainer.dataset.DatasetMixin):

    """Inputs of a detector, (3, size, size), of images."""

    def __init__(self, records: Records, transform: detector.Transform, settings: Data, size: int):
        self.records, self.transform = records, transform
        self.settings, self.size = settings, size

    def __len__(self) -> int:
        return len(self.records)

    def get_example(self, index: int) -> numpy.ndarray:
        image = pictures.read_image(self.records[int(index)].path, self.settings.upright)
        return self.transform.apply(image, self.size)


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
