"""What README, pages and configs say can be typed is something that can be typed."""
from glob import glob
from pathlib import Path
import re
import shlex

import pytest

from finetune import cli
from finetune import config, shared_options, suite

PROJECT = Path(__file__).resolve().parents[1]
README = (PROJECT / 'README.md').read_text(encoding='utf-8')
PAGES = [README, *(path.read_text(encoding='utf-8') for path in PROJECT.glob('docs/**/*.md'))]
COMMANDS = [line.strip() for page in PAGES for line in page.splitlines()
            if line.startswith('    ')]
COMMANDS += re.findall(r'^# Run: +(.*)$', '\n'.join(
    path.read_text(encoding='utf-8') for path in sorted((PROJECT / 'configs').rglob('*.yml'))),
    re.MULTILINE)
STARTS = {('./train.sh',): ['train'], ('./visualize.sh',): ['visualize', 'em'],
          ('python', '-m', 'finetune'): []}


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


OURS = [command for command in COMMANDS if split(command)[1] is not None]


def test_readme_has_commands():
    assert len(OURS) > 5


@pytest.mark.parametrize('command', OURS)
def test_command_parses_and_its_config_loads(command, monkeypatch):
    monkeypatch.chdir(PROJECT)
    variables, arguments = split(command)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    options = cli.parser().parse_args([one for word in arguments for one in glob(word) or [word]])
    paths = []
    if options.command == 'train':
        paths = suite.expand(options.configs) or [None]
    elif options.command in ('doctor', 'conventional', 'runtime'):
        paths = [options.config]
    for options.config in paths:
        config.load(*shared_options.settings(options))


@pytest.mark.parametrize('code', re.findall(r'```python\n(.*?)```', README, re.DOTALL))
def test_python_runs(code):
    exec(compile(code, 'README.md', 'exec'), {})


@pytest.mark.parametrize('path', sorted(
    set(re.findall(r'`((?:fve_layer|finetune|tests|docs|configs)/[\w/.]*)`', README))
    | set(re.findall(r'\]\(((?!http)[^)#]+)\)', README))))
def test_file_that_is_named_exists(path):
    assert (PROJECT / path).exists()
