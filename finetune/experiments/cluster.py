"""Runs of a suite as jobs of Slurm, by submitit, which go on when they are requeued."""
import os
from pathlib import Path
import shutil
import signal
import subprocess
from typing import NamedTuple

import yaml

from finetune.config.project import HERE
from finetune.errors import InputError
from finetune.files import write_text

JOBS = Path('results', 'jobs.yml')      # ids by folder of the run, all paths of the project
FOLDER = Path('results', '.jobs')       # submitit's own files, and what it prints
MAX_REQUEUES = 1000                     # at the limit of time


class Resources(NamedTuple):
    """What a job asks for."""

    hours: float = 24.
    nodes: int = 1
    gpus: int = 0           # of each node
    cpus: int = 2           # of each process
    partition: str = ''     # '': Slurm's default

    @property
    def n_ranks(self):
        """Number of processes of a run: one for each GPU, or for each node without."""
        return self.nodes * max(self.gpus, 1)


class Run:

    """What a job does: a run in processes of its own, whose snapshots are its checkpoints."""

    def __init__(self, command, printed, resources):
        self.command, self.printed, self.resources = command, printed, resources

    def __call__(self):
        if int(os.environ.get('SLURM_PROCID', 0)):
            return      # submitit starts this on every node, and mpiexec what there is to do
        # mpiexec starts its own on all nodes by srun, which would wait for this one's end.
        environment = {**os.environ, 'SLURM_OVERLAP': '1'}
        launcher = []
        if self.resources.n_ranks > 1:
            launcher = ['mpiexec', '-n', str(self.resources.n_ranks)]
            environment.setdefault('OMP_NUM_THREADS', str(self.resources.cpus))
        with open(self.printed, 'a') as output:
            # Slurm sends SIGUSR2 to all processes when the time is nearly up: submitit requeues.
            code = subprocess.call(
                [*launcher, *self.command], stdout=output, stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL, env=environment,
                preexec_fn=lambda: signal.signal(signal.SIGUSR2, signal.SIG_IGN))
        if code:
            raise RuntimeError(f'exit code {code}; see {self.printed}')

    def checkpoint(self):
        """What is done after a requeue: the same, which resumes."""
        import submitit
        return submitit.helpers.DelayedSubmission(self)


def submit(jobs, resources, project=HERE):
    """Submits runs, but those that are in the queue already.

    Runs that need the same ones, or none, are an array of jobs, which starts when those are done.

    Args:
        jobs (list of finetune.experiments.plan.Job): The runs, each behind those that it needs.
        resources (Resources): Of each job.
        project (finetune.config.project.Project): That of the runs.

    Returns:
        tuple: Number of runs that were submitted, and of those that are in the queue.

    """
    executor = _executor(resources, project.path(FOLDER))
    known, queued = _read_jobs(project), states()
    ids = {name: job for name, job in known.items() if job in queued}
    waiting = [job for job in jobs if str(job.folder) not in ids]
    n_new, n_queued = len(waiting), len(jobs) - len(waiting)
    while waiting:
        ready = [job for job in waiting if all(name in ids for name in job.needs)]
        needs = ready[0].needs
        array = [job for job in ready if job.needs == needs]
        ids.update(_submit_array(executor, array, [ids[name] for name in needs], resources))
        write_text(project.path(JOBS), yaml.safe_dump({
            os.path.relpath(name, project.root): job for name, job in {**known, **ids}.items()}))
        waiting = [job for job in waiting if job not in array]
    return n_new, n_queued


def _submit_array(executor, jobs, needed, resources):
    """Submits jobs that start after others; returns their ids by folder."""
    parameters = {'requeue': True}
    if needed:      # if one of them fails, so do these
        parameters.update(dependency=f'afterok:{":".join(needed)}', kill_on_invalid_dep='yes')
    executor.update_parameters(slurm_additional_parameters=parameters)
    for job in jobs:
        job.folder.printed.parent.mkdir(parents=True, exist_ok=True)
    try:
        with executor.batch():
            submitted = [executor.submit(Run(job.command, os.path.abspath(job.folder.printed),
                                             resources)) for job in jobs]
    except Exception as error:      # submitit raises what sbatch said in a type of its own
        raise InputError(f'Slurm refuses the jobs ({" ".join(str(error).split())[:300]}); correct '
                         'the resources.')
    return {str(job.folder): one.job_id for job, one in zip(jobs, submitted)}


def _executor(resources, folder):
    try:
        import submitit
    except ImportError:
        raise InputError('--cluster slurm: the package submitit is missing; pip install submitit.')
    folder.mkdir(parents=True, exist_ok=True)
    try:
        executor = submitit.AutoExecutor(
            os.path.abspath(folder), cluster='slurm', slurm_max_num_timeout=MAX_REQUEUES)
    except RuntimeError:
        raise InputError('--cluster slurm: there is no sbatch; run this where jobs of Slurm are '
                         'submitted.')
    if resources.n_ranks > 1 and shutil.which('mpiexec') is None:
        raise InputError('--gpus, --nodes: a run in several processes needs mpiexec; pip install '
                         'mpi4py mpich.')
    options = {'slurm_partition': resources.partition} if resources.partition else {}
    if resources.gpus:
        options['gpus_per_node'] = resources.gpus
    executor.update_parameters(
        name='finetune', timeout_min=max(round(60 * resources.hours), 1),
        nodes=resources.nodes, cpus_per_task=resources.cpus * max(resources.gpus, 1), **options)
    return executor


def states():
    """States of this user's jobs in the queue of Slurm, in its words, by id."""
    try:
        lines = subprocess.run(
            ['squeue', '--noheader', '--array', '--me', '--format=%i %T'], check=True, text=True,
            capture_output=True, timeout=60).stdout.splitlines()
    except FileNotFoundError:
        raise InputError('--cluster slurm: there is no squeue; run this where jobs of Slurm are '
                         'submitted.')
    except subprocess.SubprocessError as error:
        reason = ' '.join(str(getattr(error, 'stderr', '') or error).split())
        raise InputError(f'Slurm does not answer ({reason}); try again.')
    return dict(line.split(maxsplit=1) for line in lines)


def queued(project=HERE):
    """Folders of runs that are in the queue, as text, and the states of their jobs."""
    jobs = _read_jobs(project)
    if not jobs or shutil.which('squeue') is None:      # the results may be copied elsewhere
        return {}
    in_queue = states()
    return {folder: f'job {job} {in_queue[job].lower()}'
            for folder, job in jobs.items() if job in in_queue}


def _read_jobs(project):
    """Ids of the jobs that were submitted, by the runs' folders."""
    path = project.path(JOBS)
    try:
        jobs = yaml.safe_load(path.read_text(encoding='utf-8'))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(f'{path}: cannot be read ({" ".join(str(error).split())}); move it away.')
    if not isinstance(jobs, dict) or not all(isinstance(word, str) for pair in jobs.items()
                                             for word in pair):
        raise InputError(f'{path}: is not a list of jobs; move it away.')
    return {str(project.path(folder)): job for folder, job in jobs.items()}
