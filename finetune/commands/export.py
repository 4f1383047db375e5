"""The command ``export``: writes a trained model as an ONNX file."""
from finetune.commands import options as shared

HELP = 'write a trained model as an ONNX file'
DESCRIPTION = """\
Writes the classifier of a run, from images and part crops to scores, as an ONNX graph, which runs
without Chainer. Only the folder of the run is needed. The description in the file says how to
prepare images; its metadata has the names of the classes."""


def add_arguments(parser):
    parser.add_argument('results', help='folder of a finished run')
    parser.add_argument('out', metavar='OUT.onnx', help='file to write')
    parser.add_argument('--layer', action='store_true',
                        help='write only the Fisher vector layer: local features to Fisher vectors')
    shared.add_project(parser)


def run(options):
    from finetune.export import onnx_file
    onnx_file.export(options.results, options.out, options.layer, options.project)
