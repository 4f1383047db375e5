"""Accuracy with some of the visible parts hidden, and with parts in random order."""
from dataclasses import replace
from typing import Any

import numpy

from finetune.data.dataset import collate, PartDataset
from finetune.runs.predictions import (
    Collector, iterate_test_images, n_test_views, predict, test_mode)

HIDE = .25, .5, .75, 1.     # shares of the visible parts that are hidden


def measure(model, config, data_set, inputs, device, run):
    """Classifies the test images with other parts.

    Args:
        model (finetune.models.part_classifier.PartClassifier): Classifier with parts.
        config (finetune.config.settings.Config): Settings of the run.
        data_set (finetune.data.records.DataSet): The data set.
        inputs (finetune.training.inputs.Inputs): Makes the datasets of the run.
        device (chainer.backend.Device): Device that computes.
        run: Name of the run in messages.

    Returns:
        dict: ``'hidden'``: accuracies by stream for each share in :data:`HIDE`; ``'shuffled'``:
        accuracies by stream with a random order of the parts.

    """
    shuffled = replace(config, data=replace(config.data, order='shuffled_once'))
    variants = [*((config, hide) for hide in HIDE), (shuffled, 0.)]
    classify = _together if n_passes(config) == 1 else _one_by_one
    *hidden, shuffled = (predictions.accuracies for predictions in classify(
        model, config, data_set, inputs, device, run, variants))
    return {'hidden': dict(zip(HIDE, hidden)), 'shuffled': shuffled}


def n_passes(config):
    """How often :func:`measure` looks at the test images.

    Nothing can be shared where hidden parts are other crops, or where ConvMaps are kept anyway.
    """
    is_shared = config.data.missing != 'centre' and not config.training.keeps_conv_maps
    return 1 if is_shared else len(HIDE) + 1


def _one_by_one(model, config, data_set, inputs, device, run, variants):
    for of_variant, hide in variants:
        with iterate_test_images(of_variant, data_set, hide, make=inputs) as iterator:
            yield predict(model, iterator, device, run, n_test_views(config))


def _together(model, config, data_set, inputs, device, run, variants):
    """Every image and every crop goes through the CNNs once."""
    def dataset_of(config, hide):
        return PartDataset(data_set.test, data_set.parts, config.data, train=False,
                           seed=config.training.seed, hide=hide)
    own, *others = (dataset_of(*variant) for variant in [(config, 0.), *variants])
    n_views, done = n_test_views(config), 0
    collectors = [Collector(device, n_views) for _ in others]
    with iterate_test_images(config, data_set, make=inputs) as iterator, test_mode():
        for batch in iterator:
            img, parts, _, label = collate(batch, device)
            img, parts = _conv_maps(model, img, parts)
            images = [i // n_views for i in range(done, done + len(batch))]
            done += len(batch)
            for dataset, collector in zip(others, collectors):
                rows, visible = map(device.xp.asarray, rearranged(own, dataset, images))
                model.given_conv_maps = True
                try:
                    scores = model.scores(img, parts[rows], visible)
                finally:
                    model.given_conv_maps = False
                collector.add(scores, visible, label)
    return [collector.predictions(run) for collector in collectors]


def _conv_maps(model, img, parts):
    """ConvMaps of images and of any number of crops, as arrays."""
    crops = parts if len(parts) else model.xp.zeros((1, *parts.shape[1:]), parts.dtype)
    return (model.conv_maps(model.global_cnn, img).array,
            model.conv_maps(model.part_cnn, crops).array[:len(parts)])


def rearranged(own: PartDataset, other: PartDataset, images: Any
               ) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Which crops of a batch another dataset has, in its order.

    Args:
        own, other (PartDataset): Datasets of the same images; all parts that ``other`` crops are
            cropped by ``own``.
        images (iterable of int): Numbers of the images in the batch.

    Returns:
        tuple of arrays: Numbers (M',) of the crops among those of ``own``, and which parts are
        visible (N, P), bool.

    """
    rows, visible, n = [], [], 0
    for i in images:
        order, is_cropped = own.cropped_parts(i)
        row_of = {part: n + k for k, part in enumerate(order[is_cropped])}
        n += len(row_of)
        order, is_cropped = other.cropped_parts(i)
        rows += [row_of[part] for part in order[is_cropped]]
        visible.append(is_cropped)
    return numpy.array(rows, int), numpy.stack(visible)
