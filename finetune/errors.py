"""The exception for what the user has to mend."""


class InputError(Exception):
    """Something the user gave cannot be used.

    The message is one sentence: what is wrong, in which file and line, and what to do.
    The command line prints it to stderr and exits with code 2; nothing that was there before is
    lost.
    """
