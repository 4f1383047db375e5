"""Settings: what they are converted to, what is refused, what is written and read again."""
import dataclasses
import os
from pathlib import Path
import re
import time

import pytest
import yaml

from finetune.commands.options import DEFAULT_CONFIG
from finetune.config import config
from finetune.config.catalogue import ENCODINGS, STEPS
from finetune.config.schema import fill_override, override_of
from finetune.config.settings import Config, Model
from finetune.data import animals, digits
from finetune.data.minibirds import drawing
from finetune.errors import InputError

PROJECT = Path(__file__).resolve().parents[2]
CONFIGS = sorted(PROJECT.glob('configs/*/*.yml'))
PAGE = PROJECT / 'docs/settings.md'


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / 'config.yml'
        path.write_text(text)
        return path
    return write


@pytest.mark.parametrize('path', CONFIGS,
                         ids=lambda path: f'{path.parent.name}/{path.stem}')
def test_every_config_loads_and_says_what_it_is(path):
    config.read_config(path)
    header = header_of(path)
    assert header.startswith('# ') and '# Expect: ' in header
    while '# Takes: ' not in header:        # then it takes as long as its base
        path = PROJECT / re.search(r'^base: (.*)$', path.read_text(), re.MULTILINE)[1]
        header = header_of(path)


def header_of(path):
    return re.match('(#.*\n)*', path.read_text())[0]


def test_there_are_configs():
    assert len(CONFIGS) > 5


def test_main_job_says_what_to_expect_of_its_own_settings():
    assert '%' in config.read_config(PROJECT / DEFAULT_CONFIG).expect
    for overrides, says_so in ((['training.seed=3', 'training.gpu=0'], True),
                               (['training.epochs=3', 'training.seed=3'], False)):
        expect = config.read_config(PROJECT / DEFAULT_CONFIG, overrides).expect
        assert ('%' in expect) == says_so


def test_defaults_are_the_papers(write):
    settings = config.read_config(write(''))
    assert settings.model.ema_decay == .9
    assert settings.model.norm_filter is True
    assert settings.training.epochs == 60
    assert settings.training.optimizer == 'rmsprop'
    assert settings.training.learning_rate == 1e-4
    assert settings.training.lr_epochs == [20, 40]
    assert settings.training.update_size == 64


def test_numbers_are_converted_by_field_type(write):
    settings = config.read_config(write('training: {learning_rate: 1e-3, epochs: 3.0, seed: "7"}'))
    assert settings.training.learning_rate == 1e-3      # PyYAML reads 1e-3 as text
    assert settings.training.epochs == 3 and type(settings.training.epochs) is int
    assert settings.training.seed == 7


def test_overrides_win(write):
    path = write('training: {epochs: 3}\nmodel: {n_components: 2}')
    settings = config.read_config(path, ['training.epochs=5', 'training.lr_epochs=[1, 2]'])
    assert settings.training.epochs == 5
    assert settings.training.lr_epochs == [1, 2]
    assert settings.model.n_components == 2


def test_dump_round_trips(write, tmp_path):
    settings = config.read_config(write(
        'training: {epochs: 3}\ndata: {dataset: minibirds, drawing: {n_species: 4}}'))
    dumped = tmp_path / 'dumped.yml'
    dumped.write_text(config.dump(settings))
    assert config.read_config(dumped) == settings


@pytest.mark.parametrize('text, message', [
    ('training: {joint: false}', 'it is now training.method (joint or conventional)'),
    ('model: {classifier: c.npz}', 'it is now model.checkpoint'),
    ('training: {epoch: 3}', 'no setting training.epoch; did you mean training.epochs?'),
    ('epochs: 3', 'no setting epochs; did you mean training.epochs?'),
    ('modle: {encoding: gap}', 'no setting modle'),
    ('training: 3', 'training is a section'),
    ('training: {epochs: many}', "training.epochs is 'many', but must be a whole number"),
    ('training: {epochs: 2.5}', 'training.epochs is 2.5, but must be a whole number'),
    ('training: {epochs: true}', 'training.epochs is True, but must be a whole number'),
    ('training: {learning_rate: fast}', 'must be a number'),
    ('training: {learning_rate: .nan}', 'must be between'),
    ('training: {lr_epochs: 20}', 'must be a list of whole numbers'),
    ('training: {epochs: -1}', 'training.epochs is -1, but must be between 0'),
    ('model: {norm_filter: 1}', 'must be true or false'),
    ('model: {encoding: fvec}', "model.encoding is 'fvec', but must be one of gap, fve"),
    ('model: {encoding: gap}\ndata: {parts: GT, missing: mask}',
     'gap needs one slot for every part'),
    ('data: !!map parts', 'line 1: this is not YAML'),
    ('data: {root: 2020-13-45}', 'this is not YAML'),
    ('training: {epochs: 3, seed: 1, epochs: 4}',
     'line 1: this is not YAML (epochs is given twice)'),
    ('data: {parts: GT}\nmodel: {}\ndata: {}', 'line 3: this is not YAML (data is given twice)'),
    ('data: {parts: GLOBAL}\nmodel: {aux_lambda: 0.5}', 'there is no part stream; leave it out'),
    ('data: {parts: GRID, grid: [2]}', 'must be two numbers between 1 and 16'),
    ('data: {parts: GRID, grid: [2, 17]}', 'must be two numbers between 1 and 16'),
    ('data: {input_size: 64}', 'inception_v3 needs at least 75'),
    ('data: {part_input_size: 74}', 'data.part_input_size is 74'),
    ('data: {dataset: digits, split: pretraining}', 'minibirds, animals only'),
    ('data: {dataset: minibirds, drawing: {pretraining: true}}', 'use data.split'),
    ('training: {method: conventional}', 'the YAML of the run that fine-tunes the CNN'),
    ('training: {method: conventional}\nmodel: {pretrained: cnn.yml, encoding: gap}',
     'needs model.encoding fve'),
    ('data: {drawing: 3}', 'must be name: value pairs'),
    ('training:\n\tepochs: 3', 'line 2: this is not YAML'),
    ('- a\n- b', 'is not a config; write the sections data, model and training'),
])
def test_bad_settings_get_one_sentence(write, text, message):
    with pytest.raises(InputError) as raised:
        config.read_config(write(text))
    assert message in str(raised.value)
    assert 'config.yml' in str(raised.value)
    assert '\n' not in str(raised.value)


def test_missing_config_and_bad_override(write, tmp_path):
    with pytest.raises(InputError, match='there is no such config'):
        config.read_config(tmp_path / 'none.yml')
    with pytest.raises(InputError, match='did you mean training.epochs'):
        config.read_config(write(''), ['training.epoch=3'])
    with pytest.raises(InputError, match='section.name=value'):
        config.read_config(write(''), ['training.epochs'])


@pytest.mark.parametrize('text, value', [
    ('2021_06_01', '2021_06_01'), ('birds #2', 'birds #2'), ('1e3', '1e3'), ('1.10', '1.10'),
    ('no', 'no'), ('null', 'null'), ('~', '~'), ('{a}', '{a}'), ('a: b', 'a: b'), ('- a', '- a'),
    ('*a', '*a'), ('', ''), (' my birds ', 'my birds'), ("'quoted'", 'quoted'), ("it's", "it's"),
    ('" a #\\n"', ' a #\n'), ("'", "'"), ('caf\udce9', 'caf\udce9')])
def test_text_of_an_override_is_itself(text, value, write):
    settings = config.read_config(write(''), [f'data.root={text}'])
    assert settings.data.root == value
    for exact in value, text, f'"{text}"', f'{text}\n':
        fill_override(settings, override_of('data.root', exact))
        assert settings.data.root == exact


@pytest.mark.parametrize('value', [['a', 1], 1e-5, True, {'size': 48, 'name': 'é' * 200}, 7])
def test_other_overrides_are_yaml_in_a_line(value):
    name, _, text = override_of('a.b', value).partition('=')
    assert name == 'a.b' and '\n' not in text and yaml.safe_load(text) == value


@pytest.mark.parametrize('text', ['2021_06_01', '1.10', '010', '0x1F', '1:30', '2021-06-01'])
def test_text_of_a_file_is_itself(text, write):
    """YAML takes it for a number or a date."""
    assert config.read_config(write(f'data: {{root: {text}}}')).data.root == text
    assert config.read_config(write(''), [f'data={{root: {text}}}']).data.root == text


def test_encoding_of_a_config(write, tmp_path):
    path = tmp_path / 'config.yml'
    text = 'data:\r\n  root: käfer\r\n'
    for encoding in 'utf-8', 'utf-8-sig':
        path.write_bytes(text.encode(encoding))
        assert config.read_config(path).data.root == 'käfer'
    for encoding, what in ('utf-16', 'in UTF-16'), ('latin-1', 'not text in UTF-8'):
        path.write_bytes(text.encode(encoding))
        with pytest.raises(InputError, match=f'config.yml: is {what}; save it as UTF-8.'):
            config.read_config(path)


def test_override_of_one_drawing_option_keeps_the_others(write):
    path = write('data: {dataset: minibirds, drawing: {seed: 1}}')
    assert config.read_config(path, ['data.drawing.n_species=5']).data.drawing == {
        'seed': 1, 'n_species': 5}


NOT_READ = [      # settings without effect, and what they would need
    ('model: {encoding: gap, ema_decay: 0.9}', 'model.ema_decay', 'model.encoding fve and'),
    ('model: {encoding: gap, n_components: 1}', 'model.n_components',
     'model.encoding fve or gradient_fve'),
    ('model: {encoding: gradient_fve, relative_var_floor: 1}', 'model.relative_var_floor',
     'model.encoding fve and'),
    ('model: {encoding: gradient_fve, init: random}', 'model.init', 'model.encoding fve and'),
    *((f'model: {{encoding: gap, {name}: true}}', f'model.{name}', 'model.encoding fve or')
      for name in ('power_normalize', 'component_normalize', 'l2_normalize')),
    ('model: {checkpoint: clf.npz, pretrained: cnn.npz}', 'model.pretrained',
     'an empty model.checkpoint'),
    ('model: {scaling: false, scaled_to: norm}', 'model.scaled_to', 'model.scaling'),
    ('model: {pca_size: 8}', 'model.pca_size', 'training.method conventional'),
    ('model: {pca_whiten: false}', 'model.pca_whiten', 'training.method conventional'),
    ('training: {method: conventional, recompute: true}', 'training.recompute',
     'training.method joint'),
    ('training: {views: 2}', 'training.views', 'training.cnn_lr_factor 0'),
    ('training: {cnn_lr_factor: 0, views: 2}\ndata: {random_crop: 0.5}', 'data.random_crop',
     'training.method joint and random views of images (training.views 0, or more'),
    ('training: {cnn_lr_factor: 0, views: 2}\ndata: {colour_jitter: 0.2}', 'data.colour_jitter',
     'training.method joint and random views of images (training.views 0, or more'),
    ('data: {parts: GLOBAL, part_jitter: 0.1}\nmodel: {encoding: gap}', 'data.part_jitter',
     'data.parts other than GLOBAL and training.method joint'),
    ('data: {missing: centre, part_dropout: 0.1}', 'data.part_dropout',
     'data.missing zero or mask'),
    ('training: {svm_c: 2}', 'training.svm_c', 'training.method conventional'),
    ('data: {drawing: {seed: 1}}', 'data.drawing', 'a data set that is drawn'),
    ('data: {test_share: 0.5}', 'data.test_share', 'data.dataset folder'),
    ('data: {split_seed: 1}', 'data.split_seed', 'data.dataset folder'),
    ('data: {grid: [1, 2]}', 'data.grid', 'data.parts GRID'),
    ('data: {box_frame: 0}', 'data.box_frame', 'data.parts CS_PARTS'),
    ('data: {boxes: CS_parts}', 'data.boxes', 'data.parts CS_PARTS'),
    ('detector: {cnn: cnn.yml}', 'detector.cnn', 'data.parts CS_PARTS'),
    *((f'data: {{parts: CS_PARTS}}\ndetector: {{{name}: {value}}}', f'detector.{name}',
       'a detector.cnn') for name, value in {
           'n_parts': 3, 'input_size': 427, 'svm_c': 1, 'features': 'all',
           'sigma': 1, 'gamma': 1, 'columns': 'position', 'smallest_box': 9, 'folds': 5}.items()),
    *((f'data: {{parts: CS_PARTS}}\ndetector: {{cnn: cnn.yml, features: all, {name}: 5}}',
       f'detector.{name}', 'another detector.features than all') for name in ('svm_c', 'folds')),
    ('data: {parts: CS_PARTS, box_frame: 0, box_frame_fit: squash}', 'data.box_frame_fit',
     'a data.box_frame'),
    ('data: {parts: CS_PARTS, part_ratio: 0.2}', 'data.part_ratio', 'boxes around points'),
    ('data: {parts: GLOBAL, missing: zero}\nmodel: {encoding: gap}', 'data.missing',
     'data.parts other than GLOBAL'),
    ('data: {parts: GLOBAL, n_parts: 3}\nmodel: {encoding: gap}', 'data.n_parts',
     'data.parts other than GLOBAL'),
    ('data: {parts: GLOBAL, part_input_size: 64}\nmodel: {encoding: gap}',
     'data.part_input_size', 'data.parts other than GLOBAL'),
    *((f'model: {{pretrained: cnn.yml}}\ntraining: {{method: conventional, {name}: {value}}}',
       f'training.{name}', 'training.method joint')
      for name, value in {'epochs': 3, 'optimizer': 'sgd', 'learning_rate': .1, 'lr_factor': .1,
                          'dtype': 'mixed16', 'lr_epochs': [1], 'lr_target': 0,
                          'update_size': 8, 'batch_size': 4, 'cnn_lr_factor': .1,
                          'label_smoothing': 0, 'weight_decay': 0}.items()),
    *((f'{section}: {{{name}: {value}}}\ntraining: {{method: conventional}}', f'{section}.{name}',
       'training.method joint') for section, name, value in (
           ('data', 'flip', 'false'), ('data', 'colour_jitter', 0), ('data', 'test_flip', 'true'),
           ('model', 'checkpoint', 'clf.npz'), ('model', 'ema_decay', .5),
           ('model', 'init', 'random'), ('model', 'resp_gradient', 'false'),
           ('model', 'ablation', 'frozen'),
           ('model', 'scaling', 'false'), ('model', 'only_mean', 'true'),
           ('model', 'comp_size', 8), ('model', 'post_fve_size', 8), ('model', 'aux_lambda', .5))),
    *((f'model: {{{name}: {value}}}', f'model.{name}', 'model.aux_lambda above 0')
      for name, value in {'aux_rate': .1, 'aux_step': 5}.items()),
    ('model: {ablation: hard_assignment, resp_gradient: false}', 'model.resp_gradient',
     'another model.ablation than hard_assignment'),
    ('training: {optimizer: sgd, epsilon: 0.1}', 'training.epsilon', 'rmsprop or adam'),
    ('training: {optimizer: adam, rmsprop_alpha: 0.5}', 'training.rmsprop_alpha',
     'training.optimizer rmsprop'),
    *((f'training: {{lr_schedule: cosine, {name}: {value}}}', f'training.{name}',
       'training.lr_schedule steps') for name, value in {
           'lr_factor': .5, 'lr_epochs': [3]}.items()),
    *((f'training: {{method: conventional, {name}: {value}}}', f'training.{name}',
       'training.method joint')
      for name, value in {'lr_schedule': 'cosine', 'lr_warmup': 1, 'evaluate_every': 2,
                          'keep_best': 'true', 'sync_batch_norm': 'true',
                          'tensorboard': 'true'}.items()),
    ('data: {fold: 1}', 'data.fold', 'data.split validation'),
    ('training: {patience: 1}', 'training.patience', 'data.split validation'),
    ('training: {cnn_lr_factor: 0, freeze_batch_norm: true}', 'training.freeze_batch_norm',
     'a training.cnn_lr_factor above 0'),
    ('training: {freeze_batch_norm: true, sync_batch_norm: true}', 'training.sync_batch_norm',
     'training.freeze_batch_norm false'),
]


def test_base(write, tmp_path, monkeypatch):
    """A config has the settings of its base, but for those that it changes, and no results."""
    monkeypatch.chdir(tmp_path)
    Path('whole.yml').write_text('data: {dataset: minibirds, drawing: {seed: 1, size: 64}}\n'
                                 'model: {n_components: 5}\nexpect: 70 %\n')
    Path('part.yml').write_text('base: whole.yml\ndata: {drawing: {seed: 2}}\n'
                                'model: {ema_decay: 0.5}\n')
    path = write('base: part.yml\nmodel: {encoding: gap}\n')
    read = config.read_config(path)
    assert read.data.drawing == {'seed': 2, 'size': 64} and read.model.ema_decay == .5
    assert read.model.encoding == 'gap' and read.expect == ''
    assert 'n_components' not in config.dump(read)
    assert config.read_config('whole.yml').expect == '70 %'
    assert config.read_config('part.yml').model.n_components == 5


@pytest.mark.parametrize('text, problem', [
    ('base: 3', 'config.yml: base is 3, but'), ('base: [a.yml]', "base is ['a.yml'], but"),
    ('base: weights.npz', "base is 'weights.npz', but"), ('base: a.yml', "b.yml: base is 'a.yml'"),
    ('base: d.yml', "d.yml: base is 'd.yml'"),
    ('base: none.yml', 'none.yml: there is no such'), ('base: c.yml', 'c.yml: there is no setting'),
])
def test_bad_bases(text, problem, write, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path('a.yml').write_text('base: b.yml')
    Path('b.yml').write_text('base: a.yml')
    Path('c.yml').write_text('model: {n_component: 3}')
    Path('d.yml').write_text('base: d.yml')
    with pytest.raises(InputError) as raised:
        config.read_config(write(text))
    assert problem in str(raised.value)


@pytest.mark.parametrize('text, name, needs', NOT_READ, ids=lambda value: value.split('\n')[0])
def test_line_that_nothing_would_read_is_refused(text, name, needs, write):
    with pytest.raises(InputError) as raised:
        config.read_config(write(text))
    message = str(raised.value)
    assert f'config.yml: {name} has no effect without ' in message and needs in message


def test_every_setting_that_is_not_always_read_is_refused_somewhere():
    declared = {name for name in config.dotted_names(Config)
                if config._metadata(name)['needs']}
    of_encoding = {'model.norm_filter', 'model.normalization', 'model.var_floor'}
    assert of_encoding <= declared and 'data.order' in declared
    assert declared - of_encoding - {'data.order'} == {name for _, name, _ in NOT_READ}


@pytest.mark.parametrize('override', ['model.n_components=5', 'model.ema_decay=0.5',
                                      'training.svm_c=3', 'data.drawing.seed=3',
                                      'model={var_floor: 1}'])
def test_override_that_nothing_would_read_is_refused(override, write):
    path = write('model: {encoding: gap}')
    with pytest.raises(InputError) as raised:
        config.read_config(path, [override])
    assert str(raised.value).startswith(f'{path}, --set {override}: ')
    assert 'has no effect without' in str(raised.value)


def test_line_that_an_override_leaves_without_effect_is_none_of_its_concern(write):
    path = write('model: {n_components: 5, ema_decay: 0.5}')
    assert config.read_config(path, ['model.encoding=gap']).model.encoding == 'gap'


def test_order_of_overrides_does_not_matter(write):
    for overrides in (['model.encoding=fve', 'model.init=random'],
                      ['model.init=random', 'model.encoding=fve']):
        settings = config.read_config(write('model: {encoding: gap}'), overrides)
        assert settings.model.init == 'random'


def test_settings_without_effect_are_neither_written_nor_compared(write, tmp_path):
    gap = config.read_config(write('model: {encoding: gap}\ndata: {missing: zero}'))
    text = config.dump(gap)
    assert 'ema_decay' not in text and 'svm_c' not in text and 'learning_rate' in text
    other = config.read_config(write('model: {n_components: 7}\ndata: {missing: zero}'),
                               ['model.encoding=gap'])
    assert config.differences(gap, other) == []
    other.training.epochs, other.data.missing = 3, 'centre'
    assert config.differences(gap, other) == ['data.missing', 'training.epochs']
    assert config.differences(gap, other, ['training.epochs']) == ['data.missing']
    fve = config.read_config(write('model: {n_components: 7}\ndata: {missing: zero}'))
    assert config.differences(gap, fve) == config.differences(fve, gap) == [
        'model.encoding', 'model.n_components']


def test_settings_of_a_run_are_those_that_were_written(write):
    pipeline = ('model: {pretrained: cnn.yml}\ndata: {order: shuffled}\n'
                'training: {method: conventional}')
    for text in ('data: {order: shuffled}', pipeline):
        settings = config.read_config(write(text))
        assert config.restore_config(write(config.dump(settings))) == settings


def test_encodings_read_settings_that_there_are():
    names = {field.name for field in dataclasses.fields(Model)}
    for name, encoding in ENCODINGS.items():
        assert set(encoding.settings) <= names, name
    assert {step.setting for step in STEPS.values()} <= names


def settings_list(section, prefix=''):
    """Items of the page of settings for a dataclass."""
    for field in dataclasses.fields(section):
        metadata = field.metadata
        default = (field.default_factory() if field.default is dataclasses.MISSING
                   else field.default)
        shown = str(default).lower() if isinstance(default, bool) else str(default)
        facts = [f'Default `{shown}`' if shown else 'Empty by default']
        if metadata['choices']:
            facts.append('one of ' + ', '.join(f'`{name}`' for name in metadata['choices'] if name))
        if metadata['between']:
            facts.append('{} to {}'.format(*metadata['between']))
        if metadata['needs']:
            facts.append(f'only with {metadata["needs"].text}')
        yield f'- **`{prefix}{field.name}`**: {metadata["comment"]}.\\\n  {"; ".join(facts)}.\n'


def settings_page():
    text = PAGE.read_text(encoding='utf-8').split('<!-- settings -->')[0] + '<!-- settings -->\n'
    sections = [(f'Section `{field.name}`', field.type, f'{field.name}.')
                for field in dataclasses.fields(Config) if dataclasses.is_dataclass(field.type)]
    sections += [(f'`data.drawing` of {name}', module.Drawing, '')
                 for name, module in (('minibirds', drawing), ('digits', digits),
                                      ('animals', animals))]
    for title, section, prefix in sections:
        text += f'\n## {title}\n\n' + ''.join(settings_list(section, prefix))
    return text


def test_page_of_settings_is_what_is_declared():
    """``UPDATE_DOCS=1`` in front of pytest writes it anew."""
    if os.environ.get('UPDATE_DOCS'):
        PAGE.write_text(settings_page(), encoding='utf-8')
    assert PAGE.read_text(encoding='utf-8') == settings_page()


MALFORMED = ['2020-13-45', '!!int abc', '!!float abc', '!!bool x', '!!timestamp x', '0x_', '0b_',
             '9' * 6000, '[' * 3000, '{a: ' * 3000, '&a [*a]', '!!python/object/apply:os.getcwd []',
             '{? [a]: 1}', '"\\ud800"', '1e400', '@', '{a: &x 1, b: *x}', '- [', '!!binary x']


@pytest.mark.parametrize('text', MALFORMED, ids=lambda text: text[:20])
@pytest.mark.parametrize('name', ['training.epochs', 'training.lr_epochs', 'data.dataset',
                                  'data'])
def test_malformed_values_are_one_short_sentence(name, text, tmp_path):
    path = tmp_path / 'config.yml'
    path.write_text(f'{name.partition(".")[0]}: {text}')
    started = time.process_time()
    for arguments in ((path,), (PROJECT / DEFAULT_CONFIG, [f'{name}={text}'])):
        with pytest.raises(InputError) as error:
            config.read_config(*arguments)
        assert len(str(error.value)) < 500 and '\n' not in str(error.value)
    assert time.process_time() - started < 2


def test_references_cannot_fill_the_memory(tmp_path):
    path = tmp_path / 'config.yml'
    lines = [f'a{i}: &a{i} [{", ".join(9 * [f"*a{i - 1}"])}]' for i in range(1, 12)]
    path.write_text('\n'.join(['a0: &a0 [1, 1]', *lines]))
    with pytest.raises(InputError, match='line 2: this is not YAML .references are not supported'):
        config.read_config(path)


@pytest.mark.parametrize('value', ['[]', 'false', '0', 'text'])
def test_section_that_is_none(value, tmp_path):
    path = tmp_path / 'config.yml'
    path.write_text(f'training: {value}')
    with pytest.raises(InputError, match='training is a section'):
        config.read_config(path)


@pytest.mark.parametrize('text, value', [('010', 10), ('08', 8), ('-3', -3), ('+7', 7), ('0', 0),
                                         ('1e3', 1000)])
def test_whole_numbers_are_decimal(text, value):
    config = Config()
    fill_override(config, f'training.seed={text}')
    assert config.training.seed == value


@pytest.mark.parametrize('text', ['1:30', '0x1F', '0b1', '1.5', '3 4'])
def test_other_notations_are_no_whole_numbers(text):
    with pytest.raises(InputError, match='must be a whole number'):
        fill_override(Config(), f'training.epochs={text}')
