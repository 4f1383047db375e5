"""``python -m finetune``: sub-commands and their options; no logic."""
import argparse
import functools
import os
import sys

import fve_layer
from finetune import commands, interruption, original_variables, ranks
from finetune import options as shared
from finetune.errors import InputError

DESCRIPTION = 'End-to-end learning of Fisher vector encodings for part features.'


def main(arguments=None):
    """Runs a sub-command; returns the exit code: 0, or 2 for anything the user has to fix.

    On another rank than 0 of ``mpiexec``: helps with it.
    """
    work = ranks.help if ranks.is_helper() else functools.partial(_run, arguments)
    with interruption.as_exceptions():      # until all that an interrupt refers to is gone
        return ranks.ended(lambda: _exit_code(work))


def _run(arguments):
    options = parser().parse_args(arguments)
    with shared.in_project(options):
        return options.run(options) or 0


def _exit_code(work):
    """What ``work()`` returns, or 2 and a sentence."""
    try:
        return work()
    except InputError as error:
        print(f'finetune: {error}', file=sys.stderr)
    except OSError as error:
        if error.errno is None:
            raise
        where = f'{error.filename}: ' if error.filename else ''
        print(f'finetune: {where}{os.strerror(error.errno)}; fix this and run the same command '
              'again.', file=sys.stderr)
    except KeyboardInterrupt as interrupt:
        print('finetune: interrupted; run the same command again to resume.', file=sys.stderr)
        return interruption.exit_code(interrupt)
    return 2


def parser():
    """The command line."""
    top = argparse.ArgumentParser(prog='python -m finetune', description=DESCRIPTION)
    top.set_defaults(in_project=False)
    top.add_argument('--version', action='version', version=f'fve_layer {fve_layer.__version__}')
    subparsers = top.add_subparsers(dest='command', required=True, metavar='COMMAND')

    train = subparsers.add_parser(
        'train', help='train and evaluate experiments',
        description='Trains one experiment, evaluates it and writes results/<config>/seed<k>/.\n'
                    'The same command again resumes an interrupted run. With several configs or\n'
                    '--seeds each run has a process of its own, finished runs are skipped, and a\n'
                    'run that fails does not stop the others (exit code 1).',
        epilog=original_variables.HELP, formatter_class=argparse.RawDescriptionHelpFormatter)
    train.add_argument('configs', nargs='*', metavar='CONFIG',
                       help='YAML of an experiment, or a folder of them '
                            f'(default: {shared.DEFAULT_CONFIG})')
    shared.add_overrides(train)
    shared.add_gpu(train)
    train.add_argument('--seeds', type=shared.seeds, metavar='N',
                       help='seeds 0 ... N-1, or a list of seeds: 0,3,7')
    train.add_argument('--jobs', type=shared.number('--jobs', int, 1, 256), metavar='N',
                       help='runs at a time with several configs or --seeds (default: 1)')
    train.add_argument('--cluster', choices=('local', 'slurm'), default='local',
                       help='where runs are: here, or as jobs of Slurm (default: local)')
    train.add_argument('--hours', type=shared.number('--hours', float, .01, 1000),
                       help='limit of a job, at which it is requeued and goes on (default: 24)')
    train.add_argument('--nodes', type=shared.number('--nodes', int, 1, 1000),
                       help='machines of a job (default: 1)')
    train.add_argument('--gpus', type=shared.number('--gpus', int, 0, 64),
                       help='GPUs of each machine, with a process each; give --gpu 0, too '
                            '(default: 0)')
    train.add_argument('--cpus', type=shared.number('--cpus', int, 1, 256),
                       help='cores of each process (default: 2)')
    train.add_argument('--partition', help="Slurm's partition")
    train.add_argument('--output', metavar='DIR', help='folder for the results of a single run')
    train.add_argument('--dry-run', action='store_true',
                       help='print settings, data counts, shapes and parameter count, then stop')
    train.set_defaults(run=commands.train)

    runtime = subparsers.add_parser(
        'runtime', help='how the time of a training step is spent',
        description="The paper's Table 3 for this machine: trains for some steps with random "
                    'weights and prints how the time was spent. Nothing is saved.')
    shared.add_settings(runtime)
    shared.add_gpu(runtime)
    runtime.add_argument('--steps', type=shared.number('--steps', int, 2, 10000), default=20,
                         help='steps to time (default: 20)')
    runtime.set_defaults(run=commands.runtime)

    evaluate = subparsers.add_parser(
        'evaluate', help='evaluate a trained model',
        description='Evaluates the model in a folder of results on its test images, or with --set '
                    'on others: data.root, data.split and more. Then the results of the run stay '
                    'what they are, and those of the evaluation are only printed unless there is '
                    'an --output.')
    shared.add_results(evaluate)
    shared.add_set(evaluate)
    evaluate.add_argument('--output', metavar='DIR',
                          help='empty folder for the results, instead of the folder of the run')
    evaluate.set_defaults(run=commands.evaluate)

    _add_predict(subparsers.add_parser(
        'predict', help='ask a trained model about pictures',
        description='Prints the most probable classes of pictures without labels or annotations. '
                    'Parts are found as for training. The folder of the run is enough. Pictures '
                    'that cannot be read are told and left out; then the exit code is 1.'))

    report = subparsers.add_parser(
        'report', help='compare all results with the published ones',
        description='Reads the finished runs of the experiments in configs/ and writes '
                    "report.html, report.md and plots: the paper's tables beside these results, "
                    'tests of its claims, learning curves and more.')
    shared.add_folder(report, '--results', 'results', 'folder of results')
    report.add_argument('--output', metavar='DIR',
                        help='folder for the report (default: report in the folder of results)')
    report.set_defaults(run=commands.report, in_project=True)

    status = subparsers.add_parser(
        'status', help='a table of all runs and how far they are',
        description='Prints all runs below a folder: whether they are running, interrupted or '
                    'finished, epochs, the accuracy on the test images, the time they took and '
                    'will take.')
    status.add_argument('results', nargs='?', default='results',
                        help='folder of results (default: results)')
    status.add_argument('--watch', type=shared.number('--watch', float, .1, 86400), nargs='?',
                        const=5, metavar='SECONDS', help='again every so many seconds (5), until '
                        'Ctrl-C')
    status.set_defaults(run=commands.status, in_project=True)

    convert = subparsers.add_parser(
        'convert', help='convert weights of InceptionV3 to .npz',
        description="Reads a checkpoint of TF-Slim's InceptionV3, V1 or V2, and writes its weights "
                    'as an .npz for model.pretrained. Needs TensorFlow (the extra tf). Averaged '
                    'variables are preferred. Or reads the npm package nsfwjs, which needs '
                    'nothing.')
    convert.add_argument('checkpoint', metavar='CHECKPOINT',
                         help='V1 file, prefix of V2 files, or folder of the latter; or the '
                              '.tgz of the package')
    convert.add_argument('out', metavar='OUT.npz', help='file to write')
    convert.add_argument('--raw', action='store_true',
                         help='use the variables of the last step, not the averaged ones')
    convert.set_defaults(run=commands.convert)

    export = subparsers.add_parser(
        'export', help='write a trained model as an ONNX file',
        description='Writes the classifier of a run as an ONNX graph, which runs without Chainer: '
                    'images and part crops to scores. The folder of the run is enough. How images '
                    'are prepared is in its description, names of classes in its metadata.')
    export.add_argument('results', help='folder of a finished run')
    export.add_argument('out', metavar='OUT.onnx', help='file to write')
    export.add_argument('--layer', action='store_true',
                        help='the Fisher vector layer alone: local features to Fisher vectors')
    export.set_defaults(run=commands.export)

    _add_pictures(subparsers.add_parser('visualize', help='make videos and pictures',
                                      description='Makes videos and pictures.'))

    doctor = subparsers.add_parser(
        'doctor', help='check environment and data set',
        description='Checks packages, GPU and, with a config, its data set and weights. Exit '
                    'code 0: training can start.')
    shared.add_settings(doctor, default='none')
    shared.add_gpu(doctor)
    doctor.set_defaults(run=commands.doctor)
    return top


def _add_pictures(command):
    subparsers = command.add_subparsers(dest='what', required=True, metavar='WHAT')
    _add_em(subparsers.add_parser(
        'em', help='the mixture learning points in the plane',
        description="The supplement's video of the iterative EM algorithm: the layer's mixture "
                    'learns points in the plane, batch by batch, beside one of scikit-learn that '
                    'is fitted on all of them. Both videos unless --data names one.'))

    parts = subparsers.add_parser(
        'parts', help='images with part boxes and crops, before training',
        description='A contact sheet of images of an experiment: their part boxes, and the image '
                    'and the part crops exactly as the network gets them.')
    shared.add_settings(parts)
    parts.add_argument('--split', choices=('train', 'test'), default='train',
                       help='train: augmented (default); test: not')
    shared.add_images(parts)
    parts.add_argument('--output', metavar='DIR',
                       help='folder for the picture (default: results/<config>)')
    parts.set_defaults(run=commands.visualize_parts)

    mixture = subparsers.add_parser(
        'mixture', help='what the components of a trained mixture own',
        description='Pictures in the folder of results: some test images with their local features '
                    'coloured by component, and the patches and parts of each component over all '
                    'test images.')
    shared.add_results(mixture)
    shared.add_images(mixture)
    mixture.set_defaults(run=commands.visualize_mixture)

    confusion = subparsers.add_parser(
        'confusion', help='the classes confused most',
        description='A picture in the folder of results: the pairs of classes that the model '
                    'confuses most often on the test images, with examples and mistakes.')
    shared.add_results(confusion)
    confusion.set_defaults(run=commands.visualize_confusion)


def _add_predict(command):
    add, number = command.add_argument, shared.number
    shared.add_results(command)
    add('images', nargs='+', metavar='IMAGE|FOLDER', help='pictures, or folders of pictures')
    add('--top', type=number('--top', int, 1, 10000), default=3, metavar='K',
        help='classes for each picture (default: 3)')
    add('--output', metavar='FILE', help='.csv or .json to write, instead of printing')
    add('--pictures', metavar='DIR', help='folder for a picture of the evidence in each picture: '
        'its parts, what spoke for the class, examples of the class')
    add('--parts', metavar='CSV', help='parts of the pictures, for a model of annotated parts: '
        'columns image, part, x, y and perhaps width and height')
    add('--detector', metavar='RUN', help='folder of a run whose detector finds the parts')
    add('--batch', type=number('--batch', int, 1, 10000), metavar='N',
        help='pictures at a time (default: as in training)')
    command.set_defaults(run=commands.predict, in_project=False)


def _add_em(command):
    add, number = command.add_argument, shared.number
    add('--data', choices=('simple', 'difficult'), nargs='+', default=['simple', 'difficult'],
        help='deviation 0.1 and batches of 128, or 0.2 and 512 (default: both)')
    add('--classes', type=number('--classes', int, 1, 100), default=10,
        help='classes, around the unit circle (default: 10)')
    add('--samples', type=number('--samples', int, 2, 100000), default=400,
        help='points per class (default: 400)')
    add('--deviation', type=number('--deviation', float, 1e-3, 10),
        help='standard deviation of a class, instead of 0.1 or 0.2')
    add('--batch-size', type=number('--batch-size', int, 1, 10 ** 7),
        help='points per iteration, instead of 128 or 512')
    add('--iterations', type=number('--iterations', int, 1, 10000), default=50,
        help='batches, one EM step each (default: 50)')
    add('--ema-decay', type=number('--ema-decay', float, 0, 1 - 1e-9), default=.9,
        help='lambda (default: 0.9)')
    add('--init', choices=('kmeans', 'random'), default='kmeans',
        help='initialisation of the mixture (default: kmeans)')
    add('--seed', type=number('--seed', int, 0, 2 ** 31 - 1), default=0,
        help='seed of everything random (default: 0)')
    add('--seeds', type=number('--seeds', int, 1, 10 ** 6), metavar='N',
        help='print how reliably N runs with different seeds find the centres')
    add('--no-video', action='store_true', help='print only the table of --seeds')
    shared.add_folder(command, '--output', 'results/em', 'folder for videos and pictures')
    command.set_defaults(run=commands.visualize_em)
