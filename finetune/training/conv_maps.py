"""ConvMaps of frozen CNNs, kept on disk."""
from __future__ import annotations

from collections.abc import Iterator, Sequence
import contextlib
import csv
import hashlib
import json
from pathlib import Path
import shutil
import sys
from typing import Any
import zlib

import numpy
import yaml

from finetune.data.views import Key
from finetune.errors import InputError
from finetune.files import atomic, locked, named, read_csv, write_csv, write_text

DTYPE = numpy.dtype(numpy.float16)
COLUMNS = (*Key._fields, 'crc32')
SPARE = 1.02        # disk space that must be free, as a multiple of what is written


class Store:

    """ConvMaps (C, h, w), float16, of inputs of one CNN by their :class:`Key`.

    .. csv-table::
        :header: file, content

        ``origin.yml``, what determines all ConvMaps: the CNN and how its inputs are made
        ``<i>.npy``, "some ConvMaps, (n, C, h, w)"
        ``<i>.csv``, "the keys of their inputs and their CRC-32; it is written after the ConvMaps"

    The folder's name is a hash of the origin. Images are identified by their contents, so that
    different data sets, splits and folds share a folder, and a changed image is another one. The
    folder may be removed at any time.

    Args:
        folder (pathlib.Path): Folder of all stores.
        origin (dict): Content of ``origin.yml``.

    """

    def __init__(self, folder: Path, origin: dict[str, Any]):
        text = json.dumps(origin, sort_keys=True)
        self.folder = folder / hashlib.sha256(text.encode()).hexdigest()[:12]
        self.origin = origin
        self._shards: list[numpy.ndarray] = []
        self._rows: dict[Key, tuple[int, int]] = {}     # shard, row

    def __contains__(self, key: Key) -> bool:
        return key in self._rows

    def __getitem__(self, key: Key) -> numpy.ndarray:
        shard, row = self._rows[key]
        return self._shards[shard][row]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape (C, h, w) of the ConvMaps; zeros if there are none."""
        return self._shards[0].shape[1:] if self._shards else (0, 0, 0)

    @contextlib.contextmanager
    def opened(self) -> Iterator[None]:
        """Context of one process at a time, which may add ConvMaps; reads what others added."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with locked(self.folder / '.lock', lambda: print(
                f'{self.folder}: waiting for another process that computes ConvMaps', flush=True)):
            write_text(self.folder / 'origin.yml', yaml.safe_dump(self.origin, sort_keys=False))
            while self._path('.csv').exists():
                self._append(*self._read())
            yield

    def _path(self, suffix):
        """A file of the next shard."""
        return self.folder / f'{len(self._shards):05d}{suffix}'

    def _read(self):
        path = self._path('.npy')
        try:
            header, *rows = read_csv(self._path('.csv'))
            shard = numpy.load(path, mmap_mode='r', allow_pickle=False)
            shape = (self._shards or [shard])[0].shape[1:]
            if (tuple(header) != COLUMNS or {len(row) for row in rows} != {len(header)}
                    or shard.dtype != DTYPE or shard.shape != (len(rows), *shape)
                    or [row[-1] for row in rows] != list(map(_crc, shard))):
                raise ValueError('it does not fit its list')
        except (OSError, ValueError, EOFError, csv.Error) as error:
            raise InputError(f'{path}: is not a complete file of ConvMaps ({error}); remove the '
                             f'folder {self.folder} to compute them again.')
        return shard, [Key(*map(sys.intern, row[:-1])) for row in rows]

    def _append(self, shard, keys):
        n = len(self._shards)
        self._shards.append(numpy.asarray(shard))       # rows of a memmap are slow
        self._rows.update((key, (n, row)) for row, key in enumerate(keys))

    def add(self, keys: Sequence[Key], conv_map: numpy.ndarray) -> None:
        """Writes the ConvMaps (n, C, h, w), float16, of some inputs."""
        if not numpy.isfinite(conv_map).all():
            raise InputError(f'{self.folder}: a ConvMap has values that are not finite in float16; '
                             'set training.views to 0.')
        with atomic(self._path('.npy')) as unfinished:
            numpy.save(unfinished, conv_map)
        with atomic(self._path('.csv')) as unfinished:
            write_csv(unfinished, [COLUMNS, *((*key, _crc(one)) for key, one in
                                              zip(keys, conv_map))])
        self._append(numpy.load(self._path('.npy'), mmap_mode='r'), keys)

    def require_space(self, n_bytes: int) -> None:
        """Raises an error unless so many bytes can be written."""
        with named(self.folder):
            free = shutil.disk_usage(self.folder).free
        if free < SPARE * n_bytes:
            raise InputError(f'{self.folder}: ConvMaps need {size_of(n_bytes)}, but only '
                             f'{size_of(free)} are free; make room, give another folder for the '
                             'results, or set training.views to 0.')


def _crc(conv_map):
    return f'{zlib.crc32(numpy.ascontiguousarray(conv_map)):08x}'


def size_of(n_bytes: float) -> str:
    """A number of bytes in MB or GB."""
    return f'{n_bytes / 1e9:.1f} GB' if n_bytes >= 1e9 else f'{n_bytes / 1e6:.1f} MB'
