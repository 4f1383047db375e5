"""Shows what the components of a trained mixture specialise in."""
import heapq
from typing import Any, NamedTuple

import chainer
from chainer.backends import cuda
import numpy
from scipy.stats import entropy
from sklearn.metrics import mutual_info_score

from finetune.config.catalogue import ENCODINGS
from finetune.config.project import HERE
from finetune.data.dataset import collate, PartDataset
from finetune.errors import InputError
from finetune.progress import progress_bar
from finetune.runs.chosen import find_run
from finetune.runs.opening import open_run, read_settings
from finetune.visualize import mixture_pictures, sheet
from fve_layer import gmm, masking

N_PATCHES = 8           # per component


class Owners(NamedTuple):
    """Which component owns each local feature of an image."""

    resp: Any               # (P, h, w, K): responsibilities (Eq. 1), float64
    log_likelihood: Any     # (P, h, w): of the features under the mixture
    counts: Any             # (P, h, w) bool: visible and not filtered by its norm


class Patch(NamedTuple):
    """A local feature for which a component is responsible; fields are in order of comparison."""

    resp: float
    log_likelihood: float
    index: int          # of the image
    part: int           # index in the data set's part names
    image: Any          # (h, w, 3): the feature's cell of the crop and the cells around it


class Inspection(NamedTuple):
    """Statistics of the components over all test images."""

    shares: Any         # (K, P, h, w): sums of responsibilities of counting features
    classes: Any        # (K, C): the same sums by class of the image
    patches: list       # K lists of Patch, the highest responsibility first


def make(out, n_images, gpu=-1, project=HERE):
    """Draws which component owns which local feature, and what each component represents.

    ``mixture_overlay.png`` shows test images with their local features coloured by component.
    ``mixture_components.png`` shows, for each component and over all test images, the patches with
    the highest responsibilities and the locations of the features.

    Args:
        out (str): Folder of a finished run with a Fisher vector encoding.
        n_images (int): Number of overlaid images, evenly spaced over the test images.
        gpu (int): GPU to compute on; -1: CPU.
        project (finetune.config.project.Project): What paths are relative to.

    """
    folder = find_run(out, project)
    model, config, data_set, device = open_run(folder, read_settings(folder, gpu))
    if not config.data.has_parts or not ENCODINGS[config.model.encoding].has_mixture:
        encodings = ' or '.join(name for name, row in ENCODINGS.items() if row.has_mixture)
        raise InputError(f'{folder}: the model has no mixture to inspect; give the folder of a run '
                         f'with parts and model.encoding {encodings}.')
    dataset = PartDataset(data_set.test, data_set.parts, config.data, train=False,
                          seed=config.training.seed)
    views = [sheet.look_at(dataset, i, data_set)
             for i in sheet.evenly_spaced(n_images, len(dataset))]
    owners = [look(model, dataset[view.index], device) for view in views]
    title = summary(folder, model)
    figure = mixture_pictures.overlay(views, owners, title)
    sheet.save(figure, folder.picture('mixture_overlay'))
    inspection = inspect(model, dataset, device)
    title += '\n' + information(inspection.shares, inspection.classes)
    _, _, weight = model.encoder.mixture
    figure = mixture_pictures.components(
        inspection, cuda.to_cpu(weight), data_set.part_names, title)
    sheet.save(figure, folder.picture('mixture_components'))
    print(title, flush=True)


def summary(out, model):
    """A line with the number of components and the entropy of their weights."""
    weight = cuda.to_cpu(model.encoder.mixture[2])
    if len(weight) == 1:
        return (f'{out}: 1 component, which owns all features, so that these pictures show '
                'nothing; model.n_components above 1 makes components that specialise')
    return (f'{out}: {len(weight)} components, '
            f'normalised entropy of the weights {float(gmm.normalized_entropy(weight)):.3f}')


def information(shares, classes):
    """A line with the information that the component of a feature has about its origin."""
    part = shares.sum(axis=(2, 3))
    place = shares.sum(axis=1).reshape(len(shares), -1)
    return ('information of the component about the origin of a local feature: part {:.2f} of '
            '{:.2f} bits, place in the crop {:.2f} of {:.2f} bits, class {:.2f} of {:.2f} bits'
            .format(*_bits(part), *_bits(place), *_bits(classes)))


def _bits(table):
    """Mutual information of rows and columns, and the entropy of the columns."""
    columns = table.sum(axis=0)
    return (mutual_info_score(None, None, contingency=table) / numpy.log(2),
            entropy(columns, base=2))


def look(model, example, device):
    """The :class:`Owners` of the local features of an example, as NumPy arrays.

    Args:
        model (finetune.models.part_classifier.PartClassifier): Classifier with a mixture.
        example (tuple): Example of a :class:`~finetune.data.dataset.PartDataset`.
        device (chainer.backend.Device): Device of the model.

    """
    _, parts, visible, _ = collate([example], device)
    with chainer.using_config('train', False), chainer.no_backprop_mode():
        conv_map = model.part_conv_maps(parts, visible)
        x, mask = model.encoder_input(conv_map, visible)
    counts = masking.counting_features(x.array, mask, model.encoder.norm_filter)
    x = x.array[0].astype(numpy.float64)
    resp = gmm.responsibilities(x, *model.encoder.mixture)
    log_likelihood = gmm.log_likelihood(x, *model.encoder.mixture)
    p, (h, w) = visible.size, conv_map.shape[2:]
    counts = numpy.ones((p, h, w), bool) if counts is None else cuda.to_cpu(counts).reshape(p, h, w)
    return Owners(cuda.to_cpu(resp).reshape(p, h, w, -1),
                  cuda.to_cpu(log_likelihood).reshape(p, h, w),
                  counts & cuda.to_cpu(visible).reshape(p, 1, 1))


def inspect(model, dataset, device):
    """The :class:`Inspection` of a data set; a component has at most one patch per image.

    Args:
        model (finetune.models.part_classifier.PartClassifier): Classifier with a mixture.
        dataset (finetune.data.dataset.PartDataset): Test images.
        device (chainer.backend.Device): Device of the model.

    """
    shares = 0
    n_classes = 1 + dataset.records.labels.max()
    n_components = model.encoder.n_components
    classes = numpy.zeros((n_components, n_classes))
    patches = [[] for _ in range(n_components)]
    for index in progress_bar(range(len(dataset)), len(dataset), 'Inspecting the test images'):
        example = dataset[index]
        owners = look(model, example, device)
        numbers, _, visible = dataset.part_boxes(index, (1, 1))
        share = owners.resp * owners.counts[..., None]
        shares = shares + numpy.moveaxis(share[numpy.argsort(numbers)], -1, 0)
        classes[:, example[3]] += share.sum(axis=(0, 1, 2))
        crops = sheet.displayed(example[1])
        for k, best in enumerate(patches):
            place = most_responsible(owners, k)
            if place is not None:
                crop = crops[visible[:place[0]].sum()]
                patch = Patch(owners.resp[place][k], owners.log_likelihood[place], index,
                              numbers[place[0]], around(crop, place[1:], owners.counts.shape[1:]))
                patches[k] = heapq.nlargest(N_PATCHES, best + [patch], key=lambda patch: patch[:3])
    return Inspection(shares, classes, patches)


def most_responsible(owners, k):
    """Place (part, row, column) of the highest responsibility of component k in an image.

    The log-likelihood breaks ties; ``None`` if the component owns no feature.
    """
    resp = numpy.where(owners.counts, owners.resp[..., k], -1)
    best = numpy.lexsort((owners.log_likelihood.ravel(), resp.ravel()))[-1]
    place = numpy.unravel_index(best, resp.shape)
    owns = owners.counts[place] and owners.resp[place].argmax() == k
    return place if owns else None


def around(crop, cell, n_cells):
    """Cuts a cell of a regular grid and the cells around it out of a crop (h, w, 3)."""
    edges = [(extent * (i - 1) // n, extent * (i + 2) // n)
             for extent, i, n in zip(crop.shape[:2], cell, n_cells)]
    rows, columns = (numpy.arange(low, high).clip(0, extent - 1)
                     for (low, high), extent in zip(edges, crop.shape[:2]))
    return crop[rows[:, None], columns]
