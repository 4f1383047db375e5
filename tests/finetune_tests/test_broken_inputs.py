"""Broken inputs through the command line: one sentence each, exit code 2, nothing overwritten.

The sentences are the table of docs/broken_inputs.md, whose rows are checked one by one. After a
change of one, write them anew by

    UPDATE_DOCS=1 tests/run.sh tests/finetune_tests/test_broken_inputs.py
"""
import os
from pathlib import Path
import re
import shutil

from chainer import serializers
import numpy
from PIL import Image
import pytest
import yaml

from finetune import cli
from finetune.data import annotation_files
from finetune.models.inception_v3 import InceptionV3

import layouts

PAGE = Path(__file__).resolve().parents[2] / 'docs/broken_inputs.md'
START, END = '<!-- broken inputs -->\n', '<!-- end of broken inputs -->'
HEADER = ['| input | what the program says |', '|---|---|']


class World:
    """A data set, configs and a finished run, all of which may be broken."""

    def __init__(self, birds, write_config, finished_run):
        self.birds, self.config = birds, write_config
        self.finished_run = finished_run

    def edit(self, name, old, new):
        path = self.birds / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))
        return self.train()

    def append(self, name, line):
        with open(self.birds / name, 'a') as file:
            file.write(line + '\n')
        return self.train()

    def image(self, change):
        change(min((self.birds / 'images').rglob('*.png')))
        return self.train()

    def train(self, *options, **sections):
        return ['train', self.config(**sections), *options]

    def finished(self):
        out = Path(shutil.copytree(self.finished_run, 'results/config/seed0'))
        config = yaml.safe_load((out / 'config.yml').read_text())
        config['data']['root'] = str(self.birds)
        (out / 'config.yml').write_text(yaml.safe_dump(config))
        return out

    def longer(self, change):
        change(self.finished())
        settings = yaml.safe_load(Path('results/config/seed0/config.yml').read_text())
        del settings['training']['epochs']
        Path('longer.yml').write_text(yaml.safe_dump(settings))
        return ['train', 'longer.yml', '--output', 'results/config/seed0', '--set',
                'training.epochs=9']

    def data_set(self):
        return annotation_files.read_cub(self.birds)

    def authors(self, change=None, boxes=None, parts='GT'):
        records = self.data_set()
        if boxes:
            boxes = {r.image_id: boxes for r in records.train + records.test}
        layouts.write_authors(records, Path('authors'), boxes)
        if change:
            name, edit = change
            Path('authors', name).write_text(edit(Path('authors', name).read_text()))
        return self.train(data={'root': 'authors', 'parts': parts})

    def birdsnap(self, change):
        layouts.write_birdsnap(self.data_set(), self.birds, Path('birdsnap'))
        change(Path('birdsnap'))
        return self.train(data={'root': 'birdsnap', 'dataset': 'birdsnap'})

    def own(self, change, root='photos'):
        """Pictures in class folders, changed."""
        shutil.copytree(self.birds / 'images', 'photos')
        change(Path('photos'))
        return self.train(data={'dataset': 'folder', 'root': root, 'parts': 'GRID'})

    def own_table(self, text):
        return self.own(lambda root: (root / 'list.csv').write_text(text), 'photos/list.csv')

    def predict(self, *options, table=None):
        """The finished run predicts a picture whose parts are in a table."""
        shutil.copy(self.data_set().test[0].path, 'bird.png')
        if table is not None:
            Path('parts.csv').write_text(table)
            options = '--parts', 'parts.csv', *options
        return ['predict', self.finished(), 'bird.png', *options]

    def evaluate(self, *overrides, options=()):
        settings = [word for override in overrides for word in ('--set', override)]
        return ['evaluate', self.finished(), *settings, *options]

    def weights(self, change):
        arrays = dict(numpy.load(self.finished_run / 'model.npz'))
        change(arrays)
        numpy.savez('weights.npz', **arrays)
        return self.train(model={'pretrained': 'weights.npz'})

    def original(self):
        """Some arrays of a classifier of the authors' code."""
        arrays = {f'fve_layer/{name}': numpy.ones(1)
                  for name in ('mu', 'sig', 'w', 'alpha', 't', 'eps')}
        arrays.update({'model/fc/b': numpy.zeros(3), 'mask_features': numpy.array(True)})
        arrays.update({f'separate_model/fc/{name}': numpy.zeros((3, 2)) for name in 'Wb'})
        numpy.savez('clf_final.npz', **arrays)
        return self.train(model={'checkpoint': 'clf_final.npz'})

    def released(self):
        """The 472 arrays of the authors' link, one of them by another name."""
        serializers.save_npz('inat.npz', InceptionV3(), compression=False)
        arrays = dict(numpy.load('inat.npz'))
        arrays.update({'fc/W': numpy.zeros((200, 2048), 'f'), 'fc/b': numpy.zeros(200, 'f')})
        assert len(arrays) == 472
        arrays['mixed03/conv4x4/conv/W'] = arrays.pop('mixed03/conv3x3/conv/W')
        numpy.savez('inat.npz', **arrays)
        return self.train(
            data={'input_size': 96, 'part_input_size': 96},
            model={'architecture': 'inception_v3', 'pretrained': 'inat.npz'})


def rewrite(path, size=None, text=None):
    path.write_bytes(path.read_bytes()[:size]) if text is None else path.write_text(text)


def replaced(old, new):
    return lambda text: text.replace(old, new, 1)


def pipe(world, name):
    (world.birds / name).unlink()
    os.mkfifo(world.birds / name)
    return world.train()


def move_a_part(world, x):
    """The first visible part."""
    path = world.birds / 'parts/part_locs.txt'
    lines = path.read_text().splitlines()
    i = next(i for i, line in enumerate(lines) if line.endswith(' 1'))
    image, part, _, y, visible = lines[i].split()
    lines[i] = ' '.join([image, part, x, y, visible])
    path.write_text('\n'.join(lines))
    return world.train()


def unfinished(world):
    (world.finished() / 'model.npz').unlink()
    return ['evaluate', 'results/config/seed0']


def broken_snapshot(world):
    out = world.finished()
    (out / 'model.npz').unlink()
    rewrite(next(out.glob('snapshot_*')), 1000)
    return world.train()


def along_cosine(out):
    settings = yaml.safe_load((out / 'config.yml').read_text())
    settings['training']['lr_schedule'] = 'cosine'
    for name in 'lr_factor', 'lr_epochs':
        del settings['training'][name]
    (out / 'config.yml').write_text(yaml.safe_dump(settings))


def something_else(world):
    Path('mine').mkdir()
    Path('mine/thesis.txt').write_text('years of work')
    return world.train('--output', 'mine')


def separate(world, **sections):
    """The conventional pipeline on the finished run's CNN."""
    world.finished()
    world.config()
    model = {'pretrained': 'config.yml', **sections.pop('model', {})}
    return ['train', world.config('separate.yml', training={'method': 'conventional'}, model=model,
                                  **sections)]


def after_conventional(world, *arguments):
    assert cli.main(separate(world)) == 0
    return arguments


def empty_folder(world):
    Path('mine').mkdir()
    return ['train', 'mine', '--seeds', '5']


def yaml_file(world, text):
    Path('config.yml').write_text(text)
    return ['train', 'config.yml']


def other_classes(world):
    shutil.copytree(world.birds, 'others')
    path = Path('others/classes.txt')
    path.write_text(path.read_text().replace('002.', '002.Other_'))
    return world.evaluate('data.root=others')


def found_otherwise(world):
    """Boxes of a detector with other settings."""
    boxes = world.birds / 'CS_parts'
    (boxes / 'parts').mkdir(parents=True)
    (boxes / 'parts/part_locs.txt').write_text(''.join(
        f'{i} 1 1 1 9 9\n' for i in range(1, 19)))
    (boxes / 'origin.yml').write_text('detector: {}')
    return world.train(data={'parts': 'CS_PARTS', 'box_frame': 32},
                       detector={'cnn': 'cnn.yml', 'input_size': 32})


def scores_overflow(w):
    out = w.finished()
    arrays = dict(numpy.load(out / 'model.npz'))
    arrays['global_head/W'].fill(3e38)
    numpy.savez(out / 'model.npz', **arrays)
    return ['evaluate', out]


CASES = {
    # settings
    'no such config': lambda w: ['train', 'none.yml'],
    'not YAML': lambda w: yaml_file(w, 'data: [1, 2'),
    'mistyped setting': lambda w: w.train(model={'n_component': 3}),
    'text instead of a number': lambda w: w.train(training={'learning_rate': 'fast'}),
    'unknown choice': lambda w: w.train(model={'encoding': 'vlad'}),
    'number out of range': lambda w: w.train('--set', 'data.part_ratio=0'),
    'override without a value': lambda w: w.train('--set', 'training.epochs'),
    'an auxiliary head without parts': lambda w: w.train(
        data={'parts': 'GLOBAL'}, model={'aux_lambda': .5}),
    'a grid without rows': lambda w: w.train(data={'parts': 'GRID', 'grid': [0, 2]}),
    'parts left out of GAP': lambda w: w.train(model={'encoding': 'gap'}),
    'GPU that is not there': lambda w: w.train('--gpu', '60'),
    "boxes in another square than the detector's": lambda w: w.train(
        data={'parts': 'CS_PARTS'}, detector={'cnn': 'cnn.yml', 'input_size': 32}),
    'a folder without configs': empty_folder,
    'a single fold of a cross-validation': lambda w: w.train(
        '--cross-validate', '--set', 'data.fold=1'),
    'setting without effect': lambda w: w.train(model={'encoding': 'gap', 'ema_decay': .9},
                                                data={'missing': 'zero'}),
    'override without effect': lambda w: w.train('--set', 'data.drawing.seed=1'),
    'kept ConvMaps of CNNs that learn': lambda w: w.train(training={'views': 2}),
    'setting twice': lambda w: yaml_file(w, 'data: {parts: GT}\nmodel: {}\ndata: {parts: GT2}'),
    'conventional pipeline without a CNN': lambda w: w.train(training={'method': 'conventional'}),
    'conventional pipeline on a CNN of other data': lambda w: separate(
        w, data={'part_ratio': .5}),
    'more components than features': lambda w: after_conventional(
        w, 'train', 'separate.yml', '--set', 'model.n_components=4000', '--output', 'results/many'),
    # annotation files
    'no data set': lambda w: w.train(data={'root': 'nowhere'}),
    'missing list': lambda w: w.image(lambda path: (w.birds / 'images.txt').unlink()),
    'column too few': lambda w: w.edit('parts/part_locs.txt', '1 1 ', '1 '),
    'a word for a number': lambda w: w.edit('parts/part_locs.txt', '1 2 ', '1 2 x'),
    'path out of the folder of images': lambda w: w.edit('images.txt', '001.', '../../001.'),
    'absolute path of an image': lambda w: w.edit('images.txt', '1 001.', '1 /001.'),
    'pipe for a file': lambda w: pipe(w, 'parts/part_locs.txt'),
    'pipe for an image': lambda w: w.image(lambda path: pipe(w, path)),
    'coordinate of billions': lambda w: move_a_part(w, '3e9'),
    'coordinate in other digits': lambda w: move_a_part(w, '1_0'),
    'NaN for a number': lambda w: w.append('parts/part_locs.txt', '1 2 nan 3 1'),
    'id twice': lambda w: w.edit('images.txt', '2 ', '1 '),
    'unknown image': lambda w: w.edit('image_class_labels.txt', '1 1', '99 1'),
    'unknown class': lambda w: w.edit('image_class_labels.txt', '1 1', '1 7'),
    'class without images': lambda w: w.append('classes.txt', '4 004.None'),
    'image without a label': lambda w: w.edit('image_class_labels.txt', '1 1\n', ''),
    'unknown part': lambda w: w.append('parts/part_locs.txt', '1 16 5 5 1'),
    'part twice': lambda w: w.edit('parts/part_locs.txt', '\n1 2 ', '\n1 1 '),
    'part line missing': lambda w: w.image(
        lambda path: (w.birds / 'parts/part_locs.txt').write_text(''.join(
            (w.birds / 'parts/part_locs.txt').read_text().splitlines(keepends=True)[1:]))),
    'no test images': lambda w: w.image(lambda path: (w.birds / 'train_test_split.txt').write_text(
        ''.join(f'{i} 1\n' for i in range(1, 19)))),
    'validation split without images to spare': lambda w: w.train(
        data={'split': 'validation'}),
    'not UTF-8': lambda w: w.image(lambda path: (w.birds / 'classes.txt').write_bytes(
        b'1 001.H\xe4her\n')),
    'parts far outside': lambda w: w.image(
        lambda path: (w.birds / 'parts/part_locs.txt').write_text('\n'.join(
            f'{i} {p} 900 900 1' for i in range(1, 19) for p in range(1, 16)))),
    "authors' lists of unlike length": lambda w: w.authors(
        ('labels.txt', lambda text: text.split('\n', 1)[1])),
    'empty box': lambda w: w.authors(boxes=[(10, 10, 0, 20)], parts='CS_PARTS'),
    'points where boxes are needed': lambda w: w.train(data={'parts': 'CS_PARTS'}),
    'parts that were found otherwise': found_otherwise,
    'no CNN to find parts with': lambda w: w.train(
        data={'parts': 'CS_PARTS', 'box_frame': 32},
        detector={'cnn': 'cnn.yml', 'input_size': 32}),
    'boxes where points are needed': lambda w: w.authors(boxes=[(10, 10, 90, 90)]),
    'parts of other images': lambda w: w.authors(
        ('parts/part_locs.txt', lambda text: text.replace('u', 'v'))),
    'groups of parts that no bird has': lambda w: w.authors(
        ('parts/parts.txt', replaced('beak', 'wheel')), parts='GT2'),
    'Birdsnap without its header': lambda w: w.birdsnap(lambda root: rewrite(
        root / 'species.txt', text='1\tWren\tTroglodytes\tWren\n')),
    'Birdsnap without images': lambda w: w.birdsnap(
        lambda root: shutil.rmtree(root / 'download')),
    'no pictures of your own': lambda w: w.own(lambda root: shutil.rmtree(root)),
    'a folder without class folders': lambda w: w.own(
        lambda root: [shutil.rmtree(folder) for folder in root.iterdir()]),
    'training pictures without test pictures': lambda w: w.own(
        lambda root: next(root.iterdir()).rename(root / 'train')),
    'test pictures of an unknown class': lambda w: w.own_table(
        'path,class,split\na.png,finch,train\nb.png,wren,test\n'),
    'pictures of one class': lambda w: w.own(
        lambda root: [shutil.rmtree(folder) for folder in sorted(root.iterdir())[1:]]),
    'no test pictures': lambda w: w.own_table('path,class,split\na.png,finch,train\n'),
    'a table without its header': lambda w: w.own_table('a.png,finch\n'),
    'a table with a column too few': lambda w: w.own_table('path,class\na.png\n'),
    'a table with a picture twice': lambda w: w.own_table('path,class\na.png,b\na.png,c\n'),
    'a table without a class': lambda w: w.own_table('path,class\na.png,\n'),
    'a table with an unknown split': lambda w: w.own_table(
        'path,class,split\na.png,b,training\n'),
    'a table that is not one': lambda w: w.own_table('path,class\n"a.png,b\n'),
    'a table with a column twice': lambda w: w.own_table('path,class,class\na.png,b,c\n'),
    'a table with semicolons': lambda w: w.own_table('path;class\na.png;b\n'),
    'a table in UTF-16': lambda w: w.own(lambda root: (root / 'list.csv').write_text(
        'path,class\n', encoding='utf-16'), 'photos/list.csv'),
    'a config in UTF-16': lambda w: [Path('own.yml').write_text(
        'data: {}', encoding='utf-16')] and ['train', 'own.yml'],
    # images
    'missing image': lambda w: w.image(lambda path: path.unlink()),
    'truncated image': lambda w: w.image(lambda path: rewrite(path, 200)),
    'text for an image': lambda w: w.image(lambda path: rewrite(path, text='no')),
    'program in PostScript for an image': lambda w: w.image(
        lambda path: rewrite(path, text='%!PS-Adobe-3.0\n(x) print\n')),
    'HEIC for an image': lambda w: w.image(
        lambda path: path.write_bytes(b'\0\0\0\x18ftypheic\0\0\0\0mif1heic')),
    'image of negative numbers': lambda w: w.image(lambda path: Image.fromarray(
        numpy.full((48, 48), -1, numpy.int32)).save(path, 'TIFF')),
    'part far larger than its image': lambda w: w.authors(
        boxes=[(0, 0, 10 ** 6, 10 ** 6)], parts='CS_PARTS'),
    # weights and results
    'no such weights': lambda w: w.train(model={'pretrained': 'none.npz'}),
    'name of no weights': lambda w: w.train(model={'pretrained': 'places'}),
    "ImageNet's weights, which no package has": lambda w: w.train(
        model={'pretrained': 'imagenet'}),
    'truncated weights': lambda w: [w.weights(dict), rewrite(Path('weights.npz'), 1000)] and (
        w.train(model={'pretrained': 'weights.npz'})),
    'weights with a key too few': lambda w: w.weights(
        lambda arrays: arrays.pop('global_cnn/layers/0/conv/W')),
    'weights of another shape': lambda w: w.weights(lambda arrays: arrays.update(
        {'global_cnn/layers/0/conv/W': numpy.zeros((24, 3, 7, 7), 'f')})),
    'weights that are not finite': lambda w: w.weights(
        lambda arrays: arrays['global_cnn/layers/0/bn/beta'].fill(numpy.nan)),
    'released weights, one name changed': World.released,
    'weights of another architecture': lambda w: w.train(
        '--output', 'other', data={'input_size': 96, 'part_input_size': 96},
        model={'architecture': 'inception_v3', 'pretrained': str(w.finished() / 'model.npz')}),
    "a classifier of the authors' code with other settings": World.original,
    'a classifier of other data': lambda w: w.train(
        '--output', 'other', data={'parts': 'GLOBAL'},
        model={'encoding': 'gap', 'checkpoint': str(w.finished() / 'model.npz')}),
    'truncated snapshot': broken_snapshot,
    'configs that need each other': lambda w: w.config('other.yml', model={
        'pretrained': 'config.yml'}) and w.train(model={'pretrained': 'other.yml'}),
    'config that needs itself': lambda w: w.train(model={'pretrained': 'config.yml'}),
    'results of other settings': lambda w: [w.finished()] and w.train(
        '--seed', '0', '--set', 'training.weight_decay=1'),
    'more epochs for a run without a snapshot': lambda w: w.longer(
        lambda out: next(out.glob('snapshot_*')).unlink()),
    'more epochs for a run along a cosine': lambda w: w.longer(along_cosine),
    'a folder of something else': something_else,
    'no results': lambda w: ['evaluate', 'nothing'],
    'unfinished results': unfinished,
    'a report of nothing': lambda w: ['report'],
    'pictures of a network that is not there': lambda w: after_conventional(
        w, 'visualize', 'mixture', 'results/separate/seed0'),
    'evaluation with a setting of the model': lambda w: w.evaluate('model.n_components=3'),
    'evaluation on other classes': other_classes,
    'evaluation into a folder of something': lambda w: w.evaluate(
        options=('--output', str(w.birds))),
    'a model whose scores overflow': scores_overflow,
    'prediction by no run': lambda w: ['predict', 'nowhere', w.predict()[2]],
    'prediction of a missing picture': lambda w: w.predict('none.png'),
    'prediction of a folder without pictures': lambda w: w.predict(w.birds / 'parts'),
    'prediction into an unknown kind of file': lambda w: w.predict('--output', 'classes.xls'),
    'prediction into a file that is there': lambda w: w.predict(
        '--output', 'parts.csv', table=''),
    'pictures of predictions into a folder of something': lambda w: w.predict(
        '--pictures', w.birds),
    'pictures of predictions into a file': lambda w: w.predict('--pictures', 'bird.png'),
    'no class to be predicted': lambda w: w.predict('--top', '0'),
    'no picture at a time': lambda w: w.predict('--batch', '0'),
    'parts both from a file and a detector': lambda w: w.predict(
        '--parts', 'parts.csv', '--detector', 'run'),
    'detector of a run that has none': lambda w: w.predict('--detector', 'results/config/seed0'),
    'missing file of parts': lambda w: w.predict('--parts', 'none.csv'),
    'file of no parts': lambda w: w.predict(table='image,part,x,y\n'),
    'file of parts without a column': lambda w: w.predict(table='image,x,y\nbird.png,1,1\n'),
    'unknown part in a file of parts': lambda w: w.predict(
        table='image,part,x,y\nbird.png,nose,1,1\n'),
    'part that a file lists twice': lambda w: w.predict(
        table='image,part,x,y\nbird.png,beak,1,1\n./bird.png,beak,2,1\n'),
    'point that is no number': lambda w: w.predict(
        table='image,part,x,y\nbird.png,beak,here,1\n'),
    'box without a height in a file of parts': lambda w: w.predict(
        table='image,part,x,y,width,height\nbird.png,beak,1,1,5,0\n'),
    'box outside the picture in a file of parts': lambda w: w.predict(
        table='image,part,x,y,width,height\nbird.png,beak,900,1,5,5\n'),
    'pictures of no images': lambda w: ['visualize', 'parts', w.config(), '--images', '0'],
    'times of a single step': lambda w: ['runtime', w.config(), '--steps', '1'],
    'video of too few points': lambda w: ['visualize', 'em', '--samples', '2'],
}


def files():
    return {path: path.read_bytes() for path in Path().rglob('*') if path.is_file()}


def sentence_of(error, tmp_path):
    """The sentence without what differs from machine to machine, the middle of long lists left out.
    """
    error = error.replace(f'{tmp_path}/', '')
    error = re.sub(r'(is not a complete \S+( file)?|cannot be used) \((.*)\);', r'\1 (...);', error)
    error = re.sub(r'only \d+ local', 'only ... local', error)
    sentence = error[len('finetune: '):].rstrip('\n')
    return sentence if len(sentence) < 600 else f'{sentence[:150]} ... {sentence[-150:]}'


def row(case, sentence):
    return '| {} | {} |'.format(case, sentence.replace('|', '\\|').replace('<', '&lt;'))


def rows_of_page():
    """Rows of the page's table, by case."""
    table = PAGE.read_text(encoding='utf-8').split(START)[1].split(END)[0].splitlines()
    assert table[:2] == HEADER
    return {line.strip('| ').split(' | ')[0]: line for line in table[2:]}


def write_row(case, line):
    """Puts a row into the page's table, in the order of the cases."""
    rows = {**rows_of_page(), case: line}
    table = [*HEADER, *(rows[name] for name in CASES if name in rows)]
    before, rest = PAGE.read_text(encoding='utf-8').split(START)
    after = rest.split(END)[1]
    PAGE.write_text(before + START + '\n'.join(table) + '\n' + END + after, encoding='utf-8')


@pytest.mark.parametrize('case', CASES)
def test_broken_input(case, birds, write_config, finished_run, tmp_path, capsys, without_heic):
    arguments = CASES[case](World(birds, write_config, finished_run))
    before = files()
    capsys.readouterr()
    assert cli.main([str(argument) for argument in arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith('finetune: ') and error.count('\n') == 1
    assert '; ' in error or ', ' in error       # what to do
    after = files()
    assert {path: after.get(path) for path in before} == before
    assert not [path for path in after.keys() - before.keys() if path.name == 'model.npz']
    line = row(case, sentence_of(error, tmp_path))
    if os.environ.get('UPDATE_DOCS'):
        write_row(case, line)
    assert rows_of_page().get(case) == line


def test_page_has_these_cases_and_no_others():
    assert list(rows_of_page()) == list(CASES)
