"""The command ``convert``: weights of others to this program's files."""
HELP = 'convert weights of InceptionV3 to .npz'
DESCRIPTION = """\
Reads a checkpoint of TF-Slim's InceptionV3, V1 or V2, and writes its weights as an .npz for
model.pretrained. Needs TensorFlow (the extra tf). Averaged variables are preferred. Or reads the
npm package nsfwjs, which needs nothing."""


def add_arguments(parser):
    parser.add_argument('checkpoint', metavar='CHECKPOINT',
                        help='V1 file, prefix of V2 files, or folder of the latter; or the .tgz of '
                             'the package')
    parser.add_argument('out', metavar='OUT.npz', help='file to write')
    parser.add_argument('--raw', action='store_true',
                        help='use the variables of the last step, not the averaged ones')


def run(options):
    from finetune.weights.convert import convert
    convert(options.checkpoint, options.out, options.raw)
