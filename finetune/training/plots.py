"""Learning curves, drawn from the log."""
import time

from chainer.training import extension
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from finetune.drawing import own_settings
from finetune.files import atomic
from finetune.runs.saved_files import TEST_ACCURACY
from finetune.runs.scalars import MIXTURE

# Entries of the log by their names in the legend, by plot.
PLOTS = {
    'accuracy': {'training': 'main/accuracy/both', 'test': TEST_ACCURACY,
                 'test, whole image alone': 'validation/main/accuracy/global',
                 'test, parts alone': 'validation/main/accuracy/parts'},
    'loss': {'training': 'main/loss', 'test': 'validation/main/loss'},
    'learning_rate': {'learning rate': 'lr'},
}
for _name, _scalar in MIXTURE.items():
    PLOTS.setdefault(_scalar.plot, {})[_scalar.label] = _name

SECONDS = 20    # between plots: drawing them takes longer than a short epoch


def plot_log(folder, n_epochs, evaluated):
    """Extension that plots the log if the last plots, or the start, are older than SECONDS.

    It replaces Chainer's ``PlotReport``, which averages over fewer updates after a run is resumed.
    Curves begin with the second epoch: one point is none.

    Args:
        folder (finetune.runs.folder.RunFolder): Folder of the plots.
        n_epochs (int): Number of epochs; plots are always drawn after the last one.
        evaluated (str): What the evaluated images are, such as ``'test'``.

    """
    drawn = time.monotonic()

    @extension.make_extension(trigger=(1, 'epoch'), priority=extension.PRIORITY_READER)
    def draw_plots(trainer):
        nonlocal drawn
        if time.monotonic() < drawn + SECONDS and trainer.updater.epoch < n_epochs:
            return
        drawn = time.monotonic()
        log = trainer.get_extension('LogReport').log
        for name, lines in PLOTS.items():
            curves = curves_of(log, {label.replace('test', evaluated): entry
                                     for label, entry in lines.items()})
            if any(len(epochs) > 1 for epochs, _ in curves.values()):
                with atomic(folder.picture(name)) as path, own_settings():
                    draw(curves, name.replace('_', ' ')).savefig(path)
    return draw_plots


def curves_of(log, lines):
    """Epochs and values of the log's entries by their names in the legend."""
    points = {label: [(entry['epoch'], entry[name]) for entry in log if name in entry]
              for label, name in lines.items()}
    return {label: tuple(zip(*values)) for label, values in points.items() if values}


def draw(curves, title):
    """Draws curves over epochs in a :class:`matplotlib.figure.Figure`."""
    figure = Figure(figsize=(6, 4))
    axis = figure.add_axes((.12, .13, .85, .79))
    for label, (epochs, values) in curves.items():
        axis.plot(epochs, values, marker='.', label=label)
    axis.set(xlabel='epoch', title=title)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.grid(color='0.9')
    if len(curves) > 1:
        axis.legend()
    return figure
