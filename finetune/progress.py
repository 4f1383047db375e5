"""A counter for long loops, for whoever is looking."""
import sys


def counted(items, n_items, title):
    """Passes items on; prints one line, and on a terminal how many of them are done.

    Args:
        items (iterable): What to pass on.
        n_items (int): Their number.
        title (str): What is being done.

    """
    on_terminal = sys.stderr.isatty()
    print(title, file=sys.stderr)
    for i, item in enumerate(items, 1):
        yield item
        if on_terminal:
            print(f'\r{i} / {n_items}', end='', file=sys.stderr, flush=True)
    if on_terminal:
        print(file=sys.stderr)
