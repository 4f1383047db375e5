"""Makes SIGTERM and SIGHUP end a run like Ctrl-C, and ensures that no interrupt is lost."""
import contextlib
import signal
import sys
import threading
import zipfile

SIGNALS = signal.SIGTERM, signal.SIGHUP
AGAIN_SECONDS = .05


@contextlib.contextmanager
def as_exceptions():
    """Context in which :data:`SIGNALS` raise a ``KeyboardInterrupt`` with the signal's number.

    Ignored signals, such as SIGHUP under ``nohup``, stay ignored.
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
    """The exit code that shells expect: 128 plus the number of the signal."""
    return 128 + (interrupt.args[0] if interrupt.args else signal.SIGINT)


def _raise(number, frame):
    raise KeyboardInterrupt(number)


def _raise_again(lost):
    """Raises an interrupt again later: Python drops it in destructors and weak references."""
    interrupt = KeyboardInterrupt(*lost.exc_value.args)

    def raise_it(number, frame):
        raise interrupt

    signal.signal(signal.SIGALRM, raise_it)
    signal.setitimer(signal.ITIMER_REAL, AGAIN_SECONDS)
