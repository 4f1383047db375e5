"""EM in the plane: points, the experiment, its table and its video, through the command line."""
from matplotlib import pyplot
import numpy
from PIL import Image
import pytest
from scipy.stats import multivariate_normal

from finetune import cli
from finetune.visualize.em_video import em, table, video

SMALL = ['--classes', '3', '--samples', '40', '--batch-size', '30', '--iterations', '4']


@pytest.mark.parametrize('deviation', [.1, .2])
def test_points_are_normal_around_the_unit_circle(deviation):
    x, centres = em.draw(em.Settings(n_samples=4000, deviation=deviation))
    assert x.shape == (40000, 2) and x.dtype == numpy.float32
    k = numpy.arange(1, 11)
    numpy.testing.assert_allclose(centres[:, 0], numpy.cos(k * numpy.pi / 5), atol=1e-12)
    numpy.testing.assert_allclose(centres[:, 1], numpy.sin(k * numpy.pi / 5), atol=1e-12)
    classes = x.reshape(10, 4000, 2)
    standard_error = deviation / numpy.sqrt(4000)
    assert abs(classes.mean(axis=1) - centres).max() < 5 * standard_error
    numpy.testing.assert_allclose(classes.std(axis=1), deviation, rtol=.05)


def test_seed_decides():
    first, again, different = (em.draw(em.Settings(n_classes=3, n_samples=50, seed=seed))[0]
                               for seed in (0, 0, 1))
    assert (first == again).all() and (first != different).any()


def settings(**changes):
    return em.Settings(**{'n_classes': 4, 'n_samples': 100, 'batch_size': 80,
                          'n_iterations': 20, **changes})


def test_every_iteration_is_one_training_call():
    points, centres = em.draw(settings())
    history = list(em.learn(points, centres, settings()))
    assert len(history) == 20
    for iteration in history:
        assert iteration.batch.shape == (80, 2)
        assert iteration.weight.sum() == pytest.approx(1)
    # five batches make an epoch of 400 points without repetition
    seen = numpy.concatenate([iteration.batch for iteration in history[:5]])
    assert sorted(map(tuple, seen)) == sorted(map(tuple, points))


def test_log_likelihood_is_that_of_all_points():
    points, centres = em.draw(settings())
    last = list(em.learn(points, centres, settings()))[-1]
    density = sum(weight * multivariate_normal(mean, numpy.diag(var)).pdf(points)
                  for mean, var, weight in zip(last.mean, last.var, last.weight))
    assert last.log_likelihood == pytest.approx(numpy.log(density).mean(), rel=1e-5)


def test_means_come_nearer_than_the_first_guess_and_equal_the_reference():
    points, centres = em.draw(settings())
    history = list(em.learn(points, centres, settings()))
    assert history[-1].distances.mean() < history[0].distances.mean()
    reference = em.fit_reference(points, settings())
    assert em.matched_distances(history[-1].mean, reference.means_).max() < .05
    assert history[-1].log_likelihood < reference.score(points) + 1e-6


def test_matching_is_one_to_one():
    centres = numpy.array([[0, 0], [1, 0], [5, 0]], float)
    mean = numpy.array([[.9, 0], [5, 1], [.8, 0]])
    numpy.testing.assert_allclose(sorted(em.matched_distances(mean, centres)), [.1, .8, 1])


@pytest.mark.parametrize('states, expected', [
    ([1, 1, 1], 1), ([0, 1, 1], 2), ([1, 0, 1], 3), ([0, 0, 0], None), ([1, 1, 0], None)])
def test_iterations_to_convergence(states, expected):
    history = [em.Iteration(None, None, None, None, numpy.array([.05, .05 if state else .5]), 0)
               for state in states]
    assert em.iterations_to_convergence(history, settings(n_classes=2)) == expected


@pytest.mark.parametrize('name, expected', [('simple', (.1, 128)), ('difficult', (.2, 512))])
def test_settings_of_the_supplement_unless_others_are_given(name, expected):
    default = em.make_settings(name)
    assert (default.name, default.deviation, default.batch_size) == (name, *expected)
    changed = em.make_settings(name, deviation=.3, batch_size=7, seed=4)
    assert (changed.deviation, changed.batch_size, changed.seed) == (.3, 7, 4)


def test_random_first_guess_differs():
    points, centres = em.draw(settings())
    kmeans, random = (next(em.learn(points, centres, settings(init=init))).mean
                      for init in ('kmeans', 'random'))
    assert abs(kmeans - random).max() > .01


def run(*arguments):
    return cli.main(['visualize', 'em', *map(str, arguments)])


def test_video_and_picture(tmp_path, capsys):
    assert run(*SMALL, '--data', 'simple', '--output', tmp_path / 'out') == 0
    path, = (tmp_path / 'out').glob('em_simple.mp4')
    from imageio_ffmpeg import count_frames_and_secs
    n_frames, seconds = count_frames_and_secs(str(path))
    assert n_frames == 4 + video.LAST_FRAME_SECONDS * video.FRAMES_PER_SECOND
    with Image.open(tmp_path / 'out' / 'em_simple.png') as picture:
        assert picture.size == (720, 960)
    assert 'centres within one deviation after 4 iterations' in capsys.readouterr().out
    assert pyplot.get_fignums() == []


def test_without_ffmpeg_the_video_is_a_gif(tmp_path, capsys, monkeypatch):
    def no_program():
        raise RuntimeError('No ffmpeg exe could be found')

    monkeypatch.setattr('shutil.which', lambda name: None)
    monkeypatch.setattr('imageio_ffmpeg.get_ffmpeg_exe', no_program)
    assert run(*SMALL, '--data', 'difficult', '--output', tmp_path) == 0
    assert 'the video is written as a GIF' in capsys.readouterr().out
    with Image.open(tmp_path / 'em_difficult.gif') as animation:
        assert animation.n_frames >= 4


def test_ffmpeg_that_fails_costs_no_earlier_video(tmp_path, capsys, monkeypatch):
    ffmpeg = tmp_path / 'bin/ffmpeg'
    ffmpeg.parent.mkdir()
    ffmpeg.write_text('#!/bin/sh\ncat > /dev/null\necho Disk is full >&2\nexit 1\n')
    ffmpeg.chmod(0o755)
    monkeypatch.setenv('PATH', str(ffmpeg.parent), prepend=':')
    path = tmp_path / 'em_simple.mp4'
    path.write_text('before')
    assert run(*SMALL, '--data', 'simple', '--output', tmp_path) == 2
    error = capsys.readouterr().err
    assert 'em_simple.mp4: ffmpeg cannot write the video (Disk is full); make room' in error
    assert path.read_text() == 'before'
    assert sorted(other.name for other in tmp_path.iterdir()) == ['bin', 'em_simple.mp4']


def test_table(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(*SMALL, '--seeds', 2, '--no-video') == 0
    lines = capsys.readouterr().out.splitlines()
    rows = [line for line in lines if line.startswith(('simple ', 'difficult '))]
    assert [line[:38].rstrip() for line in rows] == [
        f'{name:12s}{learner}' for name in ('simple', 'difficult') for learner in table.LEARNERS]
    assert all(' of 2 ' in line for line in rows)
    assert not list(tmp_path.iterdir())


def test_rows_of_the_table_by_hand():
    ours, single, reference = table.LEARNERS
    rows = table.rows('simple', {ours: [(4, -1.02), (None, -1.5), (8, -2.)],
                                 single: [(None, -3.)] * 3,
                                 reference: [(9, -1.), (9, -1.25), (9, -2.)]})
    assert [line[12:].replace(f'{learner:26s}', '').split() for learner, line in zip(
        table.LEARNERS, rows)] == [
        ['2', 'of', '3', '6', '8', '-1.507', '20.00', '%'],
        ['0', 'of', '3', '-', '-', '-3.000', '200.00', '%'],
        ['3', 'of', '3', '9', '9', '-1.417', '0.00', '%']]


@pytest.mark.parametrize('arguments, message', [
    (['--classes', 0], '--classes is 0, but must be between 1 and 100.'),
    (['--samples', 1], '--samples is 1'), (['--deviation', 0], '--deviation is 0'),
    (['--deviation', 'nan'], '--deviation is nan'),
    (['--batch-size', 5000], '--batch-size is 5000, but there are only 4000 points'),
    (['--iterations', 0], '--iterations is 0'), (['--ema-decay', 1], '--ema-decay is 1'),
    (['--seed', -1], '--seed is -1'), (['--seeds', 0, '--no-video'], '--seeds is 0'),
    (['--no-video'], '--no-video without --seeds has no effect'),
])
def test_bad_options_get_one_sentence(arguments, message, capsys):
    assert run(*arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith('finetune: ' + message) and error.count('\n') == 1


def test_unknown_data(capsys):
    with pytest.raises(SystemExit) as raised:
        run('--data', 'hard')
    assert raised.value.code == 2
    assert "invalid choice: 'hard'" in capsys.readouterr().err
