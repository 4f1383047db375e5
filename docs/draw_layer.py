"""Draws docs/layer.png: what the layer does to the parts of one bird. Needs data/minibirds.

    ./train.sh --dry-run && .venv/bin/python docs/draw_layer.py
"""
import fve_layer    # before Chainer

from matplotlib import pyplot
from matplotlib.patches import Ellipse, FancyArrow, Rectangle
import numpy

from finetune.data import annotation_files, cropping, pictures
from finetune.parts.points import point_boxes

COLOURS = ['#0072B2', '#E69F00', '#009E73']     # Okabe-Ito
IMAGE = 2


def main():
    record = annotation_files.read_cub('data/minibirds').train[IMAGE]
    image = pictures.read_image(record.path)
    figure, axes = pyplot.subplots(1, 4, figsize=(12, 3.1), width_ratios=[1, .9, 1.1, 1.3])
    draw_parts(axes[0], image, record)
    draw_crops(axes[1], image, record)
    x = numpy.random.RandomState(0).randn(1, 90, 2) * .35
    x += numpy.repeat([[-1, -.6], [.9, -.3], [0, 1]], 30, axis=0)
    layer = fve_layer.FVELayer(2, 3, seed=0)
    fv = layer(x.astype('f')).array[0]
    draw_mixture(axes[2], x[0], layer)
    draw_vector(axes[3], fv)
    figure.tight_layout(w_pad=2.5)
    for left, right in zip(axes[:-1], axes[1:]):
        arrow(figure, left, right)
    figure.savefig('docs/layer.png', dpi=110)


def draw_parts(axis, image, record):
    axis.imshow(image.transpose(1, 2, 0))
    boxes = point_boxes(record.locations, record.visible, image.shape[1:])
    for y_min, x_min, y_max, x_max in boxes[record.visible]:
        axis.add_patch(Rectangle((x_min, y_min), x_max - x_min, y_max - y_min, fill=False,
                                 edgecolor='white', linewidth=1))
    axis.set(xticks=[], yticks=[], xlim=(0, image.shape[2]), ylim=(image.shape[1], 0))
    axis.set_title(f'{record.visible.sum()} of {len(record.visible)} parts are visible')


def draw_crops(axis, image, record):
    boxes = point_boxes(record.locations, record.visible, image.shape[1:])
    crops = [cropping.crop(image, box).transpose(1, 2, 0) for box in boxes[record.visible]][:9]
    rows = [numpy.concatenate(crops[i:i + 3], axis=1) for i in range(0, len(crops) // 3 * 3, 3)]
    axis.imshow(numpy.concatenate(rows))
    axis.set(xticks=[], yticks=[])
    axis.set_title('crops, through a CNN')


def draw_mixture(axis, x, layer):
    axis.scatter(*x.T, s=9, c='0.45', linewidths=0, label='local features')
    for k, colour in enumerate(COLOURS):
        for scale in (2, 4):
            width, height = scale * numpy.sqrt(layer.var[k])
            axis.add_patch(Ellipse(layer.mean[k], width, height, color=colour, alpha=.25))
        axis.plot(*layer.mean[k], 'x', color=colour)
    axis.set(xticks=[], yticks=[])
    axis.set_title('their local features, a mixture')


def draw_vector(axis, fv):
    colours = [COLOURS[i // 2 % 3] for i in range(len(fv))]
    axis.bar(range(len(fv)), fv, color=colours)
    axis.axhline(0, color='black', linewidth=.8)
    axis.axvline(len(fv) / 2 - .5, color='0.6', linewidth=.8, linestyle=':')
    low, high = axis.get_ylim()
    axis.set(xticks=[(len(fv) / 2 - 1) / 2, len(fv) * 3 / 4 - .5], yticks=[],
             ylim=(low, high + .1 * (high - low)))
    axis.set_xticklabels(['mean part', 'sigma part'])
    axis.tick_params(length=0)
    axis.set_title('one Fisher vector, 2 K D numbers')


def arrow(figure, left, right):
    start, end = left.get_position().x1, right.get_position().x0
    figure.add_artist(FancyArrow(
        start + .25 * (end - start), .45, .5 * (end - start), 0, width=.006, head_width=.03,
        head_length=.3 * (end - start), length_includes_head=True, color='0.3',
        transform=figure.transFigure))


if __name__ == '__main__':
    main()
