"""Runs a suite on this machine: one process per run, several at a time."""
import os
import subprocess
import sys
import time

from finetune.errors import InputError
from finetune.progress import clear_line, duration

THREADS = 'OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'MKL_NUM_THREADS'
POLL_SECONDS = .2
PATIENCE_SECONDS = 20       # for an interrupted run to end


class Queue:

    """Jobs of a suite, which are waiting, running or done."""

    def __init__(self, jobs, done, n_jobs):
        self.waiting = list(jobs)
        self.n_jobs = n_jobs
        self.n_all = len(jobs)
        self.running = {}           # Job: (process, start time)
        self.failures = []          # (Job, reason)
        self.seconds = {}           # times of finished runs, by name of the experiment
        self.n_done = 0
        for job in done:
            log = _log(job)
            if log:
                self.seconds.setdefault(job.name, []).append(log[-1]['elapsed_time'])

    def work(self):
        """Runs jobs until none is left."""
        while self.waiting or self.running:
            for job in self._ready()[:self.n_jobs - len(self.running)]:
                self.waiting.remove(job)
                self._start(job)
            time.sleep(POLL_SECONDS)
            for job, (process, _) in list(self.running.items()):
                if process.poll() is not None:
                    self._end(job)
            self._show_running()

    def _ready(self):
        """Returns waiting jobs that can start; jobs whose prerequisites failed also fail."""
        failed = {str(job.folder): job for job, _ in self.failures}
        for job in [job for job in self.waiting if not failed.keys().isdisjoint(job.needs)]:
            self.waiting.remove(job)
            cause = failed[next(name for name in job.needs if name in failed)]
            self._fail(job, f'it needs {cause}, which failed')
        unfinished = {str(job.folder) for job in [*self.waiting, *self.running]}
        return [job for job in self.waiting if unfinished.isdisjoint(job.needs)]

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
        command, environment = job.command, dict(os.environ)
        if self.n_jobs > 1:
            n_threads = max(len(os.sched_getaffinity(0)) // self.n_jobs, 1)
            environment.update({name: str(n_threads) for name in THREADS})
            if n_threads == 1 and not any('training.workers' in word for word in command):
                command += ['--set', 'training.workers=0']      # there is no core for loading
        with open(job.folder.printed, 'a') as output:
            process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT,
                                       stdin=subprocess.DEVNULL, env=environment)
        self.running[job] = process, time.monotonic()

    def _end(self, job):
        process, started = self.running.pop(job)
        seconds = time.monotonic() - started
        if process.returncode:
            last_line = _last_line(job.folder.printed)
            self._fail(job, f'exit code {process.returncode}: {last_line}')
            return
        self.seconds.setdefault(job.name, []).append(seconds)
        headline = job.folder.read_config().headline
        accuracy = job.folder.read_evaluation()['accuracy'][headline]
        self._tell(job, f'{100 * accuracy:.1f} % in {duration(seconds)}')

    def _fail(self, job, reason):
        self.failures.append((job, reason))
        self._tell(job, f'FAILED: {reason}')

    def _tell(self, job, outcome):
        """Prints the outcome of a job and the remaining time."""
        self.n_done += 1
        left = self._seconds_left()
        estimate = '' if left is None else f'; about {duration(left)} left'
        clear_line()
        print(f'{self.n_done:4d} of {self.n_all}   {job}: {outcome}{estimate}', flush=True)

    def _seconds_left(self):
        """Estimates the remaining time by the mean time of each experiment, or of all."""
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
            clear_line()
            progress = ', '.join(f'{job} ({_progress(job)})' for job in self.running)
            print(f'running: {progress}', end='', file=sys.stderr, flush=True)


def _progress(job):
    """Progress of a running job according to its log."""
    log = _log(job)
    return f'epoch {log[-1]["epoch"]} of {job.n_epochs}' if log else 'working'


def _log(job):
    """Reads a job's log; a damaged log counts as empty, as the job rewrites it."""
    try:
        return job.folder.read_log()
    except InputError:
        return []


def _last_line(path):
    lines = path.read_text(errors='replace').split('\n') if path.exists() else []
    return next((line.strip() for line in reversed(lines) if line.strip()), '')
