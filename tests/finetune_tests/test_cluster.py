"""Runs as jobs of Slurm, whose commands are stand-ins here; tools/slurm.py has a real one."""
import os
from pathlib import Path
import pickle
import signal
import subprocess
import sys

import pytest
import yaml

from conftest import fails, run
from finetune.experiments import cluster

pytest.importorskip('submitit')
# The arguments of each call go to a file; squeue prints a file, sbatch fails if there is one.
COMMANDS = {
    'squeue': 'case " $* " in *" --me "*) exit 1; esac; '       # as it was before 2020
              'cat "$SLURM/queue" 2>/dev/null || { echo "no controller" >&2; exit 1; }',
    'sbatch': '[ ! -e "$SLURM/refuse" ] || { echo "Invalid partition" >&2; exit 1; }\n'
              'n=$((7 + $(ls "$SLURM" | grep -c script))); cat "$1" > "$SLURM/script$n"; '
              'echo "Submitted batch job $n"',
    'srun': 'exit 0', 'scontrol': 'exit 0', 'sacct': 'exit 0'}
SLURM = '--cluster', 'slurm'


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """A folder with the stand-ins; Slurm's queue is empty."""
    folder = tmp_path / 'slurm'
    folder.mkdir()
    for name, script in COMMANDS.items():
        (folder / name).write_text(f'#!/bin/sh\n{script}\n')
        (folder / name).chmod(0o755)
    (folder / 'queue').write_text('')
    monkeypatch.setenv('SLURM', str(folder))
    monkeypatch.setenv('PATH', f'{folder}:{os.environ["PATH"]}')
    return folder


def test_runs_are_an_array_of_jobs(slurm, write_config, capsys):
    config = write_config()
    options = '--hours', 2, '--gpus', 1, '--cpus', 3, '--partition', 'long', '--gpu', 0
    assert run('train', config, '--seeds', 3, *SLURM, *options) == 0
    assert '3 runs are submitted, 0 were already in the queue' in capsys.readouterr().out
    script = (slurm / 'script7').read_text()
    for line in ('--array=0-2', '--time=120', '--gpus-per-node=1', '--cpus-per-task=3',
                 '--partition=long', '--requeue', '--signal=USR2@90'):
        assert f'#SBATCH {line}' in script
    jobs = yaml.safe_load(cluster.JOBS.read_text())
    assert jobs == {f'results/config/seed{i}': f'7_{i}' for i in range(3)}
    pickled, = cluster.FOLDER.glob('7_1_submitted.pkl')
    submitted = pickle.loads(pickled.read_bytes()).function
    assert submitted.command[1:] == ['-m', 'finetune', 'train', config, '--set', 'training.gpu=0',
                                     '--set', 'training.seed=1']
    assert submitted.checkpoint().function is submitted


def test_jobs_of_a_project(slurm, write_config, tmp_path, monkeypatch, capsys):
    """They start where they were submitted; the project's list of them holds from anywhere."""
    config = write_config()
    (tmp_path / 'elsewhere').mkdir()
    monkeypatch.chdir(tmp_path / 'elsewhere')
    project = '--project', '..'
    assert run('train', config, '--seeds', 1, *SLURM, *project) == 0
    assert 'python -m finetune status --project .. shows the runs' in capsys.readouterr().out
    pickled, = (tmp_path / cluster.FOLDER).glob('*_submitted.pkl')
    submitted = pickle.loads(pickled.read_bytes()).function
    assert submitted.command[4:7] == [config, *project]
    assert submitted.printed == str(tmp_path / 'results/config/seed0.txt')
    assert not any(Path.cwd().iterdir())
    jobs = yaml.safe_load((tmp_path / cluster.JOBS).read_text())
    assert list(jobs) == ['results/config/seed0']
    (slurm / 'queue').write_text(f'{jobs["results/config/seed0"]} PENDING\n')
    for folder, where in (tmp_path / 'elsewhere', project), (tmp_path, ()):
        monkeypatch.chdir(folder)
        assert run('status', *where) == 0
        assert 'results/config/seed0  job 7' in capsys.readouterr().out
        assert run('train', config, '--seeds', 1, *SLURM, *where) == 0
        assert '0 runs are submitted, 1 was already in the queue' in capsys.readouterr().out


def test_second_start_finds_what_is_there(slurm, write_config, copy_of, finished_run,
                                          drawn_birds, capsys):
    config = write_config(data={'root': str(drawn_birds)})
    copy_of(finished_run)
    assert run('train', config, '--seeds', 3, *SLURM) == 0
    out = capsys.readouterr().out
    assert '3 runs, 1 of them already finished' in out and '2 runs are submitted' in out
    (slurm / 'queue').write_text('7_0 RUNNING\n9_5 PENDING\n')
    assert run('train', config, '--seeds', 3, *SLURM) == 0
    assert '1 run is submitted, 1 was already in the queue' in capsys.readouterr().out
    (slurm / 'queue').write_text('7_0 RUNNING\n7 PENDING\n')
    cluster.JOBS.write_text('{results/config/seed1: "7_0", results/config/seed2: "7"}')
    assert run('train', config, '--seeds', 3, *SLURM) == 0
    assert '0 runs are submitted, 2 were' in capsys.readouterr().out
    assert len(list(slurm.glob('script*'))) == 2


def test_runs_are_submitted_behind_what_they_need(slurm, write_config):
    write_config('pretrain.yml', data={'parts': 'GLOBAL'}, model={'encoding': 'gap'})
    names = [write_config(f'{name}.yml', model={'pretrained': 'pretrain.yml'}) for name in 'ab']
    assert run('train', *names, '--seeds', 2, *SLURM) == 0
    jobs = yaml.safe_load(cluster.JOBS.read_text())
    # Job 7 pre-trains with both seeds, 8 and 9 are the arrays of the seeds.
    assert jobs == {'results/pretrain/seed0': '7_0', 'results/pretrain/seed1': '7_1',
                    'results/a/seed0': '8_0', 'results/b/seed0': '8_1',
                    'results/a/seed1': '9_0', 'results/b/seed1': '9_1'}
    assert 'dependency' not in (slurm / 'script7').read_text()
    for job, needed in (('8', '7_0'), ('9', '7_1')):
        script = (slurm / f'script{job}').read_text()
        assert f'#SBATCH --dependency=afterok:{needed}\n' in script
        assert '#SBATCH --kill-on-invalid-dep=yes\n' in script and '--requeue' in script
    (slurm / 'queue').write_text('7_1 RUNNING\n')       # the others were cancelled
    assert run('train', names[0], '--seed', 1, *SLURM) == 0
    assert '--dependency=afterok:7_1\n' in (slurm / 'script10').read_text()


def test_job_of_several_processes(slurm, write_config, tmp_path, monkeypatch, capsys):
    (slurm / 'mpiexec').write_text('#!/bin/sh\necho "$OMP_NUM_THREADS" "$@"\n')
    (slurm / 'mpiexec').chmod(0o755)
    assert run('train', write_config(), *SLURM, '--nodes', 2, '--gpus', 4, '--cpus', 3) == 0
    script = (slurm / 'script7').read_text()
    for line in '--nodes=2', '--gpus-per-node=4', '--cpus-per-task=12':
        assert f'#SBATCH {line}\n' in script
    job = cluster.Run(['finetune'], tmp_path / 'out.txt', cluster.Resources(gpus=4, nodes=2))
    monkeypatch.delenv('OMP_NUM_THREADS', raising=False)
    job()
    monkeypatch.setenv('SLURM_PROCID', '1')
    job()       # on another node, which waits for mpiexec's processes
    assert (tmp_path / 'out.txt').read_text() == '2 -n 8 finetune\n'
    (slurm / 'mpiexec').unlink()
    monkeypatch.setenv('PATH', str(slurm))
    assert 'needs mpiexec; pip install' in fails(capsys, 'train', write_config(), *SLURM,
                                                 '--nodes', 2)


def test_status_has_the_runs_in_the_queue(slurm, write_config, copy_of, finished_run, capsys,
                                              monkeypatch):
    copy_of(finished_run)
    cluster.JOBS.write_text('{results/config/seed0: "7_0", results/config/seed1: "7_1", '
                            'results/config/seed2: "7_2"}')
    (slurm / 'queue').write_text('7_1 PENDING\n7_0 RUNNING\n')
    assert run('status', 'results') == 0
    table = capsys.readouterr().out.splitlines()
    assert [line.split()[:4] for line in table[1:]] == [
        ['results/config/seed0', 'job', '7_0', 'running'],
        ['results/config/seed1', 'job', '7_1', 'pending']]
    (slurm / 'queue').write_text('\n7_1\n7_0 RUNNING\n \n')
    assert run('status', 'results') == 0
    assert capsys.readouterr().out == f'{table[0]}\n{table[1]}\n'
    (slurm / 'queue').unlink()      # Slurm is down
    assert run('status', 'results') == 0
    *others, problem = capsys.readouterr().out.splitlines()
    assert others[1].split()[:2] == ['results/config/seed0', 'finished']
    assert problem == 'jobs are unknown: Slurm does not answer (no controller); try again.'
    (slurm / 'squeue').unlink()     # elsewhere
    with monkeypatch.context() as patch:
        patch.setenv('PATH', str(slurm))
        assert run('status', 'results') == 0
    assert 'finished' in capsys.readouterr().out


def test_one_run_may_be_a_job_too(slurm, write_config):
    assert run('train', write_config(), *SLURM) == 0
    assert list(yaml.safe_load(cluster.JOBS.read_text())) == ['results/config/seed0']


def test_bad_clusters(slurm, write_config, capsys, monkeypatch):
    config = write_config()
    command = 'train', config, '--seeds', 2, *SLURM
    (slurm / 'refuse').touch()
    assert run(*command) == 2       # submitit prints what sbatch says, too
    assert capsys.readouterr().err.endswith(
        'finetune: Slurm refuses the jobs (Invalid partition); correct the resources.\n')
    assert not cluster.JOBS.exists()
    (slurm / 'refuse').unlink()
    (slurm / 'queue').unlink()
    assert 'Slurm does not answer (no controller)' in fails(capsys, *command)
    (slurm / 'queue').touch()
    for text in '[', '- 1', '{a: 1}':
        cluster.JOBS.write_text(text)
        assert 'results/jobs.yml: ' in fails(capsys, *command)
        assert cluster.JOBS.read_text() == text
    cluster.JOBS.unlink()
    assert '--hours is 0' in fails(capsys, *command, '--hours', 0)
    (slurm / 'squeue').unlink()
    monkeypatch.setenv('PATH', str(slurm))
    assert 'there is no squeue' in fails(capsys, *command)
    for name in 'sbatch', 'srun':
        (slurm / name).unlink()
    assert 'there is no sbatch' in fails(capsys, *command)
    monkeypatch.setitem(sys.modules, 'submitit', None)
    assert 'the package submitit is missing' in fails(capsys, *command)


def test_resources_are_for_jobs(write_config, capsys):
    for words in (('--hours', 2), ('--partition', 'long'), ('--gpus', 0)):
        assert f'{words[0]} is for Slurm jobs; give --cluster slurm, too' in fails(
            capsys, 'train', write_config(), *words)
    assert '--jobs is for runs on this machine' in fails(
        capsys, 'train', write_config(), *SLURM, '--jobs', 2)


def test_job_runs_its_command(tmp_path):
    printed = tmp_path / 'out.txt'
    cluster.Run([sys.executable, '-c', 'print("done")'], printed, cluster.Resources())()
    assert printed.read_text() == 'done\n'
    fails = [sys.executable, '-c', 'import sys; sys.exit(2)']
    with pytest.raises(RuntimeError, match='exit code 2; see .*out.txt'):
        cluster.Run(fails, printed, cluster.Resources())()


def test_warning_of_the_time_limit_does_not_end_the_run(tmp_path):
    """Slurm sends it to all processes of the job."""
    code = 'import os, signal; os.kill(os.getpid(), signal.SIGUSR2); print("still here")'
    cluster.Run([sys.executable, '-c', code], tmp_path / 'out.txt', cluster.Resources())()
    assert Path(tmp_path / 'out.txt').read_text() == 'still here\n'
    done = subprocess.run([sys.executable, '-c', code])
    assert done.returncode == -signal.SIGUSR2
