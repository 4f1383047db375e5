"""Draws docs/minibirds.jpg: three sisters, a row each. Needs data/minibirds.

    ./train.sh --dry-run && .venv/bin/python docs/draw_minibirds.py
"""
import fve_layer    # noqa: F401  (before Chainer)

from matplotlib import pyplot
from matplotlib.patches import Rectangle

from finetune.data import annotation_files, pictures
from finetune.parts.points import point_boxes

SPECIES, N_IMAGES = [0, 1, 2], 7


def main():
    data_set = annotation_files.read_cub('data/minibirds')
    figure, axes = pyplot.subplots(len(SPECIES), N_IMAGES, figsize=(12, 5.9))
    for row, label in zip(axes, SPECIES):
        records = [record for record in data_set.train if record.label == label]
        for axis, record in zip(row, records):
            draw(axis, record)
        name = data_set.class_names[label].split('.')[1].replace('_', ' ')
        row[0].set_title(name, loc='left', fontsize=12)
    figure.subplots_adjust(left=.004, right=.996, bottom=.004, top=.95, wspace=.03, hspace=.18)
    figure.savefig('docs/minibirds.jpg', dpi=90, pil_kwargs={'quality': 88})


def draw(axis, record):
    """An image with the boxes of its visible parts."""
    image = pictures.read_image(record.path)
    axis.imshow(image.transpose(1, 2, 0))
    boxes = point_boxes(record.locations, record.visible, image.shape[1:])
    for y_min, x_min, y_max, x_max in boxes[record.visible]:
        axis.add_patch(Rectangle((x_min, y_min), x_max - x_min, y_max - y_min, fill=False,
                                 edgecolor='white', linewidth=.5, alpha=.6))
    axis.set(xticks=[], yticks=[], xlim=(0, image.shape[2]), ylim=(image.shape[1], 0))


if __name__ == '__main__':
    main()
