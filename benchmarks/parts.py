"""Where the parts are that CS-Parts finds on minibirds, beside other boxes.

    python benchmarks/parts.py                    # about half an hour on two CPU cores

Trains the CNN of configs/minibirds/cs_parts_cnn.yml with five seeds, unless its runs are there, and
finds parts in the test images. Species differ from their sisters in a few details: an image drawn
again as a sister shows at which pixels. Writes ``parts.md`` into ``results/benchmarks``.

- pointing: share of images whose highest peak of the saliency is at most 3 pixels away from such a
  pixel; for boxes without saliency, the centre of the first one;
- covered: share of such pixels inside the boxes, and the boxes' share of the image;
- IoU: of each box and the annotated part that it overlaps most, a square of 31 % of the image.
"""
import fve_layer    # noqa: F401  (before Chainer)

from dataclasses import replace
from pathlib import Path
import warnings

import chainer
from chainercv.utils import bbox_iou
import numpy
from scipy.ndimage import binary_dilation
from scipy.stats import ttest_ind

from finetune.compute.threads import one_thread
from finetune.config.config import read_config
from finetune.data import pictures, transforms
from finetune.data.minibirds.drawing import draw_image, Drawing
from finetune.data.minibirds.species import make_species, PATTERNS
from finetune.experiments import experiment
from finetune.parts.cs_parts import clusters, selection
from finetune.parts.cs_parts.detector import BATCH_SIZE, Detector, pooled_features
from finetune.progress import progress_bar
from finetune.weights.pretrained import load_trained
from finetune.parts.boxes import frame_boxes
from finetune.parts.points import point_boxes
from finetune.parts.kind import load

CNN, PARTS = 'configs/minibirds/cs_parts_cnn.yml', 'configs/minibirds/cs_parts_fve.yml'
OUTPUT = Path('results/benchmarks')
N_SEEDS, TOLERANCE = 5, 3
MEASURES = 'pointing', 'covered', 'area', 'IoU'
DEVICE = chainer.get_device('@numpy')


def details(drawing):
    """Masks (n, H, W) of the test images' pixels that would differ in an image of a sister."""
    species = make_species(drawing.n_species, drawing.pretraining, drawing.seed)
    masks = []
    for label, kind in progress_bar(enumerate(species), len(species), 'Drawing sisters'):
        sisters = [other for other in species if other is not kind and sum(
            other.details[slot] != kind.details[slot] for slot in PATTERNS) <= 3]
        for i in range(drawing.n_train, drawing.n_train + drawing.n_test):
            images = []
            for one in (kind, *sisters):
                random = numpy.random.RandomState([drawing.seed, 0, label, i])
                image, *_ = draw_image(random, one, drawing.size, drawing.difficulty)
                images.append(numpy.asarray(image).astype(int))
            masks.append(sum(abs(other - images[0]).max(axis=2) > 16 for other in images[1:]) > 0)
    return numpy.array(masks)


def find(model, data_set, settings, features):
    """Parts of the test images, with a detector that is made from the training images.

    Also the shares of training and of test images whose class it predicts.
    """
    train, test = ([transforms.test_transform(pictures.read_image(record.path),
                                              settings.input_size) for record in records]
                   for records in (data_set.train, data_set.test))
    pooled = [numpy.concatenate([
        pooled_features(model, inputs[i:i + BATCH_SIZE], DEVICE)[0].array[:len(inputs) - i]
        for i in range(0, len(inputs), BATCH_SIZE)]) for inputs in (train, test)]
    labels = data_set.train.labels, data_set.test.labels
    svm = selection.fit_svm(pooled[0], labels[0], settings.svm_c)
    right = [((x @ svm[0].T + svm[1]).argmax(axis=1) == label).mean()
             for x, label in zip(pooled, labels)]
    choice = (selection.AllFeatures() if features == 'all'
              else selection.SparseSVMs([svm], features))
    detector = Detector(replace(settings, features=features), '', model, choice, DEVICE)
    return [parts for i in range(0, len(test), BATCH_SIZE)
            for parts in detector.look(test[i:i + BATCH_SIZE])], right


def measure(points, boxes, mask, annotated):
    """The measures of one image: a point to point with, boxes (P, 4), pixels, boxes of parts."""
    near = binary_dilation(mask, iterations=TOLERANCE)
    y, x = numpy.minimum(points, numpy.array(mask.shape) - 1).astype(int)
    inside = numpy.zeros(mask.shape, bool)
    for y_min, x_min, y_max, x_max in boxes:
        inside[y_min:y_max, x_min:x_max] = True
    best = numpy.max(bbox_iou(boxes, annotated), axis=1).mean()
    return near[y, x], (inside & mask).sum() / mask.sum(), inside.mean(), best


def elsewhere(boxes, size, random):
    """Boxes of the same sizes at random places."""
    extent = boxes[:, 2:] - boxes[:, :2]
    low = (random.uniform(size=extent.shape) * (size - extent).clip(0)).astype(int)
    return numpy.concatenate([low, low + extent], axis=1)


def seed_measures(seed, config, data_set, masks):
    """Measures (n, 4) of every method by its name, for the CNN of one seed, and its accuracy."""
    folder = experiment.run(CNN, [f'training.seed={seed}'])
    model = load_trained(folder.model, folder.read_config(), data_set, DEVICE).global_cnn
    random, size = numpy.random.RandomState(seed), masks.shape[1]
    scale = size / config.detector.input_size
    found, rows = {}, {}
    with one_thread():
        for name, features in (('ours', 'selected'), ('all features', 'all'),
                               ('class score', 'score')):
            parts, right = find(model, data_set, config.detector, features)
            found[name] = [(numpy.append(clusters.peaks(one.saliency, 1), [[0, 0]], axis=0)[0],
                            frame_boxes(one.boxes, (size, size), len(one.saliency), 'crop'))
                           for one in parts]
    found = {name: [(point * scale, boxes) for point, boxes in pairs]
             for name, pairs in found.items()}
    found['random boxes'] = [centred(elsewhere(boxes, size, random))
                             for _, boxes in found['ours']]
    half = size // 2
    grid = numpy.array([[y, x, y + half, x + half] for y in (0, half) for x in (0, half)])
    found['grid'] = [centred(grid)] * len(masks)
    for name, pairs in found.items():
        rows[name] = numpy.array([
            measure(point, boxes, mask, annotated(record, size))
            for (point, boxes), mask, record in zip(pairs, masks, data_set.test) if mask.any()])
    return rows, right


def centred(boxes):
    return (boxes[0, :2] + boxes[0, 2:]) / 2, boxes


def annotated(record, size):
    return point_boxes(record.locations, record.visible, (size, size))[record.visible]


def main():
    config = read_config(PARTS)
    data_set = load(replace(config, data=replace(config.data, parts='GT')))
    masks = details(Drawing(**config.data.drawing))
    of_seeds, right = zip(*(seed_measures(seed, config, data_set, masks)
                            for seed in range(N_SEEDS)))
    names = list(of_seeds[0])
    means = {name: numpy.array([rows[name].mean(axis=0) for rows in of_seeds]) for name in names}
    lines = ['| boxes | ' + ' | '.join(MEASURES) + ' |', '|---' * (1 + len(MEASURES)) + '|']
    for name in names:
        cells = [f'{mean:.3f} ± {deviation:.3f}' for mean, deviation in zip(
            means[name].mean(axis=0), means[name].std(axis=0, ddof=1))]
        lines.append(f'| {name} | ' + ' | '.join(cells) + ' |')
    for name in names[1:]:
        with warnings.catch_warnings():     # of the grid, which is the same for all seeds
            warnings.filterwarnings('ignore', 'Precision loss', RuntimeWarning)
            p = ttest_ind(means['ours'], means[name], equal_var=False).pvalue
        values = [f'{measure} {value:.2g}' for measure, value in zip(MEASURES, p)]
        lines.append(f'\np of ours and {name} (Welch, n = {N_SEEDS}): ' + ', '.join(values))
    train, test = (' '.join(f'{share:.3f}' for share in shares) for shares in zip(*right))
    lines.append(f'\nclasses that the detector predicts, by seed: training {train}, test {test}')
    OUTPUT.mkdir(parents=True, exist_ok=True)
    (OUTPUT / 'parts.md').write_text('\n'.join(lines) + '\n')
    print('\n'.join(lines))


if __name__ == '__main__':
    main()
