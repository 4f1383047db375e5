"""Many experiments, each with many seeds: a process for each run, finished ones skipped."""
import json
import os
from pathlib import Path
import signal
import subprocess
import sys
import time
from typing import NamedTuple

import yaml

from finetune import config as configuration
from finetune.conventional import pipeline
from finetune.errors import InputError
from finetune.training import results, trainer

POLL_SECONDS = .2
PATIENCE_SECONDS = 20       # for a run that is asked to end


class Run(NamedTuple):
    """One experiment with one seed."""

    config: str         # path
    name: str           # its folder below results/, without the seed
    seed: int
    out: Path           # its folder
    n_epochs: int

    @property
    def output(self):
        """File of what the process prints."""
        return self.out.with_suffix('.txt')

    def __str__(self):
        return f'{self.name} seed {self.seed}'


def run_one(config_path, overrides, out=None):
    """Trains one experiment jointly (:mod:`~finetune.training.trainer`) or in the old way
    (:mod:`~finetune.conventional.pipeline`), as ``training.joint`` says."""
    joint = configuration.load(config_path, overrides).training.joint
    (trainer if joint else pipeline).train(config_path, overrides, out)


def run_all(configs, seeds, overrides=(), n_jobs=1):
    """Runs every config with every seed; what was interrupted goes on, what is finished is skipped.

    Args:
        configs (list of str): YAML files, or folders of them.
        seeds (list of int): Seeds; all configs are run with the first one first.
        overrides (list of str): ``section.name=value`` settings for all runs.
        n_jobs (int): How many runs at a time; they share the CPU's cores.

    Returns:
        int: Exit code: 0, or 1 if a run failed, which does not stop the others.

    """
    overrides = [one for one in overrides if not one.startswith('training.seed=')]
    runs = [_run(config, seed, overrides) for seed in seeds for config in expand(configs)]
    done = [run for run in runs if _is_done(run, overrides)]
    print(f'{len(runs)} runs, {len(done)} of them finished before; what each prints is in '
          'results/<config>/seed<k>.txt', flush=True)
    queue = Queue([run for run in runs if run not in done], overrides, n_jobs)
    queue.learn(done)
    try:
        queue.work()
    finally:
        queue.stop()
    for run, reason in queue.failures:
        print(f'Failed: {run}: {reason}; see {run.output}', file=sys.stderr)
    return 1 if queue.failures else 0


def expand(configs):
    """Paths of configs; a folder stands for all in it but those of the pre-training."""
    paths = []
    for config in configs:
        if not Path(config).is_dir():
            paths.append(config)
            continue
        there = [str(path) for path in sorted(Path(config).glob('*.yml'))]
        if not there:
            raise InputError(f'{config}: there is no config in this folder; name one that has '
                             'some.')
        paths += [path for path in there if configuration.load(path).data.split != 'pretraining']
    return list(dict.fromkeys(paths))


def _run(path, seed, overrides):
    config = configuration.load(path, [*overrides, f'training.seed={seed}'])
    out = results.folder(path, seed)
    name = str(out.parent.relative_to('results'))
    return Run(path, name, seed, out, config.training.epochs if config.training.joint else 0)


def _is_done(run, overrides):
    """Whether there is nothing left to do; results of other settings are for the run to complain
    of."""
    if not results.is_reported(run.out):
        return False
    config = configuration.load(run.config, [*overrides, f'training.seed={run.seed}'])
    before = configuration.load(run.out / 'config.yml')
    return not configuration.differences(before, config, results.WITHOUT_EFFECT)


class Queue:

    """Runs that wait, run, and are done."""

    def __init__(self, runs, overrides, n_jobs):
        self.waiting = list(runs)
        self.overrides = overrides
        self.n_jobs = n_jobs
        self.n_runs = len(runs)
        self.running = {}           # Run: (process, when it started)
        self.failures = []          # (Run, reason)
        self.seconds = {}           # name of the experiment: of its runs so far
        self.n_done = 0

    def learn(self, done):
        """Takes the times of runs that were finished before from their logs."""
        for run in done:
            log = run.out / 'log'
            if log.exists():
                entries = json.loads(log.read_text())
                self.seconds.setdefault(run.name, []).append(entries[-1]['elapsed_time'])

    def work(self):
        """Starts and watches runs until there is none left."""
        while self.waiting or self.running:
            while self.waiting and len(self.running) < self.n_jobs:
                self._start(self.waiting.pop(0))
            time.sleep(POLL_SECONDS)
            for run, (process, _) in list(self.running.items()):
                if process.poll() is not None:
                    self._end(run)
            self._show_running()

    def stop(self):
        """Ends what still runs, as the suite is being ended itself."""
        for process, _ in self.running.values():
            process.send_signal(signal.SIGINT)
        for process, _ in self.running.values():
            try:
                process.wait(PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()

    def _start(self, run):
        run.output.parent.mkdir(parents=True, exist_ok=True)
        settings = [word for override in self.overrides for word in ('--set', override)]
        command = [sys.executable, '-m', 'finetune', 'train', run.config, *settings,
                   '--seed', str(run.seed)]
        environment = dict(os.environ)
        if self.n_jobs > 1:
            n_threads = str(max(len(os.sched_getaffinity(0)) // self.n_jobs, 1))
            environment.update(OMP_NUM_THREADS=n_threads, OPENBLAS_NUM_THREADS=n_threads,
                               MKL_NUM_THREADS=n_threads)
        with open(run.output, 'a') as output:
            process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT,
                                       stdin=subprocess.DEVNULL, env=environment)
        self.running[run] = process, time.monotonic()

    def _end(self, run):
        process, started = self.running.pop(run)
        seconds = time.monotonic() - started
        self.n_done += 1
        if process.returncode == 0:
            self.seconds.setdefault(run.name, []).append(seconds)
            evaluation = yaml.safe_load((run.out / 'evaluation.yml').read_text())
            outcome = f'{100 * evaluation["accuracy"]:.1f} % in {duration(seconds)}'
        else:
            reason = f'exit code {process.returncode}: {_last_line(run.output)}'
            self.failures.append((run, reason))
            outcome = f'FAILED with {reason}'
        left = self._seconds_left()
        left = '' if left is None else f'; about {duration(left)} left'
        _clear()
        print(f'{self.n_done:4d} of {self.n_runs}   {run}: {outcome}{left}', flush=True)

    def _seconds_left(self):
        """Estimate from the times of the same experiments, of all of them where there is none."""
        times = [sum(some) / len(some) for some in self.seconds.values()]
        if not times:
            return None
        mean = sum(times) / len(times)
        expected = {name: sum(some) / len(some) for name, some in self.seconds.items()}
        left = sum(expected.get(run.name, mean) for run in self.waiting)
        for run, (_, started) in self.running.items():
            left += max(expected.get(run.name, mean) - (time.monotonic() - started), 0)
        return left / self.n_jobs

    def _show_running(self):
        if sys.stderr.isatty() and self.running:
            _clear()
            states = ', '.join(f'{run} ({_state(run)})' for run in self.running)
            print(f'running: {states}', end='', file=sys.stderr, flush=True)


def _state(run):
    """What the newest line of a run's output says of how far it is."""
    words = _last_line(run.output).split()
    if words[:1] == ['epoch']:
        return f'epoch {words[1]} of {run.n_epochs}'
    return 'working'


def _last_line(path):
    lines = path.read_text(errors='replace').split('\n') if path.exists() else []
    return next((line.strip() for line in reversed(lines) if line.strip()), '')


def _clear():
    """Wipes the line of running experiments."""
    if sys.stderr.isatty():
        print('\r\033[K', end='', file=sys.stderr, flush=True)


def duration(seconds):
    """Seconds as h:mm:ss or m:ss."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f'{hours}:{minutes:02d}:{seconds:02d}' if hours else f'{minutes}:{seconds:02d}'
