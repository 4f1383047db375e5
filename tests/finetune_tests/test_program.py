"""The program as a process: streams that are closed or not read, encodings, odd variables."""
import errno
import os
from pathlib import Path
import subprocess
import sys

import numpy
import pytest

from conftest import fails, run

LATIN = os.fsdecode(b'caf\xe9')
ASCII = {'LC_ALL': 'C', 'PYTHONUTF8': '0', 'PYTHONCOERCECLOCALE': '0', 'PYTHONIOENCODING': 'ascii'}
ODD = {'CHAINER_DTYPE': 'mixed16', 'PYTHONWARNINGS': 'error',
       'MPLBACKEND': 'module://not_installed', 'HOME': '/proc/nowhere', 'COLUMNS': '0'}


def process(*arguments, variables=None, stdout=subprocess.PIPE, **options):
    return subprocess.run(
        [sys.executable, '-m', 'finetune', *map(str, arguments)], stdout=stdout,
        stderr=subprocess.PIPE, env={**os.environ, **(variables or {})}, **options)


def test_reader_that_has_gone_is_no_error(tmp_path):
    reader, writer = os.pipe()
    os.close(reader)
    done = process('status', '.', stdout=writer, cwd=tmp_path)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b'')


def test_full_disk_behind_the_output_is_one_sentence():
    with open('/dev/full', 'w') as full:
        done = process('doctor', stdout=full)
    assert done.returncode == 2
    assert done.stderr.startswith(b'finetune: No space left on device; fix this') and (
        done.stderr.count(b'\n') == 1)


def test_odd_variables_and_closed_streams_change_nothing(write_config, drawn_birds, finished_run):
    config = write_config(data={'root': str(drawn_birds)})
    done = process('train', config, variables=ODD,
                   preexec_fn=lambda: [os.close(number) for number in (0, 1, 2)])
    assert done.returncode == 0
    trained, expected = (numpy.load(Path(folder, 'model.npz'))
                         for folder in ('results/config/seed0', finished_run))
    assert trained.files == expected.files
    assert all((trained[name] == expected[name]).all() for name in expected.files)


def test_names_are_shown_in_any_encoding(tmp_path):
    for name in 'käfer', LATIN:
        (tmp_path / name).mkdir()
    done = process('status', 'käfer', cwd=tmp_path, variables=ASCII)
    assert done.stdout == b'k\\xe4fer: contains no runs.\n'
    done = process('status', LATIN, cwd=tmp_path, variables={'PYTHONIOENCODING': 'utf-8:strict'})
    assert done.stdout == b'caf\\udce9: contains no runs.\n'


def test_warnings_do_not_end_a_run(tmp_path):
    code = ('import os, sys, warnings; from finetune.__main__ import main; '
            'sys.argv[1:] = ["status", "."]; main(); warnings.warn("of a library"); '
            'print(os.environ["PYTHONWARNINGS"])')
    done = subprocess.run(
        [sys.executable, '-W', 'error', '-c', code], cwd=tmp_path, capture_output=True,
        env={**os.environ, 'PYTHONWARNINGS': 'error,ignore::UserWarning'})
    assert (done.returncode, done.stderr) == (0, b'')
    assert done.stdout.endswith(b'\nignore::UserWarning\n')


def test_variable_with_which_nothing_can_be_imported_is_named():
    done = process('status', variables={'NUMPY_MADVISE_HUGEPAGE': 'odd'}, text=True)
    assert (done.returncode, done.stderr) == (
        2, 'finetune: NumPy cannot be imported with NUMPY_MADVISE_HUGEPAGE=odd; unset the '
           'variable.\n')


def test_variable_of_chainer_that_it_would_refuse_does_not_reach_it(tmp_path):
    done = process('status', '.', cwd=tmp_path, variables={'CHAINER_DTYPE': 'odd'})
    assert (done.returncode, done.stdout) == (0, b'.: contains no runs.\n')


def test_error_is_a_line_whatever_names_are_in_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert 'a\\nb/caf\\xe9: there is no such folder' in fails(capsys, 'status', f'a\nb/{LATIN}')


@pytest.mark.parametrize('number', [errno.EACCES, errno.EROFS])
def test_evaluation_that_cannot_be_saved_says_where_it_can(number, finished_run, copy_of, tmp_path,
                                                          monkeypatch, capsys):
    def refuse(path, *options):
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.chdir(tmp_path)
    folder = copy_of(finished_run)
    with monkeypatch.context() as patch:
        patch.setattr('finetune.runs.folder.locked', refuse)
        assert fails(capsys, 'evaluate', folder) == (
            f'finetune: {folder}: the results cannot be written there ({os.strerror(number)}); '
            'give another folder with --output.\n')
        assert run('evaluate', folder, '--output', 'out') == 0
