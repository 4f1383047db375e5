"""Reads text files with one item per line; errors name the line."""
from collections.abc import Callable, Container, Iterator, Mapping, Sequence, Sized
import csv
import io
from math import isfinite
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from finetune.errors import InputError, shortened
from finetune.files import read_text, require_file
from finetune.names import composed


Value = TypeVar('Value')


def name(text: str) -> str:
    """The rest of a line: a name of a class or part."""
    return composed(text)


def path_inside(text: str) -> str:
    """The rest of a line: a path inside the folder that it is relative to."""
    path = PurePosixPath(text)
    if path.is_absolute() or '..' in path.parts:
        raise ValueError(text)
    return text


def flag(text: str) -> bool:
    """0 or 1."""
    if text not in ('0', '1'):
        raise ValueError(text)
    return text == '1'


def number(text: str) -> float:
    """A finite number, in plain digits."""
    value = float(text)
    if not isfinite(value) or '_' in text or not text.isascii():
        raise ValueError(text)
    return value


EXPECTED = {flag: '0 or 1', number: 'a number', int: 'a whole number',
            path_inside: 'a path in the folder of images'}
WITH_BLANKS = name, path_inside     # only as the last column
SEPARATORS = {';': 'semicolons', '\t': 'tabs'}


def rows(path: Path, types: Sequence[Callable[[str], Any]]) -> Iterator[tuple[int, list]]:
    """Yields the line number and the converted columns of every line that is not blank."""
    maxsplit = len(types) - 1 if types[-1] in WITH_BLANKS else -1
    for line_no, line in enumerate(_lines(path), 1):
        columns = line.strip().split(None, maxsplit)
        if len(columns) != len(types):
            if not columns:
                continue
            raise InputError(f'{path}, line {line_no}: has {len(columns)} columns instead of '
                             f'{len(types)}; correct the line.')
        try:
            values = [kind(column) for kind, column in zip(types, columns)]
        except ValueError:
            for kind, column in zip(types, columns):
                convert(path, line_no, kind, column)    # the error names the column's text
        yield line_no, values


def n_columns(path: Path) -> int:
    """Number of columns of the first line that is not blank; 0 for an empty file."""
    return next((len(line.split()) for line in _lines(path) if line.strip()), 0)


def named_rows(path: Path, columns: list[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yields line number and texts by column of the lines of a tab-separated file with a header.

    ``columns`` are required.
    """
    header = None
    for line_no, line in enumerate(_lines(path), 1):
        fields = line.split('\t')
        if header is None:
            header = [field.strip() for field in fields]
            missing = [column for column in columns if column not in header]
            if missing:
                raise InputError(f'{path}, line {line_no}: there is no column {missing[0]}; get '
                                 'the file as distributed, with tabs and its header line.')
        elif ''.join(fields).strip():
            if len(fields) != len(header):
                raise InputError(f'{path}, line {line_no}: has {len(fields)} columns instead of '
                                 f'{len(header)}; correct the line.')
            yield line_no, dict(zip(header, map(str.strip, fields)))
    if header is None:
        raise InputError(f'{path}: is empty; get the complete file.')


def csv_rows(path: Path, required: tuple[str, ...], columns: str
             ) -> Iterator[tuple[int, dict[str, str]]]:
    """Yields line number and texts by column of the lines of a CSV file with a header.

    ``columns`` lists all columns for messages.
    """
    text = read_text(path)
    if '\0' in text:
        raise InputError(f'{path}: is not text (it has a zero byte); save it as CSV in UTF-8.')
    reader = csv.reader(io.StringIO(text, newline=''), strict=True)
    try:
        header = [name.strip() for name in next(filter(None, reader), [])]
        _check_header(path, reader.line_num, header, required, columns)
        for row in filter(None, reader):
            if len(row) != len(header):
                raise InputError(f'{path}, line {reader.line_num}: has a different number of '
                                 'columns than the header; correct the line.')
            yield reader.line_num, dict(zip(header, map(str.strip, row)))
    except csv.Error as error:
        raise InputError(f'{path}, line {reader.line_num}: is not CSV ({error}); correct the '
                         'quotation marks of this line or one before it.')


def _check_header(path, line_no, header, required, columns):
    if not header:
        raise InputError(f'{path}: is empty; give a header with the columns {columns}.')
    where = f'{path}, line {line_no}'
    missing = [name for name in required if name not in header]
    if missing:
        for separator, kind in SEPARATORS.items():
            if len(header) < len(required) <= len(','.join(header).split(separator)):
                raise InputError(f'{where}: the columns are separated by {kind} instead of '
                                 'commas; save the file with commas.')
        raise InputError(f'{where}: there is no column {missing[0]}, only '
                         f'{shortened(", ".join(header))}; give a header with the columns '
                         f'{columns}.')
    for name in filter(None, header):
        if header.count(name) > 1:
            raise InputError(f'{where}: there are two columns {name}; remove one of them.')


def _lines(path):
    """Yields the lines of a file, of which there may be millions."""
    require_file(path)
    try:
        with open(path, encoding='utf-8-sig', errors='surrogateescape') as file:
            for line_no, line in enumerate(file, 1):
                try:
                    line.encode('utf-8')        # fails for surrogates
                except UnicodeEncodeError:
                    raise InputError(f'{path}, line {line_no}: is not UTF-8; save the file as '
                                     'UTF-8.')
                yield line
    except FileNotFoundError:       # readers.read reports where to get the file
        raise
    except OSError as error:
        raise InputError(f'{path}: cannot be read ({error.strerror}); make it readable.')


def convert(path: Path, line_no: int, kind: Callable[[str], Value], text: str) -> Value:
    """Converts a column's text by ``int``, :func:`number`, :func:`flag`, ..."""
    try:
        return kind(text)
    except ValueError:
        raise InputError(f'{path}, line {line_no}: {text!r} is not {EXPECTED[kind]}; '
                         'correct the line.')


def read_table(path: Path, kind: Callable[[str], Value]) -> dict[str, Value]:
    """Reads lines ``<id> <value>`` into a dict in the file's order."""
    table = {}
    for line_no, (key, value) in rows(path, (str, kind)):
        if key in table:
            raise InputError(f'{path}, line {line_no}: id {key} is listed twice; '
                             'remove one of the lines.')
        table[key] = value
    if not table:
        raise InputError(f'{path}: is empty; get the complete file.')
    return table


def read_in_order(path: Path, kind: Callable[[str], Value], images: Sized) -> list[Value]:
    """Reads lines ``<value>``, one per image in the order of images.txt."""
    values = [value for _, (value,) in rows(path, (kind,))]
    if len(values) != len(images):
        raise InputError(f'{path}: has {len(values)} lines, but images.txt has {len(images)}; get '
                         'both files from the same place.')
    return values


def read_per_image(path: Path, kind: Callable[[str], Value], index: Mapping[str, int]
                   ) -> list[Value]:
    """Reads lines ``<image id> <value>``, one per image, into a list in the order of ``index``."""
    values: list[Any] = [None] * len(index)
    for line_no, (image_id, value) in rows(path, (str, kind)):
        check_id(path, line_no, image_id, index)
        if values[index[image_id]] is not None:
            raise InputError(f'{path}, line {line_no}: image {image_id} is listed twice; '
                             'remove one of the lines.')
        values[index[image_id]] = value
    for image_id, i in index.items():
        if values[i] is None:
            raise InputError(f'{path}: image {image_id} of images.txt is missing; '
                             'add a line for it.')
    return values


def check_id(path: Path, line_no: int, image_id: str, images: Container[str]) -> None:
    """Raises an error if images.txt does not list an image."""
    if image_id not in images:
        raise InputError(f'{path}, line {line_no}: there is no image {image_id} in images.txt; '
                         'remove the line or add the image.')
