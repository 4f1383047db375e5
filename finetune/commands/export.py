"""The command ``export``: a trained model as an ONNX file."""
from finetune.commands import options as shared

HELP = 'write a trained model as an ONNX file'
DESCRIPTION = """\
Writes the classifier of a run as an ONNX graph, which runs without Chainer: images and part crops
to scores. The folder of the run is enough. How images are prepared is in its description, names of
classes in its metadata."""


def add_arguments(parser):
    parser.add_argument('results', help='folder of a finished run')
    parser.add_argument('out', metavar='OUT.onnx', help='file to write')
    parser.add_argument('--layer', action='store_true',
                        help='the Fisher vector layer alone: local features to Fisher vectors')
    shared.add_project(parser)


def run(options):
    from finetune.export import onnx_file
    onnx_file.export(options.results, options.out, options.layer, options.project)
