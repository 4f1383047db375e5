"""A progress bar for long loops."""
import sys

WIDTH = 30
CLEAR_LINE = '\r\033[K'     # of a terminal


def progress_bar(items, n_items, title):
    """Yields items; prints a title and, on a terminal, a progress bar.

    Args:
        items (iterable): Items to yield.
        n_items (int): Their number.
        title (str): What is being done.

    """
    on_terminal = sys.stderr.isatty()
    print(title, file=sys.stderr)
    for i, item in enumerate(items, 1):
        yield item
        if on_terminal:
            bar = ('#' * (WIDTH * i // n_items)).ljust(WIDTH, '.')
            print(f'\r[{bar}] {i} / {n_items}', end='', file=sys.stderr, flush=True)
    if on_terminal:
        print(file=sys.stderr)


def say(text):
    """Prints a line among those of a progress bar; on a terminal it takes the bar's place."""
    print(CLEAR_LINE * sys.stderr.isatty() + text, file=sys.stderr, flush=True)
