"""Eight runs on a real Slurm: cancelled, over their limit of time, the controller killed.

    python tools/slurm.py       # as root, with Debian's slurm-wlm; about a quarter of an hour

Slurm runs in a folder of its own, as two nodes with a core each. Seven short runs need a
pre-training each; a long one is trained by both nodes together, and requeued. All have to end, each
once, with the results, bit for bit, of the same runs without Slurm. The exit code is 1 if something
is not so.
"""
import json
import os
from pathlib import Path
import shutil
import socket
import subprocess
import sys
import tempfile
import time

import numpy
import yaml

PROJECT = Path(__file__).resolve().parents[1]
CONF = """
ClusterName=test
SlurmctldHost={host}
SlurmUser=root
AuthType=auth/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
KillWait=5
NodeName=one NodeHostname={host} Port=17011 CPUs=1 State=UNKNOWN
NodeName=two NodeHostname={host} Port=17012 CPUs=1 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
SETTINGS = {
    'data': {'dataset': 'minibirds', 'root': 'data/few', 'parts': 'GT', 'missing': 'mask',
             'drawing': {'n_species': 4, 'n_train': 10, 'n_test': 4, 'size': 64},
             'input_size': 32, 'part_input_size': 32},
    'model': {'architecture': 'small_cnn', 'encoding': 'fve', 'n_components': 2},
    'training': {'epochs': 3, 'lr_epochs': [2], 'update_size': 8, 'batch_size': 8}}
EPOCHS = {'pretrain': 2, 'short': 3, 'long': 80}    # longer than a job before Slurm's warning
SHORT, LONG = (['train', f'configs/few/{name}.yml'] for name in ('short', 'long'))
SLURM = ['--cluster', 'slurm', '--hours', '.05', '--cpus', '1']
COMMANDS = [*SHORT, '--seeds', '7', *SLURM], [*LONG, *SLURM, '--nodes', '2']
SAVED_SECONDS = 10      # the controller saves its state every five
N_RUNS = 7 + 7 + 1


def say(*words):
    print(time.strftime('%H:%M:%S'), *words, flush=True)


def start_slurm(folder):
    for name in 'state', 'spool/one', 'spool/two':
        (folder / name).mkdir(parents=True)
    conf = folder / 'slurm.conf'
    conf.write_text(CONF.format(host=socket.gethostname(), folder=folder))
    os.environ['SLURM_CONF'] = str(conf)
    if subprocess.run(['pgrep', '-x', 'munged']).returncode:
        Path('/run/munge').mkdir(exist_ok=True)
        shutil.chown('/run/munge', 'munge')
        subprocess.run(['su', 'munge', '-s', '/bin/sh', '-c', 'munged'], check=True)
    for daemon in ['slurmctld'], ['slurmd', '-N', 'one'], ['slurmd', '-N', 'two']:
        subprocess.run(daemon, check=True)


def stop_slurm():
    subprocess.run(['scancel', '--user', 'root'])
    time.sleep(SAVED_SECONDS)
    for daemon in 'slurmd', 'slurmctld':
        subprocess.run(['pkill', '-9', '-x', daemon])


def project(folder):
    """A folder with the experiments."""
    (folder / 'configs/few').mkdir(parents=True)
    for name, epochs in EPOCHS.items():
        settings = {**SETTINGS, 'training': {**SETTINGS['training'], 'epochs': epochs}}
        if name == 'short':
            settings['model'] = {**SETTINGS['model'], 'pretrained': 'configs/few/pretrain.yml'}
        (folder / f'configs/few/{name}.yml').write_text(yaml.safe_dump(settings))
    return folder


def finetune(folder, *words, launcher=()):
    done = subprocess.run([*launcher, sys.executable, '-m', 'finetune', *words], cwd=folder,
                          text=True, capture_output=True, env={
                              **os.environ, 'PYTHONPATH': str(PROJECT), 'OMP_NUM_THREADS': '1'})
    if done.returncode:
        raise RuntimeError(done.stderr)
    return done.stdout


def queue():
    done = subprocess.run(['squeue', '--noheader', '--array', '--format=%i %T'], text=True,
                          capture_output=True)
    return dict(line.split() for line in done.stdout.splitlines())


def wait():
    time.sleep(3)
    while queue():
        time.sleep(2)


def on_slurm(folder):
    for words in (*COMMANDS, COMMANDS[0]):
        say(finetune(folder, *words).splitlines()[-1])
    jobs = list(queue())
    # Another one goes with the pre-training that it needs.
    for job in jobs[-1], next(job for job in jobs if job.endswith('_6')):
        subprocess.run(['scancel', job], check=True)
        say('cancelled', job)
    time.sleep(SAVED_SECONDS)
    subprocess.run(['pkill', '-9', '-x', 'slurmctld'], check=True)
    say('controller killed')
    time.sleep(2)
    subprocess.run(['slurmctld'], check=True)
    wait()
    say(finetune(folder, 'status', 'results'))
    for words in COMMANDS:      # what was cancelled
        say(finetune(folder, *words).splitlines()[-1])
    wait()


def check(here, there):
    """Messages on what differs between the runs of two folders."""
    models = sorted(here.glob('results/few/*/*/model.npz'))
    if len(models) != N_RUNS:
        yield f'{len(models)} of {N_RUNS} runs are finished'
    for path in models:
        name = path.relative_to(here)
        with numpy.load(path) as a, numpy.load(there / name) as b:
            if a.files != b.files or any(a[key].tobytes() != b[key].tobytes() for key in a.files):
                yield f'{name} differs'
        epochs = [entry['epoch'] for entry in json.loads((path.parent / 'log').read_text())]
        if epochs != [*range(1, len(epochs) + 1)]:
            yield f'{name}: epochs {epochs}'
        # A run trains what it needs if that is not there, as when Slurm forgot a dependency.
        n = sum(path.read_text().count(f'{name.parent}: test acc')
                for path in here.glob('results/few/*/*.txt'))
        if n != 1:
            yield f'{name}: {n} results'


def main():
    os.environ.pop('VIRTUAL_ENV', None)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        here, there = project(root / 'slurm'), project(root / 'local')
        (root / 'conf').mkdir()
        start_slurm(root / 'conf')
        try:
            wait()
            on_slurm(here)
        finally:
            stop_slurm()
        requeued = [path for path in here.glob('results/.jobs/*_log.*')
                    if 'requeue' in path.read_text().lower()]
        say(f'{len(requeued)} files of submitit tell of a requeue')
        finetune(there, *SHORT, '--seeds', '7', '--jobs', '2')
        finetune(there, *LONG, launcher=('mpiexec', '-n', '2'))
        problems = [*check(here, there), *([] if requeued else ['nothing was requeued'])]
    print('\n'.join(problems) or 'All runs ended, each once, as without Slurm.')
    return 1 if problems else 0


if __name__ == '__main__':
    sys.exit(main())
