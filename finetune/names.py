"""Names of files, classes and parts, which may have any bytes and any of Unicode's forms; numbers
of them."""
import os
from pathlib import PurePath
import unicodedata
from urllib.parse import quote

ESCAPED = {'Cc', 'Cs', 'Zl', 'Zp'}      # control characters, bytes that are not UTF-8, line ends
BIDIRECTIONAL = {*map(chr, range(0x202A, 0x202F)), *map(chr, range(0x2066, 0x206A))}


def composed(name: str) -> str:
    """The name in Unicode's form NFC, in which equal names are equal texts.

    macOS writes the two characters ``e`` and an accent where others write one. Bytes that are not
    UTF-8, which Python represents by surrogates, stay as they are.
    """
    return unicodedata.normalize('NFC', name)


def encoded(path: PurePath) -> str:
    """A path as a text without blanks, equal for equal names: URL-encoded, with slashes."""
    return quote(os.fsencode(composed(path.as_posix())))


def shown(name: str) -> str:
    r"""The name in a line of text that any terminal and any font can show: ``caf\xe9``."""
    return ''.join(_escape(c) if unicodedata.category(c) in ESCAPED or c in BIDIRECTIONAL else c
                   for c in name)


def counted(n: int, one: str, many: str) -> str:
    """A number and what there is of it: ``1 picture is dark``, ``2 pictures are dark``."""
    return f'{n} {one if n == 1 else many}'


def _escape(character):
    if '\udc80' <= character <= '\udcff':       # a byte
        return f'\\x{ord(character) - 0xdc00:02x}'
    return character.encode('unicode_escape').decode()
