"""SIGTERM and SIGHUP, which end a run as Ctrl-C does, and none of the three gets lost."""
import contextlib
import signal
import sys
import threading
import zipfile

SIGNALS = signal.SIGTERM, signal.SIGHUP
AGAIN_SECONDS = .05


@contextlib.contextmanager
def as_exceptions():
    """Context in which these signals raise a ``KeyboardInterrupt`` with their number.

    One that is ignored, as SIGHUP is under ``nohup``, stays so.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (*SIGNALS, signal.SIGALRM)}
    hook = sys.unraisablehook

    def raise_or_tell(lost):
        if isinstance(lost.exc_value, KeyboardInterrupt):
            _raise_again(lost)
        elif lost.object is not zipfile.ZipFile.__del__:    # NumPy 1.26 leaves it to close arrays'
            hook(lost)

    sys.unraisablehook = raise_or_tell
    for number in SIGNALS:
        if before[number] is signal.SIG_DFL:
            signal.signal(number, _raise)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler)


def exit_code(interrupt):
    """What the shell expects: 128 and the number of the signal."""
    return 128 + (interrupt.args[0] if interrupt.args else signal.SIGINT)


def _raise(number, frame):
    raise KeyboardInterrupt(number)


def _raise_again(lost):
    """Raises an interrupt a moment later: Python drops it in destructors and weak references."""
    interrupt = KeyboardInterrupt(*lost.exc_value.args)

    def raise_it(number, frame):
        raise interrupt

    signal.signal(signal.SIGALRM, raise_it)
    signal.setitimer(signal.ITIMER_REAL, AGAIN_SECONDS)
