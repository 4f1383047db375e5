from pathlib import Path
import re

import pytest

from finetune import config
from finetune.errors import InputError
from finetune.original_variables import DEFAULT_CONFIG

CONFIGS = sorted(path for path in Path('configs').rglob('*.yml') if path.name != 'published.yml')


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / 'config.yml'
        path.write_text(text)
        return path
    return write


@pytest.mark.parametrize('path', CONFIGS, ids=str)
def test_every_config_loads_and_says_what_it_is(path):
    config.load(path)
    header = path.read_text().split('data:')[0]
    assert '# Run:' in header and '# Takes:' in header and '# Expect:' in header


def test_there_are_configs():
    assert len(CONFIGS) > 5


def test_main_job_says_what_to_expect_of_its_own_settings():
    assert '%' in config.load(DEFAULT_CONFIG).expect
    assert '%' in config.load(DEFAULT_CONFIG, ['training.seed=3', 'training.gpu=0']).expect
    assert config.load(DEFAULT_CONFIG, ['training.epochs=3', 'training.seed=3']).expect == ''


@pytest.mark.parametrize('path', [path for path in CONFIGS if path.stem != 'pretrain'
                                  and path.parent.name in ('minibirds', 'digits')], ids=str)
def test_what_is_expected_is_what_the_report_says(path):
    report = Path('docs/report/report.md').read_text(encoding='utf-8')
    mean, deviation, n = re.search(r'# Expect: ([\d.]+) \+- ([\d.]+) % \(seeds 0 to (\d)\)|$',
                                   path.read_text()).groups()
    if mean is None:
        assert re.search(r'# Expect: ([\d.]+ % \(seed 0 alone\)|not run yet)\n', path.read_text())
    else:
        assert f'{mean} ± {deviation} ({int(n) + 1})' in report


def test_defaults_are_the_papers(write):
    settings = config.load(write(''))
    assert settings.model.ema_decay == .9
    assert settings.model.norm_filter is True
    assert settings.training.epochs == 60
    assert settings.training.optimizer == 'rmsprop'
    assert settings.training.learning_rate == 1e-4
    assert settings.training.lr_epochs == [20, 40]
    assert settings.training.update_size == 64


def test_numbers_are_converted_by_field_type(write):
    settings = config.load(write('training: {learning_rate: 1e-3, epochs: 3.0, seed: "7"}'))
    assert settings.training.learning_rate == 1e-3      # PyYAML reads 1e-3 as text
    assert settings.training.epochs == 3 and type(settings.training.epochs) is int
    assert settings.training.seed == 7


def test_overrides_win(write):
    path = write('training: {epochs: 3}\nmodel: {n_components: 2}')
    settings = config.load(path, ['training.epochs=5', 'training.lr_epochs=[1, 2]'])
    assert settings.training.epochs == 5
    assert settings.training.lr_epochs == [1, 2]
    assert settings.model.n_components == 2


def test_dump_round_trips(write, tmp_path):
    settings = config.load(write('training: {epochs: 3}\ndata: {drawing: {n_species: 4}}'))
    dumped = tmp_path / 'dumped.yml'
    dumped.write_text(config.dump(settings))
    assert config.load(dumped) == settings


@pytest.mark.parametrize('text, message', [
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
    ('training: {epochs: 0}', 'training.epochs is 0, but must be between 1'),
    ('model: {norm_filter: 1}', 'must be true or false'),
    ('model: {encoding: fvec}', "model.encoding is 'fvec', but must be one of gap, fve"),
    ('model: {encoding: gap}\ndata: {parts: GT, missing: mask}', 'gap needs one slot for every part'),
    ('data: {parts: GLOBAL}', 'there is nothing to encode; use gap'),
    ('data: {input_size: 64}', 'inception_v3 needs at least 75'),
    ('data: {part_input_size: 74}', 'data.part_input_size is 74'),
    ('data: {dataset: digits, split: pretraining}', 'minibirds only'),
    ('data: {drawing: {pretraining: true}}', 'use data.split'),
    ('training: {joint: false}', 'the YAML of the run that fine-tunes the CNN'),
    ('training: {joint: false}\nmodel: {pretrained: cnn.yml, encoding: gap}',
     'needs model.encoding fve'),
    ('data: {drawing: 3}', 'must be name: value pairs'),
    ('training:\n\tepochs: 3', 'line 2: this is not YAML'),
    ('- a\n- b', 'has the sections data, model and training'),
])
def test_bad_settings_get_one_sentence(write, text, message):
    with pytest.raises(InputError) as raised:
        config.load(write(text))
    assert message in str(raised.value)
    assert 'config.yml' in str(raised.value)
    assert '\n' not in str(raised.value)


def test_missing_config_and_bad_override(write, tmp_path):
    with pytest.raises(InputError, match='there is no such config'):
        config.load(tmp_path / 'none.yml')
    with pytest.raises(InputError, match='did you mean training.epochs'):
        config.load(write(''), ['training.epoch=3'])
    with pytest.raises(InputError, match='section.name=value'):
        config.load(write(''), ['training.epochs'])


def test_override_of_one_drawing_option_keeps_the_others(write):
    path = write('data: {dataset: minibirds, drawing: {seed: 1}}')
    assert config.load(path, ['data.drawing.n_species=5']).data.drawing == {
        'seed': 1, 'n_species': 5}
