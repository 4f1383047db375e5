"""Runs that are trained longer: as if they had begun with more epochs, and safe from kills."""
import json
from pathlib import Path

import pytest

from finetune.checks import dry_run
from finetune.runs.folder import RunFolder

from conftest import fails, finish, run

MORE = {'epochs': 4, 'evaluate_every': 3}       # than those of the finished run, which has 2
LONGER = 'training.epochs=4'
FROZEN = {'cnn_lr_factor': 0., 'views': 3, 'lr_warmup': 3., 'keep_best': True}


@pytest.fixture(scope='module')
def whole(drawn_birds, tmp_path_factory):
    """A run that began with more epochs."""
    return finish(drawn_birds, tmp_path_factory.mktemp('whole'), training=MORE)


@pytest.fixture
def config(write_config, drawn_birds, finished_run, copy_of):
    """The config of more epochs; its folder has the run of fewer."""
    path = write_config(data={'root': str(drawn_birds)}, training=MORE)
    copy_of(finished_run)
    return path


def contents(folder):
    names = 'model.npz', 'config.yml', 'predictions.csv', 'evaluation.yml', 'images.csv'
    return {name: Path(folder, name).read_bytes() for name in names}


def learning(folder):
    """Losses and learning rates of the log, and which epochs were evaluated."""
    log = json.loads(Path(folder, 'log').read_text())
    return ([(entry['epoch'], entry['main/loss'], entry['lr']) for entry in log],
            [entry['epoch'] for entry in log if 'validation/main/loss' in entry])


def test_result_is_that_of_as_many_epochs_from_the_start(config, whole, capsys):
    folder = Path('results/config/seed0')
    assert run('train', config) == 0
    assert f'{folder}: goes on after epoch 2, to epoch 4\n' in capsys.readouterr().out
    assert contents(folder) == contents(whole)
    (losses, evaluated), (expected, of_whole) = map(learning, (folder, whole))
    assert losses == expected
    assert evaluated == [1, 2, 3, 4] and of_whole == [3, 4]
    assert len(list(folder.glob('snapshot_*'))) == 1


def files(folder):
    return {path: path.is_file() and path.read_bytes() for path in Path(folder).rglob('*')}


def test_dry_run_says_how_a_run_goes_on(config, capsys):
    """A comparison of photographs describes its own runs, whatever is in this folder."""
    folder = Path('results/config/seed0')
    before = files('.')

    def described(*words):
        capsys.readouterr()
        assert run('train', config, '--dry-run', *words) == 0
        return capsys.readouterr().out.splitlines()[-1]

    assert described() == f'{folder}: goes on after epoch 2, to epoch 4'
    assert described('--set', 'training.epochs=2') == (
        f'{folder}: is finished; it is only evaluated again')
    assert 'random weights' in described('--output', 'new')
    for override in 'training.epochs=1', 'training.weight_decay=1':
        assert 'move it away' in fails(capsys, 'train', config, '--dry-run', '--set', override)
    dry_run.describe(config, ['training.epochs=1'], is_run=False)
    assert capsys.readouterr().out.endswith('random weights\n')
    assert files('.') == before
    (folder / 'model.npz').unlink()     # as if it was interrupted
    assert described() == f'{folder}: goes on after epoch 2, to epoch 4'


def test_schedules_and_kept_conv_maps_go_on(write_config):
    config = write_config(training={**FROZEN, 'epochs': 3}, data={'missing': 'zero'},
                          model={'aux_lambda': .5, 'aux_step': 1})
    for output, epochs in ('short', 3), ('short', 4), ('long', 4):
        assert run('train', config, '--output', output, '--set', f'training.epochs={epochs}') == 0
    assert contents('short') == contents('long')
    assert learning('short') == learning('long')
    assert Path('short/best.npz').read_bytes() == Path('long/best.npz').read_bytes()


@pytest.mark.parametrize('method, is_replaced', [('write_names', False), ('write_settings', True)])
def test_kill_at_the_end_loses_nothing(method, is_replaced, config, whole, monkeypatch,
                                       capsys):
    folder = Path('results/config/seed0')
    before = contents(folder)

    def killed(self, *arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, method, killed)
        run('train', config)
    assert (folder / 'evaluation.yml').exists() != is_replaced
    if not is_replaced:
        assert contents(folder) == before
        assert 'the newest snapshot is of epoch 4, but training.epochs is 3' in fails(
            capsys, 'train', config, '--set', 'training.epochs=3')
    assert run('train', config) == 0
    assert contents(folder) == contents(whole)


def test_what_cannot_be_trained_longer_says_why_and_stays(config, capsys):
    folder = Path('results/config/seed0')
    before = contents(folder)
    for override in 'training.epochs=1', 'training.weight_decay=1':
        assert 'move it away' in fails(capsys, 'train', config, '--set', override)
    features = folder / 'features_mask_512'
    features.mkdir()
    assert 'a conventional pipeline depends on the features of this CNN' in fails(
        capsys, 'train', config)
    features.rmdir()
    snapshot, = folder.glob('snapshot_*')
    snapshot.unlink()
    assert ('has no snapshot from which to train longer than for training.epochs 2; train with '
            f'another --output, from these weights by --set model.checkpoint={folder}/model.npz.'
            ) in fails(capsys, 'train', config)
    assert contents(folder) == before


def test_cosine_depends_on_the_number_of_epochs(write_config, capsys):
    config = write_config(data={'parts': 'GLOBAL'}, model={'encoding': 'gap'},
                          training={'lr_schedule': 'cosine'})
    assert run('train', config) == 0
    before = contents('results/config/seed0')
    assert 'all learning rates of training.lr_schedule cosine depend' in fails(
        capsys, 'train', config, '--set', LONGER)
    assert contents('results/config/seed0') == before
