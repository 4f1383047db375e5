"""The supplement's video: one frame per EM iteration, with a reference mixture."""
import shutil
import subprocess

from matplotlib import animation, rcParams
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse
import numpy

from finetune.drawing import own_settings
from finetune.errors import InputError, shortened
from finetune.files import atomic
from finetune.progress import progress_bar
from finetune.visualize.em_video import em

LAYER, REFERENCE, POINTS, BATCH = '#0072B2', '#D55E00', '0.8', '0.25'    # Okabe-Ito and greys
FRAMES_PER_SECOND = 4
LAST_FRAME_SECONDS = 3
DPI = 100
N_DEVIATIONS = 2        # semi-axes of the ellipses


@own_settings(formulas=True)
def make(settings, out):
    """Trains the mixture, and writes the video and its last frame into the folder ``out``."""
    points, centres = em.draw(settings)
    history = list(em.learn(points, centres, settings))
    view = IterationFigure(points, centres, history, em.fit_reference(points, settings), settings)
    writer, suffix = _writer()
    out.mkdir(parents=True, exist_ok=True)
    video, still = out / f'em_{settings.name}{suffix}', out / f'em_{settings.name}.png'
    with atomic(video) as unfinished:
        _render(view, len(history), writer, unfinished, f'Rendering {video}')
    with atomic(still) as unfinished:
        view.figure.savefig(unfinished, dpi=DPI)
    print(f'{video} ({video.stat().st_size / 2 ** 20:.1f} MB) and {still}: '
          f'{em.n_recovered(history[-1], settings)} of {settings.n_classes} centres within one '
          f'deviation after {len(history)} iterations', flush=True)


def _render(view, n_iterations, writer, path, title):
    try:
        with writer.saving(view.figure, str(path), dpi=DPI):
            for i in progress_bar(range(n_iterations), n_iterations, title):
                view.show(i)
                writer.grab_frame()
            for _ in range(LAST_FRAME_SECONDS * FRAMES_PER_SECOND):
                writer.grab_frame()
    except (subprocess.CalledProcessError, BrokenPipeError) as error:
        *_, reason = ['no reason', *(getattr(error, 'stderr', '') or '').strip().splitlines()]
        raise InputError(f'{path}: ffmpeg cannot write the video ({shortened(reason)}); make room '
                         'on the disk, or repair ffmpeg.')


def _writer():
    """Writer (the system's or imageio's ffmpeg, else Pillow) and suffix of the video."""
    program = shutil.which('ffmpeg')
    if program is None:
        try:
            from imageio_ffmpeg import get_ffmpeg_exe
            program = get_ffmpeg_exe()
        except (ImportError, RuntimeError):
            print('ffmpeg is missing (pip install imageio-ffmpeg): the video is written as a GIF.')
            return animation.PillowWriter(FRAMES_PER_SECOND), '.gif'
    rcParams['animation.ffmpeg_path'] = program
    return animation.FFMpegWriter(
        FRAMES_PER_SECOND, codec='libx264', extra_args=['-pix_fmt', 'yuv420p']), '.mp4'


class IterationFigure:

    def __init__(self, points, centres, history, reference, settings):
        self.history, self.settings = history, settings
        self.reference_log_likelihood = reference.score(points)
        self.figure = Figure(figsize=(7.2, 9.6))
        grid = self.figure.add_gridspec(
            2, 2, height_ratios=[3.1, 1], left=.15, right=.97, bottom=.06, top=.91, hspace=.18,
            wspace=.45)
        self.plane = self.figure.add_subplot(grid[0, :])
        self.curves = [self.figure.add_subplot(grid[1, i]) for i in (0, 1)]
        self.moving = []
        self._draw_plane(points, centres, reference)
        self._draw_curves()

    def _draw_plane(self, points, centres, reference):
        """Draws the static elements: points, centres, reference."""
        axis = self.plane
        axis.scatter(*points.T, s=4, c=POINTS, linewidths=0, label='all points')
        self.batch = axis.scatter([], [], s=7, c=BATCH, linewidths=0, label='current batch')
        _draw_mixture(axis, reference.means_, reference.covariances_, reference.weights_,
                      REFERENCE, outwards=-1, linestyle='--')
        axis.plot([], [], color=LAYER, label='GMMLayer, batch by batch')
        axis.plot([], [], color=REFERENCE, linestyle='--', label='scikit-learn, all points')
        axis.scatter(*centres.T, s=40, c='black', marker='+', linewidths=1, label='centres')
        extent = 1.2 * abs(points).max()
        axis.set(xlim=(-extent, extent), ylim=(-extent, extent), aspect='equal',
                 xlabel='$x_1$ (ellipses: two deviations, numbers: weights in %)', ylabel='$x_2$')
        self.figure.legend(*axis.get_legend_handles_labels(), loc='upper center', ncol=3,
                           fontsize=8, bbox_to_anchor=(.5, .965), frameon=False)

    def _draw_curves(self):
        n = len(self.history)
        likelihood, distance = self.curves
        self.layer_curve, = likelihood.plot(
            [], [], color=LAYER, marker='.', markersize=3, label='GMMLayer')
        self.reference_curve, = likelihood.plot(
            [], [], color=REFERENCE, linestyle='--', label='scikit-learn')
        values = [iteration.log_likelihood for iteration in self.history]
        _set_limits(likelihood, n, values + [self.reference_log_likelihood])
        likelihood.set(xlabel='iteration', ylabel='log-likelihood\n(nats per point)')
        likelihood.legend(loc='lower right', fontsize=8)
        self.distance_curve, = distance.plot([], [], color=LAYER, marker='.', markersize=3)
        distance.axhline(self.settings.deviation, color='0.5', linestyle=':',
                         label='one deviation')
        means = [iteration.distances.mean() for iteration in self.history]
        _set_limits(distance, n, means + [0, 1.1 * self.settings.deviation])
        distance.set(xlabel='iteration', ylabel='mean distance\nto the centres')
        distance.legend(loc='upper right', fontsize=8)

    def show(self, i):
        """Shows iteration i, counted from 0."""
        iteration = self.history[i]
        for artist in self.moving:
            artist.remove()
        self.moving = _draw_mixture(self.plane, iteration.mean, iteration.var, iteration.weight,
                                    LAYER, outwards=1)
        self.batch.set_offsets(iteration.batch)
        steps = range(1, i + 2)
        seen = self.history[:i + 1]
        self.layer_curve.set_data(steps, [iteration.log_likelihood for iteration in seen])
        self.reference_curve.set_data([.5, i + 1.5], [self.reference_log_likelihood] * 2)
        self.distance_curve.set_data(steps, [iteration.distances.mean() for iteration in seen])
        s = self.settings
        self.figure.suptitle(
            f'{s.name}: deviation {s.deviation:g}, batches of {s.batch_size}, '
            f'iteration {i + 1} of {len(self.history)}, '
            f'mean distance {iteration.distances.mean():.3f}')


def _set_limits(axis, n, values):
    margin = .08 * (max(values) - min(values) or 1)
    axis.set(xlim=(0, n + 1), ylim=(min(values) - margin, max(values) + margin))
    axis.grid(alpha=.3)


def _draw_mixture(axis, mean, var, weight, colour, outwards, linestyle='-'):
    """Draws ellipses with their weights in per cent outside (1) or inside (-1) the circle."""
    artists = []
    for k, (centre, deviation) in enumerate(zip(mean, numpy.sqrt(var))):
        width, height = 2 * N_DEVIATIONS * deviation
        ellipse = Ellipse(centre, width, height, fill=False, edgecolor=colour, linewidth=1.6,
                          linestyle=linestyle)
        radius = numpy.linalg.norm(centre) or 1
        place = centre * (1 + outwards * (N_DEVIATIONS * deviation.max() + .09) / radius)
        text = axis.text(*place, f'{100 * weight[k]:.0f}', color=colour, fontsize=8,
                         ha='center', va='center')
        artists += [axis.add_patch(ellipse), text]
    return artists
