"""The command ``convert``: converts published weights to this program's format."""
HELP = 'convert weights of InceptionV3 to .npz'
DESCRIPTION = """\
Reads a checkpoint (V1 or V2) of TF-Slim's InceptionV3 and writes its weights as an .npz for
model.pretrained. Uses averaged variables if the checkpoint has them. Needs TensorFlow (the extra
tf), except for the npm package nsfwjs."""


def add_arguments(parser):
    parser.add_argument('checkpoint', metavar='CHECKPOINT',
                        help='V1 file, prefix or folder of V2 files, or .tgz of the npm package '
                             'nsfwjs')
    parser.add_argument('out', metavar='OUT.npz', help='file to write')
    parser.add_argument('--raw', action='store_true',
                        help='use the variables of the last step, not the averaged ones')


def run(options):
    from finetune.weights.convert import convert_checkpoint
    convert_checkpoint(options.checkpoint, options.out, options.raw)
