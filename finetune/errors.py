"""The exception for anything that the user has to fix."""

MAX_SHOWN = 100     # characters of a text in a message


class InputError(Exception):
    """An input cannot be used.

    The message is one sentence: what is wrong, in which file and line, and what to do. The command
    line prints it to stderr and exits with code 2; existing files are kept. Any function that reads
    a file, a setting or an option may raise it; docstrings mention it only to add details.
    """


def shortened(text):
    """A text for a message in one line, truncated if it is long."""
    text = ' '.join(text.split())
    return text if len(text) <= MAX_SHOWN else f'{text[:MAX_SHOWN]}...'
