"""Runs experiments with several seeds: one process per run, finished runs skipped."""
import os
from pathlib import Path
import subprocess
import sys
import time
from typing import NamedTuple

from finetune import cluster, ranks
from finetune.config import read_config
from finetune.errors import InputError
from finetune.progress import duration
from finetune.projects import find
from finetune.runs.folder import REPORTED, RunFolder
from finetune.schema import fill_override
from finetune.settings import Config

POLL_SECONDS = .2
PATIENCE_SECONDS = 20       # for an interrupted run to end


class Job(NamedTuple):
    """One experiment with one seed."""

    config: str         # path
    overrides: tuple    # of the config
    name: str           # its folder below results/, without the seed
    seed: int
    folder: RunFolder
    n_epochs: int       # 0 for the conventional pipeline

    def __str__(self):
        return f'{self.name} seed {self.seed}'


def run_all(experiments, seeds, n_jobs=1, resources=None):
    """Runs every config with every seed; resumes interrupted runs and skips finished ones.

    Args:
        experiments (list of tuple): YAML files and the lists of their ``section.name=value``
            overrides.
        seeds (list of int): Seeds; all configs run with the first seed first.
        n_jobs (int): Number of runs at a time, which share the CPU's cores.
        resources (finetune.cluster.Resources or None): What each run asks Slurm for; ``None``: they
            run here.

    Returns:
        int: Exit code: 0, or 1 if a run failed; the other runs go on.

    """
    if ranks.size() > 1:
        raise InputError(f'mpiexec started {ranks.size()} processes, which are for one run; name '
                         'one config and --seed.')
    jobs, done = [], []
    for seed in seeds:
        for path, overrides in experiments:
            _check_seed(overrides, seed)
            config = read_config(path, [*overrides, f'training.seed={seed}'])
            folder = RunFolder.of(path, seed)
            # Results of other settings are not skipped: the run itself refuses them.
            is_done = folder.state == REPORTED and not folder.differences(config)
            (done if is_done else jobs).append(Job(
                path, tuple(overrides), str(folder.path.parent.relative_to('results')), seed,
                folder, config.training.epochs if config.training.joint else 0))
    print(f'{len(done) + len(jobs)} runs, {len(done)} of them finished already; output goes '
          'to results/<config>/seed<k>.txt', flush=True)
    if resources is not None:
        return _submit(jobs, resources)
    queue = Queue(jobs, done, n_jobs)
    try:
        queue.work()
    finally:
        queue.stop()
    for job, reason in queue.failures:
        print(f'Failed: {job}: {reason}; see {job.folder.printed}', file=sys.stderr)
    return 1 if queue.failures else 0


def _submit(jobs, resources):
    n_new, n_queued = cluster.submit({job.folder: _command(job) for job in jobs}, resources)
    print(f'{n_new} runs are submitted, {n_queued} were in the queue already; python -m finetune '
          'status shows them, squeue and scancel are for their jobs. The same command submits '
          'again what failed or was cancelled.')
    return 0


def _command(job):
    settings = [word for override in job.overrides for word in ('--set', override)]
    return [sys.executable, '-m', 'finetune', 'train', job.config, *settings,
            '--seed', str(job.seed)]


def _check_seed(overrides, seed):
    """Raises an error if an override sets another seed, which would win over that of the run."""
    for override in overrides:
        config = Config()
        if ('training.seed' in fill_override(config, override)
                and config.training.seed != seed):
            raise InputError(f'--set {override}: the runs have the seeds of --seeds or --seed; '
                             'leave the seed out.')


def expand(configs):
    """Paths of configs; a folder stands for all configs in it except those of pre-training."""
    paths = []
    for config in configs:
        if not find(config).is_dir():
            paths.append(config)
            continue
        in_folder = [str(Path(config, path.name)) for path in sorted(find(config).glob('*.yml'))]
        if not in_folder:
            raise InputError(f'{config}: there is no config in this folder; name another folder.')
        paths += [path for path in in_folder if read_config(path).data.split != 'pretraining']
    return list(dict.fromkeys(paths))


class Queue:

    """Jobs that are waiting, running or done."""

    def __init__(self, jobs, done, n_jobs):
        self.waiting = list(jobs)
        self.n_jobs = n_jobs
        self.n_all = len(jobs)
        self.running = {}           # Job: (process, start time)
        self.failures = []          # (Job, reason)
        self.seconds = {}           # name of an experiment: times of its finished runs
        self.n_done = 0
        for job in done:
            log = _log(job)
            if log:
                self.seconds.setdefault(job.name, []).append(log[-1]['elapsed_time'])

    def work(self):
        """Runs jobs until none is left."""
        while self.waiting or self.running:
            while self.waiting and len(self.running) < self.n_jobs:
                self._start(self.waiting.pop(0))
            time.sleep(POLL_SECONDS)
            for job, (process, _) in list(self.running.items()):
                if process.poll() is not None:
                    self._end(job)
            self._show_running()

    def stop(self):
        """Interrupts the jobs that are still running."""
        for process, _ in self.running.values():
            process.terminate()         # a shell's background jobs ignore Ctrl-C
        for process, _ in self.running.values():
            try:
                process.wait(PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()

    def _start(self, job):
        job.folder.printed.parent.mkdir(parents=True, exist_ok=True)
        environment = dict(os.environ)
        if self.n_jobs > 1:
            n_threads = str(max(len(os.sched_getaffinity(0)) // self.n_jobs, 1))
            environment.update(OMP_NUM_THREADS=n_threads, OPENBLAS_NUM_THREADS=n_threads,
                               MKL_NUM_THREADS=n_threads)
        with open(job.folder.printed, 'a') as output:
            process = subprocess.Popen(_command(job), stdout=output, stderr=subprocess.STDOUT,
                                       stdin=subprocess.DEVNULL, env=environment)
        self.running[job] = process, time.monotonic()

    def _end(self, job):
        process, started = self.running.pop(job)
        seconds = time.monotonic() - started
        self.n_done += 1
        if process.returncode == 0:
            self.seconds.setdefault(job.name, []).append(seconds)
            headline = job.folder.read_config().headline
            accuracy = job.folder.read_evaluation()['accuracy'][headline]
            outcome = f'{100 * accuracy:.1f} % in {duration(seconds)}'
        else:
            reason = f'exit code {process.returncode}: {_last_line(job.folder.printed)}'
            self.failures.append((job, reason))
            outcome = f'FAILED with {reason}'
        left = self._seconds_left()
        estimate = '' if left is None else f'; about {duration(left)} left'
        _clear_line()
        print(f'{self.n_done:4d} of {self.n_all}   {job}: {outcome}{estimate}', flush=True)

    def _seconds_left(self):
        """Estimate by the mean times of each experiment, or of all if it has none yet."""
        expected = {name: sum(times) / len(times) for name, times in self.seconds.items()}
        if not expected:
            return None
        mean = sum(expected.values()) / len(expected)
        left = sum(expected.get(job.name, mean) for job in self.waiting)
        for job, (_, started) in self.running.items():
            left += max(expected.get(job.name, mean) - (time.monotonic() - started), 0)
        return left / self.n_jobs

    def _show_running(self):
        if sys.stderr.isatty() and self.running:
            _clear_line()
            progress = ', '.join(f'{job} ({_progress(job)})' for job in self.running)
            print(f'running: {progress}', end='', file=sys.stderr, flush=True)


def _progress(job):
    """Progress of a running job according to its log."""
    log = _log(job)
    return f'epoch {log[-1]["epoch"]} of {job.n_epochs}' if log else 'working'


def _log(job):
    """Entries of a job's log; none if it is damaged, as the job will write it anew."""
    try:
        return job.folder.read_log()
    except InputError:
        return []


def _last_line(path):
    lines = path.read_text(errors='replace').split('\n') if path.exists() else []
    return next((line.strip() for line in reversed(lines) if line.strip()), '')


def _clear_line():
    """Clears the line of running jobs."""
    if sys.stderr.isatty():
        print('\r\033[K', end='', file=sys.stderr, flush=True)
