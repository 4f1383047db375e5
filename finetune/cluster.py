"""Runs of a suite as jobs of Slurm, by submitit; one process each, which goes on when requeued."""
import os
from pathlib import Path
import shutil
import signal
import subprocess
from typing import NamedTuple

import yaml

from finetune.errors import InputError
from finetune.files import write_text

JOBS = Path('results', 'jobs.yml')      # ids by folder of the run
FOLDER = Path('results', '.jobs')       # submitit's own files, and what it prints
MAX_REQUEUES = 1000                     # at the limit of time


class Resources(NamedTuple):
    """What a job asks for."""

    hours: float = 24.
    gpus: int = 0           # 0 or 1
    cpus: int = 2
    partition: str = ''     # '': Slurm's default


class Run:

    """What a job does: a run in a process of its own, whose snapshots are its checkpoints."""

    def __init__(self, command, printed):
        self.command, self.printed = command, printed

    def __call__(self):
        with open(self.printed, 'a') as output:
            # Slurm sends SIGUSR2 to all processes when the time is nearly up: submitit requeues.
            code = subprocess.call(
                self.command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                preexec_fn=lambda: signal.signal(signal.SIGUSR2, signal.SIG_IGN))
        if code:
            raise RuntimeError(f'exit code {code}; see {self.printed}')

    def checkpoint(self):
        """What is done after a requeue: the same, which resumes."""
        import submitit
        return submitit.helpers.DelayedSubmission(self)


def submit(commands, resources):
    """Submits runs as an array of jobs, but those that are in the queue already.

    Args:
        commands (dict): By :class:`~finetune.runs.folder.RunFolder`: the command of its run.
        resources (Resources): Of each job.

    Returns:
        tuple: Number of runs that were submitted, and of those that are in the queue.

    Raises:
        finetune.errors.InputError: If Slurm or submitit is missing, or refuses.

    """
    executor = _executor(resources)
    known, queued = _read_jobs(), states()
    waiting = {folder: command for folder, command in commands.items()
               if known.get(str(folder)) not in queued}
    if not waiting:
        return 0, len(commands)
    for folder in waiting:
        folder.printed.parent.mkdir(parents=True, exist_ok=True)
    try:
        with executor.batch():
            jobs = [executor.submit(Run(command, os.path.abspath(folder.printed)))
                    for folder, command in waiting.items()]
    except Exception as error:      # submitit raises what sbatch said in a type of its own
        raise InputError(f'Slurm refuses the jobs ({" ".join(str(error).split())[:300]}); correct '
                         'the resources.')
    known.update((str(folder), job.job_id) for folder, job in zip(waiting, jobs))
    write_text(JOBS, yaml.safe_dump(known))
    return len(waiting), len(commands) - len(waiting)


def _executor(resources):
    try:
        import submitit
    except ImportError:
        raise InputError('--cluster slurm: the package submitit is missing; pip install the extra '
                         'cluster.')
    FOLDER.mkdir(parents=True, exist_ok=True)
    try:
        executor = submitit.AutoExecutor(
            os.path.abspath(FOLDER), cluster='slurm', slurm_max_num_timeout=MAX_REQUEUES)
    except RuntimeError:
        raise InputError('--cluster slurm: there is no sbatch; run this where jobs of Slurm are '
                         'submitted.')
    options = {'slurm_partition': resources.partition} if resources.partition else {}
    if resources.gpus:
        options['gpus_per_node'] = resources.gpus
    executor.update_parameters(
        name='finetune', timeout_min=max(round(60 * resources.hours), 1),
        cpus_per_task=resources.cpus, slurm_additional_parameters={'requeue': True}, **options)
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


def queued():
    """Folders of runs that are in the queue, as text, and the states of their jobs."""
    jobs = _read_jobs()
    if not jobs or shutil.which('squeue') is None:      # the results may be copied elsewhere
        return {}
    in_queue = states()
    return {folder: f'job {job} {in_queue[job].lower()}'
            for folder, job in jobs.items() if job in in_queue}


def _read_jobs():
    """Ids of the jobs that were submitted from here."""
    try:
        jobs = yaml.safe_load(JOBS.read_text(encoding='utf-8'))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(f'{JOBS}: cannot be read ({" ".join(str(error).split())}); move it away.')
    if not isinstance(jobs, dict) or not all(isinstance(word, str) for pair in jobs.items()
                                             for word in pair):
        raise InputError(f'{JOBS}: is not a list of jobs; move it away.')
    return jobs
