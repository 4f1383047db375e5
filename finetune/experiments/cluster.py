"""Submits runs of a suite to Slurm by submitit; requeued jobs resume."""
import os
from pathlib import Path
import shutil
import signal
import subprocess
from typing import NamedTuple

import yaml

from finetune.config.project import HERE
from finetune.errors import InputError, shortened
from finetune.files import write_text

JOBS = Path('results', 'jobs.yml')      # job ids by run folder, relative to the project
FOLDER = Path('results', '.jobs')       # submitit's own files and output
MAX_REQUEUES = 1000                     # after the time limit


class Resources(NamedTuple):
    """Resources that a job requests."""

    hours: float = 24.
    nodes: int = 1
    gpus: int = 0           # per node
    cpus: int = 2           # per process
    partition: str = ''     # '': Slurm's default

    @property
    def n_ranks(self):
        """Number of processes of a run: one per GPU, or one per node without GPUs."""
        return self.nodes * max(self.gpus, 1)


class Run:

    """The function of a job: a run in separate processes, whose snapshots are its checkpoints."""

    def __init__(self, command, printed, resources):
        self.command, self.printed, self.resources = command, printed, resources

    def __call__(self):
        if int(os.environ.get('SLURM_PROCID', 0)):
            return      # submitit starts this on every node, but mpiexec needs it on one only
        # mpiexec uses srun to start processes on all nodes; without overlap srun would wait.
        environment = {**os.environ, 'SLURM_OVERLAP': '1'}
        launcher = []
        if self.resources.n_ranks > 1:
            launcher = ['mpiexec', '-n', str(self.resources.n_ranks)]
            environment.setdefault('OMP_NUM_THREADS', str(self.resources.cpus))
        with open(self.printed, 'a') as output:
            # Slurm sends SIGUSR2 to all processes before the time limit: submitit requeues the job.
            code = subprocess.call(
                [*launcher, *self.command], stdout=output, stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL, env=environment,
                preexec_fn=lambda: signal.signal(signal.SIGUSR2, signal.SIG_IGN))
        if code:
            raise RuntimeError(f'exit code {code}; see {self.printed}')

    def checkpoint(self):
        """Repeats the run after a requeue, which resumes it."""
        import submitit
        return submitit.helpers.DelayedSubmission(self)


def submit(jobs, resources, project=HERE):
    """Submits runs that are not in the queue yet.

    Runs with the same prerequisites form one job array, which starts when the prerequisites have
    succeeded.

    Args:
        jobs (list of finetune.experiments.plan.Job): The runs, each after its prerequisites.
        resources (Resources): Resources of each job.
        project (finetune.config.project.Project): The project of the runs.

    Returns:
        tuple: Number of submitted runs, and number of runs that were in the queue.

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
    if needed:      # if one of them fails, these jobs fail
        parameters.update(dependency=f'afterok:{":".join(needed)}', kill_on_invalid_dep='yes')
    executor.update_parameters(slurm_additional_parameters=parameters)
    for job in jobs:
        job.folder.printed.parent.mkdir(parents=True, exist_ok=True)
    try:
        with executor.batch():
            submitted = [executor.submit(Run(job.command, os.path.abspath(job.folder.printed),
                                             resources)) for job in jobs]
    except Exception as error:      # submitit raises sbatch's message in a type of its own
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
        raise InputError('--cluster slurm: there is no sbatch; run this on a login node of Slurm.')
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
    """Slurm's states of this user's jobs in the queue, by id."""
    try:
        lines = subprocess.run(
            ['squeue', '--noheader', '--array', f'--user={os.getuid()}', '--format=%i %T'],
            check=True, text=True, errors='replace', capture_output=True,
            timeout=60).stdout.splitlines()
    except FileNotFoundError:
        raise InputError('--cluster slurm: there is no squeue; run this on a login node of Slurm.')
    except (OSError, subprocess.SubprocessError) as error:
        reason = shortened(str(getattr(error, 'stderr', '') or error))
        raise InputError(f'Slurm does not answer ({reason}); try again.')
    rows = map(str.split, lines)
    return {row[0]: row[1] for row in rows if len(row) == 2}


def queued(project=HERE):
    """States of the jobs in the queue, by the runs' folders as text."""
    jobs = _read_jobs(project)
    if not jobs or shutil.which('squeue') is None:      # the results may be on another machine
        return {}
    in_queue = states()
    return {folder: f'job {job} {in_queue[job].lower()}'
            for folder, job in jobs.items() if job in in_queue}


def _read_jobs(project):
    """Reads the ids of submitted jobs by the runs' folders."""
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
