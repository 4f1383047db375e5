"""The model card of a run: what it was trained on, how good it is, and how to use it."""
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy

from finetune.config.catalogue import NO_LICENCE, PACKAGED_WEIGHTS, WEIGHTS
from finetune.config.config import active_names, get, is_config
from finetune.config.schema import override_of
from finetune.config.settings import Config
from finetune.config.streams import STREAMS
from finetune.data.fingerprint import Fingerprint
from finetune.document import bullets, commands, literal, table
from finetune.experiments import prerequisites
from finetune.experiments.choice import accuracy
from finetune.files import write_text
from finetune.names import composed
from finetune.runs.folder import RunFolder

FILE = 'model_card.md'
N_CONFUSIONS = 5
# Settings that the card tells, as far as they have an effect; config.yml has all of them.
SHOWN = ('data.parts', 'data.input_size', 'data.part_input_size',
         'data.test_flip', 'detector.n_parts', 'model.architecture', 'model.encoding',
         'model.n_components', 'training.epochs', 'training.optimizer', 'training.learning_rate',
         'training.cnn_lr_factor', 'training.update_size', 'training.patience', 'training.seed')


def write(folder: Path, run: RunFolder, tested: RunFolder | None = None) -> None:
    """Writes the card of a run, Markdown, into a folder; without ``images.csv`` there is none.

    Args:
        folder (pathlib.Path): Folder of the run, or of the comparison that chose it.
        run (RunFolder): Folder of the run, finished and evaluated.
        tested (RunFolder or None): Folder with its results on the test images; ``None``: its own.

    """
    if not run.images.exists():     # of a run of an earlier version
        return
    config = run.read_config()
    columns = {name: numpy.array([*map(composed, column)])      # as in images.csv
               for name, column in (tested or run).read_predictions().items()
               if name in ('label', *STREAMS)}
    is_held_out = config.data.split == 'validation'
    of_what = 'held-out training images' if is_held_out and not tested else 'test images'
    n_used = Counter((image.split, image.class_name) for image in Fingerprint.read(run.images))
    blocks = [f'# Model card: {len(run.read_names().class_names)} classes of '
              f'{literal(_root(config))}',
              'FOLDER below is the folder of this file, or its archive.', *_use(),
              *_accuracy(columns, of_what, config, is_of_training=not tested),
              *_data(config, columns, n_used, of_what, is_held_out),
              *_confusions(columns, of_what), *_training(config)]
    write_text(folder / FILE, '\n\n'.join(blocks) + '\n')


def _use():
    yield '## How to use it'
    yield ('You need the program fve_layer, from a clone of its repository: `pip install finetune` '
           'gets another one.')
    yield commands('python -m finetune predict FOLDER PICTURES')
    yield 'In Python:'
    yield commands('import finetune', "model = finetune.load('FOLDER')",
                   "model.predict('picture.jpg').names")
    yield ('The model names one of its classes for every picture, also for a picture of something '
           'else.')


def _accuracy(columns, of_what, config, is_of_training):
    label, streams = columns['label'], [stream for stream in STREAMS if stream in columns]
    yield '## Accuracy'
    yield table(['classified by', 'correct (95 % interval)'], [
        [STREAMS[stream] if len(streams) > 1 else 'the network', accuracy(columns[stream] == label)]
        for stream in streams])
    share = 100 * max(Counter(label).values()) / len(label)
    yield (f'Of {len(label)} {of_what}. Always naming the most frequent class would be correct for '
           f'{share:.1f} % of them.')
    if is_of_training and config.training.patience:
        yield ('These images also decided when training stopped, which makes the accuracy a little '
               'too high.')


def _data(config, columns, n_used, of_what, is_held_out):
    yield '## Data'
    n_train, n_held_out = (sum(n for (side, _), n in n_used.items() if side == split)
                           for split in ('train', 'test'))
    numbers = [f'{literal(_root(config))} (`data.dataset` {config.data.dataset})',
               f'{n_train} training images',
               *([f'{n_held_out} held-out training images'] if is_held_out else []),
               *([f'{len(columns["label"])} test images'] if of_what == 'test images' else [])]
    yield bullets(numbers)
    right = Counter(columns['label'][columns['label'] == columns['both']])
    tested = Counter(columns['label'])
    names = dict.fromkeys([*(name for _, name in n_used), *tested])
    yield table(['class', 'training images', of_what, 'of these correct'], [
        [literal(name), str(n_used['train', name]), str(tested[name]), str(right[name])]
        for name in names])


def _confusions(columns, of_what):
    label, predicted = columns['label'], columns['both']
    tested = Counter(label)
    mistakes = Counter(zip(label[label != predicted], predicted[label != predicted]))
    if mistakes:
        yield '## Most frequent mistakes'
        yield table(['class', 'taken for', of_what, 'of'], [
            [literal(name), literal(other), str(n), str(tested[name])]
            for (name, other), n in mistakes.most_common(N_CONFUSIONS)])


def _training(config):
    active = active_names(config)
    yield '## Training'
    yield commands(*(override_of(name, get(config, name)) for name in SHOWN if name in active))
    yield '`config.yml` of the run has all settings.'
    yield '## Weights that training started from'
    yield bullets(dict.fromkeys(_weights(config))) or 'None: random weights.'


def _weights(config: Config) -> Iterator[str]:
    """Weights that a run, or a run that it needs, starts from, with their licences."""
    active = active_names(config)
    for setting in 'model.checkpoint', 'model.pretrained', 'detector.cnn':
        source = get(config, setting) if setting in active else ''
        if source and not is_config(source):
            yield from _source(source, config)
    for required in prerequisites.of(config):
        yield from _weights(required.config)


def _source(source, config):
    """Says where weights are from; those that the program has trained lead to their own start."""
    path = config.project.path(source)
    trained = RunFolder(path.parent, config.project)
    if source in PACKAGED_WEIGHTS:
        packaged = PACKAGED_WEIGHTS[source]
        yield f'`{source}`, of the package `{packaged.package}` ({packaged.licence})'
    elif trained.is_run and path in (trained.model, trained.best):
        yield f'{literal(_name(source))}, trained by this program'
        yield from _weights(trained.read_config())
    else:
        known = WEIGHTS.get(Path(source).name)
        yield f'{literal(_name(source))}, {f"of {known}" if known else NO_LICENCE}'


def _root(config):
    """Name of the data as it was given, or of their folder."""
    return _name(config.data.root or config.data.dataset)


def _name(path):
    """A path as it was given; of one from outside of the project the last name only."""
    is_outside = Path(path).is_absolute() or path.startswith(('~', '..'))
    return Path(path).name if is_outside else path
