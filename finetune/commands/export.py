"""The command ``export``: writes a trained model as an archive or as an ONNX file."""
from pathlib import Path

from finetune.commands import options as shared
from finetune.errors import InputError

ONNX = '.onnx'
HELP = 'write a trained model as one file, an archive or an ONNX graph'
DESCRIPTION = """\
Writes the model of a finished run, or of a comparison. OUT.zip is an archive of what predictions
need, for another machine or other people: predict and demo take it in place of the folder. It also
has the thumbnails and the paths of the training images. OUT.onnx is the classifier from images and
part crops to scores as an ONNX graph, which runs without Chainer; its description says how to
prepare images, and its metadata has the names of the classes."""


def add_arguments(parser):
    parser.add_argument('results', help='folder of a finished run')
    parser.add_argument('out', metavar='OUT.zip|OUT.onnx', help='file to write')
    parser.add_argument('--layer', action='store_true', help='write only the Fisher vector layer, '
                        'as ONNX: local features to Fisher vectors')
    shared.add_project(parser)


def run(options):
    from finetune.runs import archive
    suffix = Path(options.out).suffix
    if suffix not in (archive.SUFFIX, ONNX):
        raise InputError(f'{options.out}: the output is an archive or an ONNX file; give a name '
                         f'ending in {archive.SUFFIX} or {ONNX}.')
    if suffix == ONNX:
        from finetune.export import onnx_file
        onnx_file.export(options.results, options.out, options.layer, options.project)
        return
    if options.layer:
        raise InputError(f'--layer {options.out}: the layer alone is an ONNX graph; give a name '
                         'ending in .onnx.')
    archive.write(options.results, options.out, options.project)
    print(f'{options.out}: {Path(options.out).stat().st_size / 1e6:.1f} MB', flush=True)
