"""The exception for anything that the user has to fix."""


class InputError(Exception):
    """An input cannot be used.

    The message is one sentence: what is wrong, in which file and line, and what to do.
    The command line prints it to stderr and exits with code 2; existing
    files are kept.
    """
