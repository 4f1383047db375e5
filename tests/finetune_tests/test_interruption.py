"""Signals as exceptions, wherever they arrive."""
import os
import signal
import sys
import time
import weakref

import pytest

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


def test_handlers_are_as_before():
    numbers = *interruption.SIGNALS, signal.SIGALRM
    before, hook = list(map(signal.getsignal, numbers)), sys.unraisablehook
    with interruption.as_exceptions():
        assert signal.getsignal(signal.SIGTERM) != before[0]
    assert list(map(signal.getsignal, numbers)) == before and sys.unraisablehook == hook
