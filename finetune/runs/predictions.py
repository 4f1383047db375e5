"""Predictions of a classifier for the test images."""
import collections
from collections.abc import Callable, Iterable, Iterator
import contextlib
import csv
from pathlib import Path
from typing import NamedTuple

import chainer
import chainer.functions as F
import numpy

from finetune.config.settings import Config
from finetune.data.dataset import collate, Example, PartDataset
from finetune.data.iterators import iterate
from finetune.data.records import DataSet
from finetune.errors import InputError
from finetune.files import read_csv, write_csv
from finetune.models.part_classifier import PartClassifier
from fve_layer.arrays import Array


class Predictions(NamedTuple):
    """Predictions of a classifier for n images.

    The stream ``'both'`` predicts by the summed scores of all streams; a classifier with parts also
    has ``'global'`` and ``'parts'``, the predictions of either stream alone.
    """

    label: numpy.ndarray                # (n,): true classes
    n_visible: numpy.ndarray            # (n,): numbers of visible parts
    classes: dict[str, numpy.ndarray]   # predicted classes (n,) by stream
    loss: float                         # mean cross entropy of the summed scores

    @property
    def accuracies(self) -> dict[str, float]:
        """Share of correct predictions, in [0, 1], by stream."""
        return {stream: float((classes == self.label).mean())
                for stream, classes in self.classes.items()}


def predict(model: PartClassifier, batches: Iterable[list[Example]],
            device: chainer.backend.Device, run: object = 'the model', n_views: int = 1
            ) -> Predictions:
    """Classifies images in test mode; returns arrays on the CPU.

    Scores are means over ``n_views`` consecutive examples, which show the same image (2 with
    ``data.test_flip``).

    Raises:
        InputError: If a score or the loss is not finite; the message begins with ``run``.

    """
    collector = Collector(device, n_views)
    with test_mode():
        for batch in batches:
            img, parts, visible, label = collate(batch, device)
            collector.add(model.scores(img, parts, visible), visible, label)
    return collector.predictions(run)


@contextlib.contextmanager
def test_mode() -> Iterator[None]:
    """Context of a classification: no learning, and overflows are found afterwards."""
    with chainer.using_config('train', False), chainer.no_backprop_mode(), \
            numpy.errstate(over='ignore', invalid='ignore'):
        yield


class Collector:

    """Collects the scores of batches; see :func:`predict` for its arguments."""

    def __init__(self, device: chainer.backend.Device, n_views: int = 1):
        self.device, self.n_views = device, n_views
        self._arrays: dict[str, list[Array]] = collections.defaultdict(list)
        self._loss, self._is_finite = 0., True

    def add(self, scores: dict[str, chainer.Variable], visible: Array, label: Array) -> None:
        """Adds a batch: scores (N, n_classes) by stream, visible parts (N, P), classes (N,)."""
        visible, label = visible[::self.n_views], label[::self.n_views]
        means = {stream: _mean(score, self.n_views) for stream, score in scores.items()}
        self._loss += F.softmax_cross_entropy(means['both'], label).array * len(label)
        self._arrays['label'].append(label)
        self._arrays['n_visible'].append(visible.sum(axis=1))
        for stream, score in means.items():
            self._arrays[stream].append(score.array.argmax(axis=1))
            self._is_finite &= self.device.xp.isfinite(score.array).all()

    def predictions(self, run: object) -> Predictions:
        """The predictions of all batches; raises an error as :func:`predict` does."""
        xp = self.device.xp
        if not (self._is_finite and xp.isfinite(self._loss)):
            raise InputError(f'{run}: a score or the loss of test images is not finite; train '
                             'again with a lower training.learning_rate and another --output.')
        whole = {name: chainer.backends.cuda.to_cpu(xp.concatenate(pieces))
                 for name, pieces in self._arrays.items()}
        label, n_visible = whole.pop('label'), whole.pop('n_visible')
        return Predictions(label, n_visible, whole, float(self._loss) / len(label))


def _mean(score, n_views):
    """Mean scores (N, n_classes) over the views of each image."""
    if n_views == 1:
        return score
    return F.mean(F.reshape(score, (-1, n_views, score.shape[1])), axis=1)


def n_test_views(config: Config) -> int:
    """Number of consecutive examples of :func:`iterate_test_images` that show the same image."""
    return 2 if config.data.test_flip else 1


def iterate_test_images(config: Config, data_set: DataSet, hide: float = 0.,
                        share: tuple[int, int] = (0, 1),
                        make: Callable[..., PartDataset] = PartDataset
                        ) -> chainer.dataset.Iterator:
    """Iterates once over the test images, each followed by its mirror image if ``test_flip``.

    Args:
        config (finetune.config.settings.Config): Settings of the run.
        data_set (finetune.data.records.DataSet): The data set.
        hide (float): See :class:`~finetune.data.dataset.PartDataset`.
        share (tuple of int): Rank and number of ranks; each rank iterates over its share.
        make (callable): Makes the dataset (:func:`finetune.training.inputs.inputs_of`).

    Returns:
        chainer.dataset.Iterator: Use it in a ``with`` statement, or finalize it.

    """
    (rank, n_ranks), n_views = share, n_test_views(config)
    dataset = make(data_set.test[rank::n_ranks], data_set.parts, config.data, train=False,
                   seed=config.training.seed, hide=hide, with_mirrored=n_views > 1)
    batch_size = max(config.training.batch_size // n_views, 1) * n_views
    return iterate(dataset, batch_size, config.training.workers if dataset.is_slow else 0)


def write_predictions(path: Path, predictions: Predictions, images: Iterable[str],
                      class_names: list[str]) -> None:
    """Writes a CSV file with the columns image, n_visible, label and one per stream."""
    columns = [[class_names[i] for i in classes]
               for classes in (predictions.label, *predictions.classes.values())]
    write_csv(path, [['image', 'n_visible', 'label', *predictions.classes],
                     *zip(images, predictions.n_visible, *columns)])


def read_predictions(path: Path, to_do: str) -> dict[str, numpy.ndarray]:
    """Reads a table of predictions by column: names (n,), and ``n_visible`` (n,), int.

    ``to_do`` is the remedy for a damaged file.
    """
    try:
        header, *rows = read_csv(path)
        if set(map(len, rows)) != {len(header)}:
            raise ValueError('lines of different lengths')
        columns = {name: numpy.array(column) for name, column in zip(header, zip(*rows))}
        n_visible = columns['n_visible'].astype(int)
        columns['label'], columns['both']       # raises an error if it is missing
    except FileNotFoundError:
        raise
    except (OSError, ValueError, KeyError, csv.Error) as error:
        raise InputError(f'{path}: is not a complete table of predictions ({error}); {to_do}')
    return {**columns, 'n_visible': n_visible}
