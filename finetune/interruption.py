"""SIGTERM and SIGHUP, which end a run as Ctrl-C does."""
import contextlib
import signal
import threading

SIGNALS = signal.SIGTERM, signal.SIGHUP


@contextlib.contextmanager
def as_exceptions():
    """Context in which these signals raise a ``KeyboardInterrupt`` with their number.

    One that is ignored, as SIGHUP is under ``nohup``, stays so.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number, handler in before.items():
        if handler is signal.SIG_DFL:
            signal.signal(number, _raise)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def exit_code(interrupt):
    """What the shell expects: 128 and the number of the signal."""
    return 128 + (interrupt.args[0] if interrupt.args else signal.SIGINT)


def _raise(number, frame):
    raise KeyboardInterrupt(number)
