"""Files of weights in the formats of other programs, read without these programs.

The content of a file tells its format, not its name. Nothing in a file is executed, and a reader
needs memory for what the file contains, not for what it claims.
"""


class OtherContent(Exception):
    """A file is complete, but has no weights that can be read; the message says what to do."""
