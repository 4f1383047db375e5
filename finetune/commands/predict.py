"""The command ``predict``: classifies pictures."""
import json
import os
from pathlib import Path
import sys

from finetune.commands import options as shared
from finetune.data.picture_folders import described, find_pictures
from finetune.errors import InputError
from finetune.files import atomic, require_empty, write_csv, write_text
from finetune.names import shown
from finetune.progress import progress_bar, say

HELP = 'classify pictures with a trained model'
DESCRIPTION = ('Prints the most probable classes of pictures without labels or annotations. Parts '
               'are found as in training. Only the folder of the run, or an archive that export '
               'has written, is needed. Unreadable pictures are reported and skipped; the exit '
               'code is then 1.')
PAGE = '.html'
FORMATS = '.csv', '.json', PAGE
BOX_ORDER = 'y_min', 'x_min', 'y_max', 'x_max'     # of the parts in .json, in pixels
WIDEST_NAME = 40        # characters of a class name in the terminal
MAX_STEM = 200          # bytes of a picture's name in that of its drawing; file systems allow 255


def add_arguments(parser):
    add, number = parser.add_argument, shared.number
    shared.add_results(parser, ', or its archive (.zip)')
    add('images', nargs='+', metavar='IMAGE|FOLDER', help='pictures, or folders of pictures')
    add('--top', type=number('--top', int, 1, 10000), default=3, metavar='K',
        help='number of classes per picture (default: 3)')
    add('--output', metavar='FILE', help='.csv, .json or .html file (a page of all '
        'pictures) to write instead of printing')
    add('--pictures', metavar='DIR', help='folder for a drawing per picture: parts, evidence for '
        'the class, examples of the class; the page of --output links to them')
    add('--parts', metavar='CSV', help='parts of the pictures, for a model with annotated parts: '
        'columns image, part, x, y and optionally width and height')
    add('--detector', metavar='RUN', help='folder of a run whose detector finds the parts')
    add('--batch', type=number('--batch', int, 1, 10000), metavar='N',
        help='pictures per batch (default: as in training)')
    shared.add_flip(parser)


def run(options):
    from finetune.prediction.page import Page
    from finetune.prediction.predictor import batches, load
    is_page = options.output is not None and Path(options.output).suffix == PAGE
    _check_outputs(options.output, options.pictures)
    paths = _find(options.images)
    predictor = load(options.results, options.gpu, options.parts, options.detector,
                     options.project, options.flip)
    if predictor.stream == 'global':
        print(f'{options.results}: the model was trained with parts (data.parts '
              f'{predictor.config.data.parts}), but the parts of these pictures are unknown; only '
              'the whole images are classified. Use --parts or --detector.', file=sys.stderr)
    examples = predictor.folder.read_examples() if options.pictures or is_page else None
    draw = (_drawing(examples, options.pictures, predictor) if options.pictures
            else lambda *answer: None)
    page = Page(predictor.class_names, examples) if is_page else None
    write = _Table(paths, predictor.class_names) if options.output is None else lambda answer: None
    answers, unreadable = [], []
    named = paths if options.output is None else progress_bar(paths, len(paths), 'Predicting')
    pictures = batches(_read(named, predictor, unreadable), options.batch or predictor.batch_size)
    for batch in pictures:
        examined = predictor.examine(batch)
        prediction = predictor.classify(examined)
        for i, picture in enumerate(batch):
            if options.parts and not prediction.visible[i].any():
                say(shown(f'{picture.name}: has no line in {options.parts}; all parts are hidden'))
            answers.append(_answer(picture.name, prediction, i, predictor, options.top))
            write(answers[-1])
            drawing = draw(len(answers), answers[-1], examined, i, prediction.classes[i])
            if page:
                page.add(answers[-1], picture.image, drawing and os.path.relpath(
                    drawing, Path(options.output).parent))
    if not answers:
        raise InputError(f'none of the {len(paths)} pictures can be read; give other pictures.')
    if page:
        write_text(options.output, page.to_html(options.results, unreadable))
    elif options.output is not None:
        _write(Path(options.output), answers, unreadable, options.results, predictor.stream)
    if options.output is not None:
        print(options.output, flush=True)
    if unreadable:
        print(f'{len(unreadable)} of {len(paths)} pictures were skipped', file=sys.stderr)
    return int(bool(unreadable))


def _check_outputs(output, pictures):
    """Raises an error, before anything is computed, if the results could not be written."""
    if output is not None:
        path = Path(output)
        if path.suffix not in FORMATS:
            raise InputError(f'--output {path}: the format is not supported; give a name that '
                             f'ends with {", ".join(FORMATS[:-1])} or {FORMATS[-1]}.')
        if path.exists():
            raise InputError(f'{path}: exists already and is kept; give another --output.')
        path.parent.mkdir(parents=True, exist_ok=True)
    if pictures is not None:
        require_empty(pictures, '--pictures')


def _find(names):
    """Paths of the named pictures and of all pictures in the named folders."""
    paths = []
    for name in names:
        path = Path(name)
        if path.is_dir():
            inside, left_out = find_pictures(path)
            if not inside:
                why = f' (left out are {described(left_out)})' if left_out else ''
                raise InputError(f'{path}: has no pictures{why}; give another folder.')
            print(f'{path}: {len(inside)} pictures', *(
                f'{path}: left out: {reason}: {n}' for reason, n in left_out.most_common()),
                sep='\n', file=sys.stderr)
            paths += inside
        elif path.exists():
            paths.append(path)
        else:
            raise InputError(f'{path}: there is no such picture or folder; correct its name.')
    return list(dict.fromkeys(paths))


def _read(paths, predictor, unreadable):
    """Yields readable pictures; appends the paths of the others to ``unreadable``."""
    for path in paths:
        try:
            yield predictor.picture(path)
        except InputError as error:
            say(shown(f'finetune: {error}'))
            unreadable.append(str(path))


def _answer(name, prediction, i, predictor, n_classes):
    """Classes and parts of picture i of a batch, as they are written."""
    classes = [{'class': predictor.class_names[label],
                'probability': round(float(prediction.probabilities[i, label]), 6)}
               for label in prediction.top(n_classes)[i]]
    parts = [{'part': part, 'box': box.tolist()} for part, box, is_visible in zip(
        predictor.part_names, prediction.boxes[i], prediction.visible[i]) if is_visible]
    return {'image': name, 'classes': classes, 'parts': parts}


class _Table:

    """Prints a line for each classified picture."""

    def __init__(self, paths, class_names):
        self.path_width = max(len(shown(str(path))) for path in paths)
        self.class_width = min(max(len(shown(name)) for name in class_names), WIDEST_NAME)

    def __call__(self, answer):
        cells = [f'{100 * row["probability"]:5.1f} % {self._cut(row["class"]):{self.class_width}}'
                 for row in answer['classes']]
        print(f'{shown(answer["image"]):{self.path_width}}  {"  ".join(cells)}'.rstrip(),
              flush=True)

    def _cut(self, name):
        name = shown(name)
        return name if len(name) <= self.class_width else f'{name[:self.class_width - 3]}...'


def _drawing(examples, folder, predictor):
    """Makes the function that draws the evidence for a predicted class, and returns the path."""
    from finetune.visualize import evidence_picture, sheet

    def draw(number, answer, examined, i, label):
        scores = ', '.join(f'{shown(row["class"])} {100 * row["probability"]:.1f} %'
                           for row in answer['classes'])
        figure = evidence_picture.of_answer(
            predictor, examined, i, label, f'{shown(answer["image"])}\n{scores}', examples)
        stem = os.fsdecode(os.fsencode(Path(answer['image']).stem)[:MAX_STEM])
        path = Path(folder, f'{number:05d}_{stem}.png')
        sheet.save(figure, path)
        return path
    return draw


def _write(path, answers, unreadable, run_folder, stream):
    if path.suffix == '.json':
        write_text(path, json.dumps({'run': run_folder, 'stream': stream, 'box_order': BOX_ORDER,
                                     'images': answers, 'unreadable': unreadable},
                                    ensure_ascii=False))
        return
    with atomic(path) as unfinished:
        write_csv(unfinished, [('image', 'rank', 'class', 'probability'), *(
            (answer['image'], rank, row['class'], row['probability'])
            for answer in answers for rank, row in enumerate(answer['classes'], 1))])
