"""Behaviour through the command line: results, exit codes, and one sentence for bad input."""
import csv
import dataclasses
import json
import os
from pathlib import Path
import shutil
import signal
import subprocess
import sys
import threading
import warnings

import numpy
from PIL import Image
import pytest
import yaml

from conftest import fails, load, run
from finetune.compute.threads import N_THREADS
from finetune.config.config import read_config
from finetune.data import annotation_files
from finetune.experiments import experiment
from finetune.runs.folder import RunFolder
from finetune.runs.opening import open_run
from finetune.runs.predictions import Collector, iterate_test_images, predict
from finetune.training import extensions, plots, robustness
from finetune.training.extensions import Evaluator
from finetune.training.inputs import inputs_of

PROJECT = Path(__file__).resolve().parents[2]


def test_train_writes_results_and_evaluate_reads_them(write_config, capsys):
    config = write_config()
    Path(config).write_text(Path(config).read_text() + 'expect: about a third')
    assert run('train', config, '--seed', 3) == 0
    out = Path('results/config/seed3')
    names = {path.name for path in out.iterdir()}
    assert {'config.yml', 'environment.yml', 'log', 'model.npz', 'evaluation.yml', 'accuracy.png',
            'loss.png', 'log_likelihood.png', 'weight_entropy.png', 'learning_rate.png'} <= names
    log = json.loads((out / 'log').read_text())
    assert [entry['epoch'] for entry in log] == [1, 2]
    assert log[1]['lr'] == pytest.approx(.1 * log[0]['lr'])
    assert yaml.safe_load((out / 'config.yml').read_text())['training']['seed'] == 3
    evaluation = (out / 'evaluation.yml').read_text()
    accuracies = yaml.safe_load(evaluation)['accuracy']
    assert set(accuracies) == {'both', 'global', 'parts'}
    for stream, accuracy in accuracies.items():
        assert accuracy == pytest.approx(log[1][f'validation/main/accuracy/{stream}'])
    printed = capsys.readouterr().out
    assert f'test accuracy {100 * accuracies["both"]:.1f} %' in printed
    assert 'Expected: about a third' in printed
    (out / 'evaluation.yml').unlink()
    assert run('evaluate', out) == 0
    assert (out / 'evaluation.yml').read_text() == evaluation


def test_predictions_agree_with_the_accuracies(finished_run, drawn_birds):
    evaluation = yaml.safe_load((finished_run / 'evaluation.yml').read_text())
    with open(finished_run / 'predictions.csv', newline='') as file:
        rows = list(csv.DictReader(file))
    data_set = annotation_files.read_cub(drawn_birds)
    assert [row['image'] for row in rows] == [record.image_id for record in data_set.test]
    assert [row['label'] for row in rows] == [data_set.class_names[record.label]
                                              for record in data_set.test]
    assert [int(row['n_visible']) for row in rows] == [record.visible.sum()
                                                       for record in data_set.test]
    for stream in ('both', 'global', 'parts'):
        correct = [row[stream] == row['label'] for row in rows]
        assert evaluation['accuracy'][stream] == pytest.approx(numpy.mean(correct))


def test_robustness_is_that_of_other_test_images(finished_run):
    """Hiding all parts is what hiding them in the annotation files does."""
    model, config, data_set, device = open_run(RunFolder(finished_run))
    robustness = yaml.safe_load((finished_run / 'evaluation.yml').read_text())['robustness']
    assert set(robustness) == {'hidden', 'shuffled'}
    assert list(robustness['hidden']) == [.25, .5, .75, 1.]
    hidden = [record._replace(visible=numpy.zeros_like(record.visible)) for record in data_set.test]
    with iterate_test_images(config, dataclasses.replace(data_set, test=hidden)) as iterator:
        accuracies = predict(model, iterator, device).accuracies
    assert robustness['hidden'][1.] == pytest.approx(accuracies)
    # A Fisher vector does not know the order of the parts.
    evaluation = yaml.safe_load((finished_run / 'evaluation.yml').read_text())
    assert robustness['shuffled'] == pytest.approx(evaluation['accuracy'])


def test_gpu_that_cannot_be(finished_run, capsys):
    assert fails(capsys, 'evaluate', finished_run, '--gpu', '-7') == (
        'finetune: --gpu is -7, but must be between -1 and 64.\n')


@pytest.mark.parametrize('changes', [
    {'order': 'ordered'}, {'order': 'shuffled', 'missing': 'mask'}, {'test_flip': True}], ids=str)
def test_robustness_shares_the_convmaps_of_all_arrangements(finished_gap, changes, monkeypatch):
    """GAP knows the order of the parts. One image has no visible part, nor has its batch."""
    model, config, data_set, device = open_run(RunFolder(finished_gap))
    config = dataclasses.replace(
        config, data=dataclasses.replace(config.data, **changes),
        training=dataclasses.replace(config.training, batch_size=1 + ('test_flip' in changes)))
    hidden = [record._replace(visible=record.visible & (i != 2))
              for i, record in enumerate(data_set.test[:6])]
    data_set = dataclasses.replace(data_set, test=hidden)
    scores, true = [], Collector.add
    monkeypatch.setattr(Collector, 'add', lambda self, streams, *arrays: scores.append(
        {name: score.array for name, score in streams.items()}) or true(self, streams, *arrays))
    arguments = model, config, data_set, inputs_of(config, data_set), device, 'a run'
    together = robustness.measure(*arguments)
    shared, scores[:] = scores[:], []
    monkeypatch.setattr(robustness, 'n_passes', lambda config: 5)
    assert robustness.measure(*arguments) == together
    n_batches = len(shared) // 5
    for i, streams in enumerate(scores):        # arrangement by arrangement, not batch by batch
        arrangement, batch = divmod(i, n_batches)
        for name, score in shared[5 * batch + arrangement].items():
            numpy.testing.assert_allclose(score, streams[name], rtol=1e-5, atol=1e-5)


def test_plots_show_the_log_of_a_resumed_run_too(write_config, monkeypatch):
    drawn, evaluated = {}, []
    draw, evaluate = plots.draw, Evaluator.evaluate

    def evaluate_twice(self):
        evaluated.append(self)
        if len(evaluated) == 3:
            raise KeyboardInterrupt
        return evaluate(self)

    monkeypatch.setattr(plots, 'draw', lambda curves, title: drawn.update({title: curves}) or draw(
        curves, title))
    monkeypatch.setattr(Evaluator, 'evaluate', evaluate_twice)
    monkeypatch.setattr(plots, 'SECONDS', 1e6)
    config = write_config(training={'epochs': 4})
    assert run('train', config) == 130
    assert not drawn        # so soon after the start
    assert run('train', config) == 0
    log = json.loads(Path('results/config/seed0/log').read_text())
    assert len(log) == 4
    for title, lines in plots.PLOTS.items():
        assert drawn[title.replace('_', ' ')] == {
            label: ((1, 2, 3, 4), tuple(entry[name] for entry in log))
            for label, name in lines.items()}


@pytest.mark.parametrize('first, then', [(True, False), (False, True)])
def test_a_run_goes_on_in_a_pipe_or_on_a_terminal(first, then, write_config, monkeypatch):
    """A snapshot is the same with a progress bar and without."""
    config, evaluate, evaluated = write_config(training={'epochs': 3}), Evaluator.evaluate, []

    def evaluate_twice(self):
        evaluated.append(self)
        if len(evaluated) == 3:
            raise KeyboardInterrupt
        return evaluate(self)

    monkeypatch.setattr(Evaluator, 'evaluate', evaluate_twice)
    monkeypatch.setattr(sys.stderr, 'isatty', lambda: first)
    assert run('train', config) == 130
    monkeypatch.setattr(sys.stderr, 'isatty', lambda: then)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        assert run('train', config) == 0
    assert not [str(one.message) for one in caught if 'IntervalTrigger' in str(one.message)]


def test_unknown_option(capsys):
    with pytest.raises(SystemExit, match='2'):
        run('train', '--data', 'PHOTOS')
    error = capsys.readouterr().err
    assert error.startswith('usage: python -m finetune train ') and '[CONFIG|PHOTOS ...]' in error
    assert 'unrecognized arguments: --data (inputs follow' in error
    with pytest.raises(SystemExit, match='2'):
        run('visualize', 'mixture', 'RUN', '--k', '3')
    assert capsys.readouterr().err.startswith('usage: python -m finetune visualize mixture ')


def files(folder):
    """What every file below a folder holds."""
    return {path: path.read_bytes() for path in Path(folder).rglob('*') if path.is_file()}


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_end_a_run_that_can_go_on(number, write_config):
    config, folder = write_config(training={'epochs': 12, 'workers': 1}), Path(
        'results/config/seed0')
    # The tests themselves may run under nohup or in the background, where signals are ignored.
    process = subprocess.Popen([sys.executable, '-m', 'finetune', 'train', config], text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               preexec_fn=lambda: signal.signal(number, signal.SIG_DFL))
    while not process.stdout.readline().startswith('epoch   2'):
        assert process.poll() is None
    process.send_signal(number)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 128 + number, error
    assert error == 'finetune: interrupted; run the same command again to resume.\n'
    assert list(folder.glob('snapshot_*')) and not (folder / 'model.npz').exists()
    (folder / 'tmpsnapshot_iter_9x').mkdir()            # as a killed one leaves
    assert run('train', config) == 0
    assert not list(folder.glob('tmp*'))


def test_finished_run_is_evaluated_again_and_not_repeated(write_config, capsys):
    config = write_config()
    run('train', config)
    printed = capsys.readouterr().out.splitlines()[-1]
    before = files('results')
    model = Path('results/config/seed0/model.npz').stat()
    assert run('train', config) == 0
    assert capsys.readouterr().out.splitlines() == [printed]
    assert files('results') == before
    assert Path('results/config/seed0/model.npz').stat() == model


def test_every_encoding_order_and_way_with_missing_parts_trains(write_config):
    for i, (encoding, missing, order, parts) in enumerate([
            ('gap', 'zero', 'shuffled', 'GT'), ('gap', 'centre', 'ordered', 'GT'),
            ('gradient_fve', 'mask', 'shuffled', 'GT'), ('fve', 'zero', 'shuffled', 'GT'),
            ('gap', 'zero', 'ordered', 'GLOBAL')]):
        data = {'missing': missing, 'order': order} if parts == 'GT' else {}
        config = write_config(f'{i}.yml', model={'encoding': encoding},
                              data={'parts': parts, **data}, training={'epochs': 1})
        assert run('train', config) == 0


@pytest.mark.parametrize('encoding', ['gap', 'fve', 'gradient_fve'])
def test_mixed_precision(encoding, write_config):
    """Trains almost as in float32, and keeps everything in float32 but what the CNNs compute."""
    sections = {'model': {'encoding': encoding}, 'data': {'missing': 'zero'}}
    config = write_config(**sections, training={'epochs': 1})
    for dtype in ('mixed16', 'float32'):
        assert run('train', config, '--set', f'training.dtype={dtype}', '--output', dtype) == 0
    arrays, exact = (dict(numpy.load(f'{dtype}/model.npz')) for dtype in ('mixed16', 'float32'))
    assert {array.dtype.name for array in arrays.values()} <= {'float32', 'int64', 'int32', 'bool'}
    assert arrays.keys() == exact.keys()
    n_equal = sum((arrays[key] == exact[key]).all() for key in arrays)
    assert n_equal < len(arrays) / 2        # it was something else
    for key in arrays:
        assert numpy.isfinite(arrays[key]).all()
        if key.startswith('encoder/') and key != 'encoder/seed':
            numpy.testing.assert_allclose(arrays[key], exact[key], rtol=.05, atol=.05, err_msg=key)
    (entry,), (expected,) = (json.loads(Path(dtype, 'log').read_text())
                             for dtype in ('mixed16', 'float32'))
    assert entry['main/loss'] == pytest.approx(expected['main/loss'], rel=.05)
    assert entry['loss_scale'] == 1.5           # doubled after an update: the mean of 1 and 2
    assert 'loss_scale' not in expected


def test_variables_of_the_original_and_options_that_win(write_config, monkeypatch):
    config = write_config(training={'epochs': 1})
    monkeypatch.setenv('OUTPUT', 'by_variable')
    monkeypatch.setenv('LABEL_SMOOTHING', '0.3')
    assert run('train', config, '--set', 'training.batch_size=3') == 0
    settings = yaml.safe_load(Path('by_variable/config.yml').read_text())['training']
    assert (settings['label_smoothing'], settings['batch_size']) == (.3, 3)
    assert run('train', config, '--output', 'by_option') == 0
    assert Path('by_option/model.npz').exists() and not Path('results').exists()


def test_dry_run_prints_and_writes_nothing(write_config, capsys, monkeypatch):
    config = write_config()
    for arguments, dry_run in ((['--dry-run'], ''), ([], '1')):
        monkeypatch.setenv('DRY_RUN', dry_run)
        assert run('train', config, *arguments) == 0
        printed = capsys.readouterr().out
        assert 'n_components: 2' in printed
        assert 'training images 12, test images 6, parts 15' in printed
        assert '30 x 96 x 4 x 4' in printed and 'parameters' in printed
        assert not Path('results').exists()


def test_pretraining_by_config_runs_first_and_is_used(write_config):
    write_config('pretrain.yml', data={'parts': 'GLOBAL'}, model={'encoding': 'gap'},
                 training={'epochs': 1})
    config = write_config(model={'pretrained': 'pretrain.yml'},
                          training={'epochs': 1, 'learning_rate': 1e-12, 'weight_decay': 0})
    assert run('train', config, '--seed', 1) == 0
    with numpy.load('results/pretrain/seed1/model.npz') as pretrained, \
            numpy.load('results/config/seed1/model.npz') as model:
        weights = [key for key in pretrained.files if key.endswith('/W')
                   and key.startswith('global_cnn')]
        assert weights
        for key in weights:
            numpy.testing.assert_allclose(model[key], pretrained[key], atol=1e-5)
            part_key = key.replace('global_cnn', 'part_cnn')
            numpy.testing.assert_allclose(model[part_key], pretrained[key], atol=1e-5)


def python_m_finetune(folder, *arguments, **options):
    environment = dict(os.environ, PYTHONPATH=str(PROJECT),
                       OMP_NUM_THREADS=str(N_THREADS))     # oneDNN rounds by their number
    return subprocess.Popen([sys.executable, '-m', 'finetune', *map(str, arguments)],
                            cwd=folder, env=environment, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, **options)


def modules_after(*imported):
    code = f'import sys, {", ".join(imported)}; print(*sys.modules)'
    return subprocess.run([sys.executable, '-c', code], check=True, text=True,
                          stdout=subprocess.PIPE).stdout.split()


def test_scikit_learn_is_imported_by_what_needs_it():
    """It takes as long as all the rest."""
    names = modules_after('finetune.experiments.experiment', 'finetune.prediction.predictor')
    assert 'finetune.training.joint' in names and 'sklearn' not in names


def test_command_line_imports_what_a_command_needs_when_it_runs():
    names = set(modules_after('finetune.cli'))
    assert 'finetune.commands.train' in names
    assert not names & {'sklearn', 'matplotlib', 'finetune.models', 'finetune.experiments',
                        'finetune.prediction', 'finetune.checks', 'finetune.visualize'}


def test_real_process_exits_with_2_and_one_sentence(write_config, tmp_path):
    process = python_m_finetune(tmp_path, 'train', write_config(), '--set', 'training.epoch=3')
    out, error = process.communicate()
    assert process.returncode == 2
    assert error == ('finetune: --set training.epoch=3: there is no setting training.epoch; '
                     'did you mean training.epochs?\n')


@pytest.mark.parametrize('n_workers, dtype', [(0, 'mixed16'), (2, 'float32')])
def test_killed_run_goes_on_bit_for_bit(n_workers, dtype, write_config, tmp_path):
    config = write_config(training={'epochs': 4, 'workers': n_workers, 'dtype': dtype})
    process = python_m_finetune(tmp_path, 'train', config, '--output', 'killed')
    for line in process.stdout:
        if line.startswith('epoch   2'):
            break
    process.kill()      # SIGKILL
    process.wait()
    assert not Path('killed/model.npz').exists()
    assert run('train', config, '--output', 'killed') == 0
    assert run('train', config, '--output', 'whole') == 0
    with numpy.load('killed/model.npz') as killed, numpy.load('whole/model.npz') as whole:
        assert killed.files == whole.files
        assert {'encoder/mean', 'encoder/var', 'encoder/weight'} <= set(whole.files)
        for key in whole.files:
            assert killed[key].tobytes() == whole[key].tobytes(), key
    logs = [json.loads(Path(folder, 'log').read_text()) for folder in ('killed', 'whole')]
    for entry in logs[0] + logs[1]:
        del entry['elapsed_time'], entry['memory']
    assert logs[0] == logs[1]


def test_run_waits_for_another_process_in_the_same_folder(write_config, tmp_path):
    config = write_config(training={'epochs': 1})
    settings = read_config(config)
    with RunFolder.of(config, 0).opened(settings, load(settings.data)):
        process = python_m_finetune(tmp_path, 'train', config)
        assert '3 classes, 12 training and 6 test images' in process.stdout.readline()
        assert 'waiting for another process' in process.stdout.readline()
    out, error = process.communicate()
    assert process.returncode == 0, error
    assert 'test accuracy' in out


def first_image(birds):
    return sorted((birds / 'images').rglob('*.png'))[0]


def test_image_without_visible_parts_trains(write_config, birds):
    lines = (birds / 'parts/part_locs.txt').read_text().splitlines()
    hidden = [f'{" ".join(line.split()[:2])} 0.0 0.0 0' for line in lines[:15]]
    (birds / 'parts/part_locs.txt').write_text('\n'.join(hidden + lines[15:]))
    assert run('train', write_config(training={'epochs': 1})) == 0


@pytest.mark.parametrize('mode', ['L', 'P', 'CMYK', 'I;16', 'RGBA', 'LA'])
def test_other_kinds_of_images_are_converted(mode, write_config, birds):
    path = first_image(birds)
    image = Image.open(path)
    if mode == 'I;16':
        grey = numpy.asarray(image.convert('L'), numpy.uint16)
        image = Image.fromarray(grey * 256)
    else:
        image = image.convert(mode)
    image.save(path, format='JPEG' if mode == 'CMYK' else 'PNG')
    assert run('train', write_config(training={'epochs': 1})) == 0


def test_run_that_failed_before_its_first_snapshot_may_start_over(write_config, birds, capsys):
    image = first_image(birds)
    config = write_config()
    image.rename(birds / 'away.png')
    fails(capsys, 'train', config)
    assert Path('results/config/seed0/config.yml').exists()
    (birds / 'away.png').rename(image)
    assert run('train', config, '--set', 'training.epochs=1') == 0


def test_results_of_another_config_are_kept(write_config, capsys):
    config = write_config()
    run('train', config)
    before = files('results')
    error = fails(capsys, 'train', config, '--set', 'training.weight_decay=1')
    assert 'training.weight_decay' in error and '--output' in error
    assert files('results') == before
    shutil.move('results/config/seed0/config.yml', 'elsewhere.yml')
    assert 'something other' in fails(capsys, 'train', config)


@pytest.mark.filterwarnings('ignore::RuntimeWarning')
def test_loss_that_is_no_number_stops_and_names_the_array(write_config, capsys):
    error = fails(capsys, 'train', write_config(training={'learning_rate': 100, 'epochs': 9,
                                                          'optimizer': 'sgd', 'lr_factor': 1}))
    assert 'is not finite' in error and 'iteration' in error
    assert not Path('results/config/seed0/model.npz').exists()


def test_test_loss_that_is_no_number_keeps_what_was_saved(write_config, capsys, monkeypatch):
    config, folder = write_config(), Path('results/config/seed0')
    run('train', config, '--output', 'whole')
    models = iter([lambda model: model, _overflowing])      # of the two epochs
    with monkeypatch.context() as patch:
        patch.setattr(extensions, 'predict', lambda model, *rest: predict(
            next(models)(model), *rest))
        error = fails(capsys, 'train', config)
    assert f'{folder}: iteration 4, which is not saved: a score or the loss' in error
    assert not (folder / 'model.npz').exists() and (folder / 'snapshot_iter_2').exists()
    assert run('train', config) == 0        # with another machine
    assert (folder / 'model.npz').read_bytes() == Path('whole/model.npz').read_bytes()


def _overflowing(model):
    model = model.copy('copy')
    model.global_head.b.array[0] = numpy.inf
    return model


def test_scores_that_are_no_numbers_are_no_results(
        finished_run, drawn_birds, copy_of, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    folder = copy_of(finished_run)
    arrays = dict(numpy.load(folder / 'model.npz'))
    arrays['global_head/W'][...] = 3e38
    numpy.savez(folder / 'model.npz', **arrays)
    before = files('.')
    for command in (('evaluate', folder), ('evaluate', folder, '--output', 'other'),
                    ('visualize', 'confusion', folder)):
        assert run(*command) == 2
        error = capsys.readouterr().err.splitlines()[-1]
        assert error.startswith(f'finetune: {folder}: a score or the loss of test images is not')
    picture = min((drawn_birds / 'images').rglob('*.png'))
    assert run('predict', folder, picture, '--output', 'answers.csv') == 2
    assert f'{picture}: a score of this picture is not finite; ' in capsys.readouterr().err
    assert files('.') == before


@pytest.mark.parametrize('epochs, path', [(0, 'examples.npz'), (1, '')])
def test_no_space_left(epochs, path, write_config, capsys, monkeypatch):
    def full(*arguments, **options):
        raise OSError(28, 'No space left on device')

    config = write_config(training={'epochs': epochs})
    with monkeypatch.context() as patch:
        patch.setattr('numpy.savez', full)
        error = fails(capsys, 'train', config)
    assert f'{Path("results/config/seed0", path)}: No space left on device; ' in error
    assert run('train', config) == 0


@pytest.mark.parametrize('recompute, advice', [
    ('false', 'set training.recompute to true, which changes no result, or lower '
              'training.batch_size'),
    ('true', 'images; lower training.batch_size')])
def test_no_memory_left(recompute, advice, write_config, capsys, monkeypatch):
    def full(*arguments, **options):
        raise MemoryError

    config = write_config(training={'epochs': 1})
    settings = '--set', f'training.recompute={recompute}'
    with monkeypatch.context() as patch:
        patch.setattr('finetune.models.part_classifier.stream_loss', full)
        error = fails(capsys, 'train', config, *settings)
    assert 'out of memory in a step of 4 images' in error and advice in error
    assert run('train', config) == 0


@pytest.mark.parametrize('arguments', [['--help'], ['train', '--help'], ['evaluate', '--help'],
                                       ['doctor', '--help'], ['convert', '--help'],
                                       ['report', '--help'],
                                       ['visualize', 'parts', '--help']])
def test_help(arguments, capsys):
    with pytest.raises(SystemExit) as raised:
        run(*arguments)
    assert raised.value.code == 0
    assert 'usage' in capsys.readouterr().out


def test_one_run_at_a_time_in_a_process(write_config, tmp_path):
    config = write_config(training={'epochs': 1})
    codes = []
    with experiment._alone('first'):
        thread = threading.Thread(target=lambda: codes.append(run('train', config)))
        thread.start()
        thread.join()
    assert codes == [2] and not Path('results').exists()
    assert run('train', config) == 0
