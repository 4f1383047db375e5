"""The command ``predict``: pictures in, classes out."""
import csv
import json
from pathlib import Path
import sys

from finetune.commands import options as shared
from finetune.data.own_pictures import find_pictures
from finetune.errors import InputError
from finetune.files import atomic, require_empty
from finetune.progress import progress_bar, say

HELP = 'ask a trained model about pictures'
DESCRIPTION = ('Prints the most probable classes of pictures without labels or annotations. Parts '
               'are found as for training. The folder of the run is enough. Pictures that cannot '
               'be read are told and left out; then the exit code is 1.')
FORMATS = '.csv', '.json'
WIDEST_NAME = 40        # columns of the terminal for a class


def add_arguments(parser):
    add, number = parser.add_argument, shared.number
    shared.add_results(parser)
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


def run(options):
    from finetune.prediction.predictor import batches, load
    _check_outputs(options.output, options.pictures)
    paths = _find(options.images)
    predictor = load(options.results, options.gpu, options.parts, options.detector,
                     options.project)
    if predictor.stream == 'global':
        print(f'{options.results}: was trained with parts (data.parts '
              f'{predictor.config.data.parts}), but nothing says where they are in these pictures; '
              'the whole images alone are classified. Use --parts or --detector.', file=sys.stderr)
    draw = (_drawing(options.project.path(options.results), options.pictures, predictor)
            if options.pictures else lambda *answer: None)
    write = _Table(paths, predictor.class_names) if options.output is None else lambda answer: None
    answers, unreadable = [], []
    named = paths if options.output is None else progress_bar(paths, len(paths), 'Predicting')
    pictures = batches(_read(named, predictor, unreadable), options.batch or predictor.batch_size)
    for batch in pictures:
        examined = predictor.examine(batch)
        prediction = predictor.classify(examined)
        for i, picture in enumerate(batch):
            if options.parts and not prediction.visible[i].any():
                say(f'{picture.name}: has no line in {options.parts}; all its parts are hidden')
            answers.append(_answer(picture.name, prediction, i, predictor, options.top))
            write(answers[-1])
            draw(len(answers), answers[-1], examined, i, prediction.classes[i])
    if not answers:
        raise InputError(f'none of the {len(paths)} pictures can be read; give others.')
    if options.output is not None:
        _write(Path(options.output), answers, unreadable, options.results, predictor.stream)
        print(options.output, flush=True)
    if unreadable:
        print(f'{len(unreadable)} of {len(paths)} pictures were left out', file=sys.stderr)
    return int(bool(unreadable))


def _check_outputs(output, pictures):
    """Nothing is overwritten, and nothing is computed that could not be written."""
    if output is not None:
        path = Path(output)
        if path.suffix not in FORMATS:
            raise InputError(f'--output {path}: is no format of this program; give a name that '
                             f'ends with {" or ".join(FORMATS)}.')
        if path.exists():
            raise InputError(f'{path}: is there already and is kept; give another --output.')
        path.parent.mkdir(parents=True, exist_ok=True)
    if pictures is not None:
        require_empty(pictures, '--pictures')


def _find(names):
    """Paths of the pictures that are named, and of those in folders that are named."""
    paths = []
    for name in names:
        path = Path(name)
        if path.is_dir():
            inside, n_others = find_pictures(path)
            if not inside:
                raise InputError(f'{path}: has no picture in it; give another folder.')
            if n_others:
                print(f'{path}: {n_others} files are not pictures by their names; they are left '
                      'out', file=sys.stderr)
            paths += inside
        elif path.exists():
            paths.append(path)
        else:
            raise InputError(f'{path}: there is no such picture or folder; correct its name.')
    return list(dict.fromkeys(paths))


def _read(paths, predictor, unreadable):
    """Pictures that can be read; the paths of others are appended to ``unreadable``."""
    for path in paths:
        try:
            yield predictor.picture(path)
        except InputError as error:
            say(f'finetune: {error}')
            unreadable.append(str(path))


def _answer(name, prediction, i, predictor, n_classes):
    """What is written about picture i of a batch."""
    classes = [{'class': predictor.class_names[label],
                'probability': round(float(prediction.probabilities[i, label]), 6)}
               for label in prediction.top(n_classes)[i]]
    parts = [{'part': part, 'box': box.tolist()} for part, box, is_visible in zip(
        predictor.part_names, prediction.boxes[i], prediction.visible[i]) if is_visible]
    return {'image': name, 'classes': classes, 'parts': parts}


class _Table:

    """Prints a line for each picture as soon as there is one."""

    def __init__(self, paths, class_names):
        self.path_width = max(len(str(path)) for path in paths)
        self.class_width = min(max(map(len, class_names)), WIDEST_NAME)

    def __call__(self, answer):
        cells = [f'{100 * row["probability"]:5.1f} % {self._cut(row["class"]):{self.class_width}}'
                 for row in answer['classes']]
        print(f'{answer["image"]:{self.path_width}}  {"  ".join(cells)}'.rstrip(), flush=True)

    def _cut(self, name):
        return name if len(name) <= self.class_width else f'{name[:self.class_width - 3]}...'


def _drawing(run_folder, folder, predictor):
    """Function that draws the evidence for a predicted class and saves the picture."""
    from finetune.runs.folder import RunFolder
    from finetune.visualize import evidence_picture, sheet
    examples = RunFolder(run_folder).read_examples()

    def draw(number, answer, examined, i, label):
        view = sheet.look_at(examined, i, predictor)._replace(caption='parts')
        scores = ', '.join(f'{row["class"]} {100 * row["probability"]:.1f} %'
                           for row in answer['classes']).replace('_', ' ')
        figure = evidence_picture.draw(
            view, predictor.explain(examined[i], label), f'{answer["image"]}\n{scores}',
            predictor.class_names[label].replace('_', ' '), examples.of(label) if examples else [])
        name = f'{number:05d}_{Path(answer["image"]).stem}.png'
        sheet.save(figure, Path(folder, name))
    return draw


def _write(path, answers, unreadable, run_folder, stream):
    with atomic(path) as unfinished, open(unfinished, 'w', encoding='utf-8', newline='') as file:
        if path.suffix == '.json':
            json.dump({'run': run_folder, 'stream': stream, 'images': answers,
                       'unreadable': unreadable}, file, ensure_ascii=False)
            return
        writer = csv.writer(file, lineterminator='\n')
        writer.writerow(['image', 'rank', 'class', 'probability'])
        for answer in answers:
            for rank, row in enumerate(answer['classes'], 1):
                writer.writerow([answer['image'], rank, row['class'], row['probability']])
