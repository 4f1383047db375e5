"""Signals as exceptions, wherever they arrive."""
import os
import signal
import sys
import time
import weakref
import zipfile

import pytest

from finetune import cli
from finetune.commands import interruption


class Thing:
    """Something that weak references refer to."""


def interrupted_in_a_callback(number):
    """A signal arrives in the callback of a weak reference, where Python drops exceptions."""
    thing = Thing()
    reference = weakref.ref(thing, lambda _: os.kill(os.getpid(), number))
    del thing
    assert reference() is None
    for _ in range(100):
        time.sleep(.05)


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_no_signal_is_lost(number, capsys):
    usual = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
    handler = signal.signal(number, usual)      # else it may be ignored, as under nohup
    try:
        with pytest.raises(KeyboardInterrupt) as raised:
            with interruption.as_exceptions():
                started = time.monotonic()
                interrupted_in_a_callback(number)
    finally:
        signal.signal(number, handler)
    assert interruption.exit_code(raised.value) == 128 + number
    assert time.monotonic() - started < 3
    assert capsys.readouterr().err == ''


def test_what_else_destructors_raise_is_told_as_before(monkeypatch):
    told = []
    monkeypatch.setattr(sys, 'unraisablehook', told.append)
    with interruption.as_exceptions():
        thing = Thing()
        reference = weakref.ref(thing, lambda _: 1 / 0)
        del thing
    assert reference() is None and [lost.exc_type for lost in told] == [ZeroDivisionError]


def test_file_of_arrays_that_is_left_unfinished_is_not_told(tmp_path, monkeypatch):
    """As NumPy 1.26 leaves one if a signal arrives while it writes."""
    told = []
    monkeypatch.setattr(sys, 'unraisablehook', told.append)

    def leave_unfinished(name):
        with open(tmp_path / name, 'wb') as file:
            archive = zipfile.ZipFile(file, 'w')
            archive.writestr('x.npy', '')
        del archive

    def interrupted(arguments):
        with open(tmp_path / 'second.npz', 'wb') as file:
            archive = zipfile.ZipFile(file, 'w')
            archive.writestr('x.npy', '')
            raise KeyboardInterrupt

    leave_unfinished('first.npz')
    assert len(told) == 1
    monkeypatch.setattr(cli, '_run', interrupted)
    assert cli.main([]) == 130
    assert len(told) == 1


def test_handlers_are_as_before():
    numbers = *interruption.SIGNALS, signal.SIGALRM
    before, hook = list(map(signal.getsignal, numbers)), sys.unraisablehook
    with interruption.as_exceptions():
        assert signal.getsignal(signal.SIGTERM) != before[0]
    assert list(map(signal.getsignal, numbers)) == before and sys.unraisablehook == hook
