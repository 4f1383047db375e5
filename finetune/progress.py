"""What is printed: a progress bar for long loops, times, tables."""
import math
import shutil
import sys
import time

WIDTH = 30


def progress_bar(items, n_items, title):
    """Yields ``items``; prints a title and, on a terminal, a progress bar."""
    on_terminal, start = sys.stderr.isatty(), time.monotonic()
    print(title, file=sys.stderr)
    for i, item in enumerate(items, 1):
        yield item
        if on_terminal:
            left = (time.monotonic() - start) * (n_items - i) / i
            draw_bar(i / n_items, f'{i} / {n_items}, {duration(left)} left')
    if on_terminal:
        print(file=sys.stderr)


def draw_bar(share, text):
    """Draws a bar, of which a share in [0, 1] is done, and a text into a line of the terminal."""
    line = f'[{("#" * int(WIDTH * share)).ljust(WIDTH, ".")}] {text}'
    width = shutil.get_terminal_size().columns - 1      # a longer line could not be drawn over
    print(f'\r{line[:width]}\033[K', end='', file=sys.stderr, flush=True)


def duration(seconds):
    """Seconds as h:mm:ss or m:ss."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f'{hours}:{minutes:02d}:{seconds:02d}' if hours else f'{minutes}:{seconds:02d}'


def in_words(seconds):
    """Seconds as ``'20 seconds'``, ``'3 minutes'`` or ``'2.5 hours'``."""
    for unit, size in ('hour', 3600), ('minute', 60):
        n = seconds / size
        if n >= 1.5:
            return f'{n:.0f} {unit}s' if n >= 9.5 or unit == 'minute' else f'{n:.1f} {unit}s'
    return f'{max(math.ceil(seconds), 1)} second{"s" * (seconds > 1)}'


def aligned(rows):
    """Lines of a table of texts, whose columns are as wide as they need."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    return ['  '.join(map(str.ljust, row, widths)).rstrip() for row in rows]


def clear_line():
    """Clears the progress bar of a terminal, and what is below it."""
    if sys.stderr.isatty():
        print('\r\033[J', end='', file=sys.stderr, flush=True)


def say(text):
    """Prints a line; on a terminal it replaces the progress bar."""
    clear_line()
    print(text, file=sys.stderr, flush=True)
