"""Runs experiments with several seeds, on this machine or as jobs of a cluster."""
import sys
from typing import NamedTuple

from finetune.config.project import HERE
from finetune.errors import InputError
from finetune.experiments import cluster
from finetune.experiments.local import Queue
from finetune.experiments.plan import plan_jobs
from finetune.names import counted
from finetune.ranks import processes
from finetune.runs.folds import FOLDS, is_of_fold


class Outcome(NamedTuple):
    """What a suite has done."""

    code: int           # exit code: 0, or 1 if a run failed, which does not stop the other runs
    finished: set       # folders, as text, of the runs that are finished


def run_all(experiments, seeds, n_jobs=1, resources=None, project=HERE):
    """Runs every config with every seed; resumes interrupted runs and skips finished ones.

    Args:
        experiments (list of tuple): YAML files and their lists of ``section.name=value`` overrides.
        seeds (list of int): Seeds; all configs run with the first seed first.
        n_jobs (int): Number of runs at a time, which share the CPU's cores.
        resources (finetune.experiments.cluster.Resources or None): Resources that each run requests
            from Slurm; ``None``: runs on this machine.
        project (finetune.config.project.Project): Project to which paths are relative.

    Returns:
        Outcome: What has been done; jobs of Slurm are only submitted.

    """
    if processes.size() > 1:
        raise InputError(f'mpiexec started {processes.size()} processes, which can only share one '
                         'run; give one config and --seed.')
    jobs, done = plan_jobs(experiments, seeds, project)
    n_asked = len(experiments) * len(seeds)
    n_needed = len(jobs) + len(done) - n_asked
    print(f'{counted(n_asked, "run", "runs")}, {len(done)} of them already finished'
          f'{f", and {n_needed} more as prerequisites" if n_needed else ""}; their output is '
          f'written to {_place(project, [*jobs, *done])}', flush=True)
    project.results.mkdir(parents=True, exist_ok=True)
    project.mark()      # the processes of the runs know the place by it
    finished = {str(job.folder) for job in done}
    if resources is not None:
        _submit(jobs, resources, project)
        return Outcome(0, finished)
    queue = Queue(jobs, done, n_jobs)
    try:
        queue.work()
    finally:
        queue.stop()
    for job, reason in queue.failures:
        print(f'Failed: {job}: {reason}; see {job.folder.printed}', file=sys.stderr)
    failed = {str(job.folder) for job, _ in queue.failures}
    return Outcome(1 if failed else 0, finished | {str(job.folder) for job in jobs} - failed)


def _place(project, jobs):
    """Where the output of runs is, in words."""
    of_run = f'{FOLDS}/fold<n>/seed<k>.txt' if any(is_of_fold(job.folder) for job in jobs) else (
        'seed<k>.txt')
    if project.is_chosen:
        return f'{project.results}/<config>/{of_run}'
    collections = {job.folder.project.results for job in jobs} - {project.results}
    name = collections.pop().name if len(collections) == 1 else '<data set>'
    between = f'{name}/' if collections else ''
    return f'results/{between}<config>/{of_run}{project.named}'


def _submit(jobs, resources, project):
    n_new, n_queued = cluster.submit(jobs, resources, project)
    status = ' '.join(['python -m finetune status', *project.option])
    print(f'{counted(n_new, "run is", "runs are")} submitted, '
          f'{counted(n_queued, "was", "were")} already in the queue; {status} shows the '
          'runs; squeue and scancel apply to their jobs. Repeat this command to submit failed '
          'or cancelled runs again.')
