"""What README, pages and configs say can be typed or opened is something that can be."""
from glob import glob
from pathlib import Path
import re
import shlex

import pytest

from finetune import cli
from finetune.commands import options as shared
from finetune.config import catalogue
from finetune.config.config import read_config
from finetune.experiments import plan

PROJECT = Path(__file__).resolve().parents[1]
PAGES = [PROJECT / 'README.md', PROJECT / 'CONTRIBUTING.md', *sorted(PROJECT.glob('docs/**/*.md'))]
TEXTS = {path.relative_to(PROJECT).as_posix(): path.read_text(encoding='utf-8') for path in PAGES}

COMMANDS = [line.strip() for text in TEXTS.values() for line in text.splitlines()
            if line.startswith('    ')]
COMMANDS += re.findall(r'^# Run: +(.*)$', '\n'.join(
    path.read_text(encoding='utf-8') for path in sorted((PROJECT / 'configs').rglob('*.yml'))),
    re.MULTILINE)
STARTS = {('./train.sh',): ['train'], ('./visualize.sh',): ['visualize', 'em'],
          ('python', '-m', 'finetune'): []}

# A path in backticks: below one of these folders, or a file of the project's root.
NAMED = re.compile(r'`((?:\./)?(?:(?:fve_layer|finetune|tests|docs|configs)/[\w./*-]*'
                   r'|[\w.-]+\.(?:sh|yml|toml|cff|md)))`')
IN_RESULTS = {'config.yml', 'environment.yml', 'evaluation.yml', 'report.md', 'origin.yml',
              'names.yml', 'model_card.md'}
LINK = re.compile(r'\]\(([^)\s]+)\)')


def split(command):
    """Environment variables and words of the first command that our command line gets."""
    words = shlex.split(command, comments=True)
    variables = {}
    while words and re.fullmatch(r'[A-Z_]+=.*', words[0]):
        name, _, value = words.pop(0).partition('=')
        variables[name] = value
    for start, prefix in STARTS.items():
        if tuple(words[:len(start)]) == start:
            return variables, prefix + words[len(start):]
    return variables, None


def is_ours(line):
    try:
        return split(line)[1] is not None
    except ValueError:      # not a command at all
        return False


OURS = sorted(set(filter(is_ours, COMMANDS)))


def named_paths():
    """Paths in backticks: relative to the root of the project."""
    return {(page, path) for page, text in TEXTS.items() for path in NAMED.findall(text)
            if path not in IN_RESULTS}


def local_links():
    """Links, relative to their page: page, path from the root, heading."""
    for page, text in TEXTS.items():
        for target in LINK.findall(text):
            if not re.match(r'\w+:', target):
                path, _, heading = target.partition('#')
                yield page, (PROJECT / page).parent / path if path else PROJECT / page, heading


def headings(text):
    """The anchors that GitHub and the site give to a page's headings."""
    return {re.sub(r'[^\w -]', '', heading.lower()).replace(' ', '-')
            for heading in re.findall(r'^#+ (.*)$', text, re.MULTILINE)}


def test_pages_have_commands():
    assert len(OURS) > 20


@pytest.mark.parametrize('command', OURS)
def test_command_parses_and_its_config_loads(command, monkeypatch):
    monkeypatch.chdir(PROJECT)
    monkeypatch.setattr('finetune.weights.pretrained.read_weights', lambda path: {})     # LOAD's
    variables, arguments = split(command)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv('PMI_SIZE', variables.get('N_MPI', '1'))     # as train.sh's mpiexec does
    options = cli.parser().parse_args([path for word in arguments for path in glob(word) or [word]])
    if options.command not in ('train', 'doctor', 'runtime'):
        return
    paths = options.configs if options.command == 'train' else [options.config]
    if paths in (['PHOTOS'], ['photos']):      # the user's
        paths = ['configs/photos/no_parts.yml']
    for options.config in plan.expand(filter(None, paths)) or [None]:
        read_config(*shared.settings(options))


@pytest.mark.parametrize('page, code', [
    (page, code) for page, text in TEXTS.items()
    for code in re.findall(r'```python\n(.*?)```', text, re.DOTALL)
    if 'onnxruntime' not in code])      # test_export.py runs that, with a model
def test_python_runs(page, code):
    for module, package in (('chainermn', 'mpi4py'), ('torch', 'torch')):
        if module in code:
            pytest.importorskip(package)
    exec(compile(code, page, 'exec'), {})


@pytest.mark.parametrize('page, path', sorted(named_paths()))
def test_file_that_is_named_exists(page, path):
    assert list(PROJECT.glob(path.removeprefix('./').rstrip('/'))), f'{page} names {path}'


def test_map_names_every_room():
    rooms = {path.parent.name for path in PROJECT.glob('finetune/*/__init__.py')}
    assert rooms <= set(re.findall(r'`finetune/(\w+)/', TEXTS['CONTRIBUTING.md']))


@pytest.mark.parametrize('page, path, heading', [
    pytest.param(page, path, heading, id=f'{page}-{path.name}#{heading}')
    for page, path, heading in sorted(set(local_links()))])
def test_link_leads_somewhere(page, path, heading):
    assert path.exists(), f'{page} links to {path}'
    if heading:
        assert heading in headings(path.read_text(encoding='utf-8'))


@pytest.mark.parametrize('source', [
    catalogue.ANNOTATIONS, *(row.source for row in catalogue.WEIGHTS.values()),
    *(row.source for row in catalogue.DATA_SETS.values() if row.source)])
def test_page_of_data_has_every_address_that_the_program_names(source):
    assert source.address in TEXTS['docs/data.md']
