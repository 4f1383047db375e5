"""Files of a run: weights, snapshots and other arrays, texts, and pickles in their place."""
import contextlib
import io
import os
from pathlib import Path
import pickle
import shutil
import zipfile

import chainer
import numpy

from common import (
    command, CONFIG, CONFIGS, damaged, problem_of, RESULTS, RUN, SETTINGS, tried)
from finetune import files as npz
from finetune.config.config import read_config
from finetune.models.part_classifier import build_classifier
from finetune.runs import snapshot
from finetune.runs.folder import RunFolder
from finetune.training.trainer import build_trainer
from finetune.weights import pretrained
from finetune.parts import kind

CS_RUN, SEPARATE = RESULTS / 'cs_fve/seed0', RESULTS / 'separate/seed0'
BOXES = Path('birds') / SETTINGS['data'].get('boxes', 'CS_parts')
CANARY = Path('executed')

# Commands, and the files of text of a run that each reads.
READERS = {
    ('train', CONFIG): ('config.yml', 'images.csv', 'evaluation.yml', 'predictions.csv',
                        'names.yml', 'log'),
    ('train', CONFIG, '--seeds', '1'): ('config.yml', 'log', 'evaluation.yml'),
    ('evaluate', RUN): ('config.yml', 'images.csv', 'names.yml', 'evaluation.yml',
                        'predictions.csv'),
    ('predict', RUN, 'birds/images', '--parts', 'parts.csv'): ('config.yml', 'names.yml'),
    ('report',): ('config.yml', 'log', 'evaluation.yml', 'predictions.csv'),
    ('visualize', 'mixture', RUN, '--images', '1'): ('config.yml', 'names.yml'),
    ('visualize', 'confusion', RUN): ('config.yml', 'names.yml', 'predictions.csv'),
}


def archives(random):
    """Damaged weights and snapshots: refused, or the same arrays."""
    config = read_config(CONFIG)
    data_set = kind.load(config)
    model, path = build_classifier(config, data_set), Path('damaged.npz')
    expected = npz.read_arrays(RUN / 'model.npz')

    def load_weights():
        pretrained.load_classifier(model, path)
        return _differing(model, expected)

    def load_snapshot():
        with contextlib.closing(_Resumed(config, data_set)) as resumed:
            snapshot.load(path, resumed.trainer)
            return _differing(resumed.model, expected)

    for source, load, n in ((RUN / 'model.npz', load_weights, 4000),
                            (_newest_snapshot(), load_snapshot, 1000)):
        content = source.read_bytes()
        for _ in range(n):
            path.write_bytes(damaged(content, random))
            yield tried(load)


def texts(random):
    """Damaged files of text of a run, for every command that reads them."""
    kept = Path(shutil.copytree(RUN, 'kept'))
    for arguments, names in READERS.items():
        for _ in range(100):
            path = RUN / names[random.randint(len(names))]
            path.write_bytes(damaged(path.read_bytes(), random))
            code, error = command(*arguments)
            problem = problem_of(code, error)
            if (RUN / 'model.npz').read_bytes() != (kept / 'model.npz').read_bytes():
                problem = 'model.npz is overwritten'
            yield problem and f'{" ".join(map(str, arguments))}, {path.name}: {problem}'
            shutil.rmtree(RUN)
            shutil.copytree(kept, RUN)


def pickles(random):
    """A pickle in each file that is read, or as an array or a tag in it: none is executed."""
    newest = _newest_snapshot()
    (RUN / 'model.npz').rename('model.npz')         # so that the snapshot is read
    yield from _planted(newest, ('train', CONFIG))
    Path('model.npz').rename(RUN / 'model.npz')
    for path, *arguments in (
            (RUN / 'model.npz', 'evaluate', RUN),
            (RUN / 'model.npz', 'train', CONFIG, '--output', 'weights', '--set',
             f'model.pretrained={RUN / "model.npz"}'),
            (RUN / 'model.npz', 'train', CONFIG, '--output', 'classifier', '--set',
             f'model.checkpoint={RUN / "model.npz"}'),
            (RUN / 'examples.npz', 'predict', RUN, 'birds/images', '--parts', 'parts.csv',
             '--pictures', 'pictures'),
            (CS_RUN / 'detector/weights.npz', 'predict', CS_RUN, 'birds/images'),
            (CS_RUN / 'detector/settings.yml', 'predict', CS_RUN, 'birds/images'),
            (SEPARATE / 'model.npz', 'evaluate', SEPARATE),
            *((path, 'evaluate', SEPARATE)
              for path in sorted((RESULTS / 'gt_gap/seed0').glob('features*/*.npz'))),
            *((RUN / name, *arguments) for arguments, names in READERS.items() for name in names),
            (CONFIG, 'train', CONFIG), (CONFIG, 'doctor', CONFIG), (CONFIG, 'report'),
            (Path('parts.csv'), 'predict', RUN, 'birds/images', '--parts', 'parts.csv'),
            (BOXES / 'origin.yml', 'train', CONFIGS / 'cs_fve.yml'),
            (BOXES / 'parts/part_locs.txt', 'train', CONFIGS / 'cs_fve.yml', '--output', 'boxes'),
            *((path, 'doctor', CONFIG) for path in sorted(Path('birds').rglob('*.txt'))),
            (Path('birds/origin.yml'), 'doctor', CONFIG),
            (next(Path('birds').rglob('*.png')), 'doctor', CONFIG)):
        yield from _planted(path, arguments)


class _Executed:

    def __reduce__(self):
        return os.system, (f'touch {CANARY.absolute()}',)


def _planted(path, arguments):
    assert path.is_file(), path
    before = path.read_bytes()
    for content in filter(None, (pickle.dumps(_Executed()), _with_object(before),
                                 _with_tag(before))):
        path.write_bytes(content)
        problem = problem_of(*command(*arguments))
        if CANARY.exists():
            CANARY.unlink()
            problem = 'executed'
        yield problem and f'{path}, {" ".join(map(str, arguments))}: {problem}'
        path.write_bytes(before)


def _with_object(content):
    """An archive whose first array has become one of objects."""
    if not content.startswith(b'PK'):
        return None
    with numpy.load(io.BytesIO(content)) as archive:
        arrays = dict(archive)
    arrays[next(iter(arrays))] = numpy.array([_Executed()], object)
    with io.BytesIO() as file:
        numpy.savez(file, **arrays)
        return file.getvalue()


def _with_tag(content):
    """Text that a careless reader of YAML would execute."""
    if zipfile.is_zipfile(io.BytesIO(content)):
        return None
    return f'x: !!python/object/apply:os.system ["touch {CANARY.absolute()}"]\n'.encode()


def _newest_snapshot():
    return max(RUN.glob('snapshot_iter_*'), key=lambda path: int(path.name.split('_')[-1]))


class _Resumed:

    """A run that is about to be resumed."""

    def __init__(self, config, data_set):
        self.model = build_classifier(config, data_set)
        self.trainer = build_trainer(self.model, config, data_set, chainer.get_device('@numpy'),
                                     RunFolder('resumed'))

    def close(self):
        self.trainer.updater.finalize()


def _differing(model, expected):
    """What is wrong with the weights of a model, if anything."""
    target = chainer.serializers.DictionarySerializer()
    target.save(model)
    if any(not numpy.array_equal(target.target[key], expected[key]) for key in expected):
        return 'other weights without a word'
