"""Draws docs/report_pretrained_cnn/inputs.png: what the CNNs see of two sister species.

    python docs/draw_details.py        # needs a drawing: python -m finetune train \\
                                       # configs/details/gt2_fve.yml --dry-run
"""
import fve_layer    # noqa: F401  (before Chainer)

from matplotlib.figure import Figure

from finetune.config.config import read_config
from finetune.data.dataset import PartDataset
from finetune.parts.kind import load

SPECIES = 0, 4      # sisters
OUTPUT = 'docs/report_pretrained_cnn/inputs.png'


def main():
    config = read_config('configs/details/gt2_fve.yml')
    data_set = load(config)
    dataset = PartDataset(data_set.train, data_set.parts, config.data, train=False, seed=0)
    n_parts = len(data_set.part_names)
    figure = Figure((1 + 1.6 * n_parts, 3.6), layout='constrained')
    axes = figure.subplots(len(SPECIES), 1 + n_parts, squeeze=False)
    for row, label in zip(axes, SPECIES):
        i = next(i for i, record in enumerate(data_set.train)
                 if record.label == label and record.visible.all())
        image, crops, *_ = dataset[i]
        for axis, pixels, words in zip(row, (image, *crops), (
                'whole image', *data_set.part_names)):
            axis.imshow((pixels.transpose(1, 2, 0) + 1) / 2, interpolation='nearest')
            axis.set_title(f'{words}, {pixels.shape[1]} pixels', fontsize=8)
            axis.set(xticks=[], yticks=[])
        row[0].set_ylabel(data_set.class_names[label].split('.')[0].lstrip('0'), fontsize=8)
    figure.savefig(OUTPUT, dpi=100)


if __name__ == '__main__':
    main()
