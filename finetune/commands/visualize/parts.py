"""The command ``visualize parts``: draws the network's input."""
from finetune.commands import options as shared

HELP = 'draw images with part boxes and crops, before training'
DESCRIPTION = """\
Draws a contact sheet of images of an experiment with their part boxes, and the image and part crops
exactly as the network gets them."""


def add_arguments(parser):
    shared.add_settings(parser)
    parser.add_argument('--split', choices=('train', 'test'), default='train',
                        help='train: with augmentation (default); test: without')
    shared.add_images(parser)
    parser.add_argument('--output', metavar='DIR',
                        help='folder for the picture (default: results/<config>)')


def run(options):
    from finetune.visualize import part_sheet
    part_sheet.make(*shared.settings(options), options.split, options.images, options.output,
                    options.project)
