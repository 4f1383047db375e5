"""A table of all runs below a folder: state, progress, test accuracy and changed settings.

The run that a comparison of photographs chose is marked, and its accuracy is that on the test
images, which it may have been tested on apart.
"""
import os
from pathlib import Path
import sys
import time

import numpy

from finetune.config.project import HERE
from finetune.errors import InputError
from finetune.experiments import cluster
from finetune.files import is_locked
from finetune.names import shown
from finetune.progress import aligned, duration
from finetune.runs import chosen
from finetune.runs.folder import BEGUN, FINISHED, NEW, REPORTED, RunFolder
from finetune.runs.origin import Origins
from finetune.runs.saved_files import TEST_ACCURACY

HEADER = 'run', 'state', 'epoch', 'test accuracy', 'time', 'left', 'changed settings'
STATES = {NEW: 'no snapshot yet', BEGUN: 'interrupted', FINISHED: 'not evaluated',
          REPORTED: 'finished'}
CLEAR_SCREEN = '\033[H\033[2J'


def show(results, watch=None, project=HERE):
    """Prints the table.

    Args:
        results (str or pathlib.Path): Folder of results, or of one run, relative to the project.
        watch (float or None): Seconds between tables until the process is interrupted; ``None``:
            one table.
        project (finetune.config.project.Project): The project.

    """
    folder = project.path(results)
    if not folder.is_dir():
        raise InputError(f'{folder}: there is no such folder of results{project.named}; give '
                         'another folder.')
    while True:
        table = _table(folder, project)
        print(CLEAR_SCREEN * (watch is not None and sys.stdout.isatty()) + table, flush=True)
        if watch is None:
            return
        time.sleep(watch)


def _table(results, project):
    try:
        queued, problem = cluster.queued(project), ''
    except InputError as error:     # of Slurm; the runs are there
        queued, problem = {}, f'\njobs are unknown: {error}'
    return _of_runs(results, project, queued) + problem


def _of_runs(results, project, queued):
    folders = RunFolder.all_below(results, project)
    there = Path(os.path.abspath(results))
    waiting = {folder for folder in queued if there in Path(os.path.abspath(folder)).parents}
    waiting -= set(map(str, folders))
    if not folders and not waiting:
        return f'{results}: contains no runs.'
    are_chosen, problems = _chosen(folders)
    origins = Origins(project)
    rows = [HEADER, *(_row(folder, queued, os.path.abspath(folder.path) in are_chosen, origins)
                      for folder in folders),
            *([folder, queued[folder], '-', '-', '-', '-', ''] for folder in sorted(waiting))]
    return '\n'.join([*aligned([list(map(shown, row)) for row in rows]), *problems])


def _chosen(folders):
    """Absolute paths of the runs that comparisons of photographs chose, and problems, in words."""
    runs, problems = set(), []
    places = {above for folder in folders for above in Path(os.path.abspath(folder.path)).parents}
    for place in sorted(place for place in places if (place / chosen.FILE).exists()):
        try:
            runs.add(str(chosen.find_run(place).path))
        except InputError as error:
            problems.append(str(error))
    return runs, problems


def _row(folder, queued, is_chosen, origins):
    try:
        config, log = folder.read_config(), folder.read_log()
        tested = chosen.tested(folder) if is_chosen else folder
        accuracy = (tested.read_evaluation()['accuracy'][config.headline]
                    if folder.state == REPORTED else
                    next((entry[TEST_ACCURACY] for entry in reversed(log)
                          if TEST_ACCURACY in entry), None))
    except InputError as error:
        return str(folder), f'damaged: {error}', '', '', '', '', ''
    is_running = is_locked(folder.lock)
    state = 'running' if is_running else queued.get(str(folder), STATES[folder.state])
    if is_chosen:
        state += ', chosen'
    reached = '-' if accuracy is None else f'{100 * accuracy:.1f} %'
    if config.data.split == 'validation' and tested is folder:
        reached += ' (validation)'
    changed = ', '.join(origins.changed(folder, config) or ())
    cells = [str(folder), state, '-', reached, '-', '-', changed]
    if log:
        n_epochs, times = config.training.epochs, [0, *(entry['elapsed_time'] for entry in log)]
        cells[2], cells[4] = f'{log[-1]["epoch"]} of {n_epochs}', duration(times[-1])
        if log[-1]['epoch'] > n_epochs:     # interrupted while it was trained longer
            cells[2] = f'{log[-1]["epoch"]}, results of {n_epochs}'
        if is_running:
            cells[5] = duration(numpy.median(numpy.diff(times)) * (n_epochs - len(log)))
    return cells
