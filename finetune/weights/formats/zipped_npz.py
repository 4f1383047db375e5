"""An .npz file within a zip file, as chainercv2 publishes its weights."""
from collections.abc import Iterable
import io
from pathlib import Path
import zipfile

import numpy

from finetune.weights.formats.numbers import max_size


def member_of(names: Iterable[str]) -> str:
    """The one .npz file among the files of an archive; empty: there are none or several."""
    found = [name for name in names if name.endswith('.npz')]
    return found[0] if len(found) == 1 else ''


def read(path: str | Path) -> dict[str, numpy.ndarray]:
    """Reads the arrays by name."""
    with zipfile.ZipFile(path) as archive:
        content = archive.read(member_of(archive.namelist()))
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        size = sum(info.file_size for info in archive.infolist())
    if size > max_size(len(content)):
        raise ValueError(f'its {len(content)} bytes become {size}')
    with numpy.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return dict(arrays)
