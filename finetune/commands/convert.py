"""The command ``convert``: converts published weights to this program's format."""
HELP = 'convert weights of other programs to .npz'
DESCRIPTION = """\
Reads weights of a known network (docs/data.md) from a file of torch (.pth), safetensors, Keras
(.h5), chainercv2 (.npz.zip) or TensorFlow, and writes an .npz for model.pretrained. What is in the
file decides its format and the architecture. A checkpoint's averaged variables are preferred.
Only TensorFlow's files need TensorFlow (the extra tf). Nothing in a file is executed."""


def add_arguments(parser):
    parser.add_argument('weights', metavar='WEIGHTS',
                        help='file; for TensorFlow also the prefix or folder of a checkpoint, or '
                             'the folder of a SavedModel')
    parser.add_argument('out', metavar='OUT.npz', help='file to write')
    parser.add_argument('--raw', action='store_true',
                        help='use the variables of the last step, not the averaged ones')
    parser.add_argument('--imagenet-normalization', action='store_true',
                        help="for a network whose images were normalised by ImageNet's mean and "
                             "standard deviation, such as gluon's; chainercv2 is recognised")


def run(options):
    from finetune.weights.convert import convert_weights
    convert_weights(options.weights, options.out, options.raw, options.imagenet_normalization)
