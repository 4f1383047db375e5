"""The settings and images from which boxes were made, and what of them has changed since."""
from dataclasses import asdict
import hashlib
from pathlib import Path

import yaml

from finetune.config.schema import read_yaml
from finetune.config.settings import Config, Detector as Settings
from finetune.data.fingerprint import Fingerprint
from finetune.data.layout import ORIGIN
from finetune.data.records import DataSet
from finetune.errors import InputError
from finetune.files import write_text
from finetune.parts.cs_parts.detector import Transform

IMAGES = 'images.csv'
SETTINGS = {'transform.fit': 'data.box_frame_fit', 'transform.interpolation': 'data.interpolation'}


def of(config: Config, data_set: DataSet) -> dict:
    """Settings and input that determine the boxes."""
    images = ''.join(f'{split} {label} {image_id}\n' for split in ('train', 'test') for
                     label, image_id in zip(*(getattr(getattr(data_set, split), column)
                                              for column in ('labels', 'image_ids'))))
    return {'detector': asdict(config.detector), 'transform': transform_of(config)._asdict(),
            'images': sha256(images.encode())}


def transform_of(config: Config) -> Transform:
    """How pictures become inputs of the detector."""
    return Transform(config.data.box_frame_fit, config.data.interpolation)


def sha256(content: bytes) -> str:
    """Hash in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def write(folder: Path, origin: dict, data_set: DataSet) -> None:
    """Writes the origin of boxes, and the list of their images, into a folder."""
    Fingerprint.of(data_set).write(folder / IMAGES)
    write_text(folder / ORIGIN, yaml.safe_dump(origin, sort_keys=False))


def check(folder: Path, origin: dict, data_set: DataSet, in_results: bool = False) -> None:
    """Raises an error unless a folder of boxes has this origin, or does not tell it.

    A part of ``origin`` that is left out is not compared. If the boxes are ``in_results``, others
    have other places.
    """
    how = difference(folder, origin, data_set)
    if how:
        to_do = 'give another --output' if in_results else 'set data.boxes to another folder'
        raise InputError(f'{folder}: parts were found {how}; {to_do}, or move this folder away to '
                         'find them again.')


def difference(folder: Path, origin: dict, data_set: DataSet) -> str:
    """Says how the origin of a folder of boxes differs from another one; empty: it does not."""
    if not (folder / ORIGIN).exists():
        return ''
    there = read_yaml(folder / ORIGIN)
    before = {'detector': {**asdict(Settings()), **(there.get('detector') or {})},
              'transform': {**Transform()._asdict(), **(there.get('transform') or {})}}
    changed = [f'{section}.{name}' for section in before for name, value in origin.get(
        section, {}).items() if before[section].get(name) != value]
    if changed:
        names = ', '.join(SETTINGS.get(name, name) for name in changed)
        return f'with a different {names}'
    if (folder / IMAGES).exists():
        changes = Fingerprint.read(folder / IMAGES).changes(Fingerprint.of(data_set))
        if changes:
            return f'before the data set changed: {changes}'
    if any(there.get(name) != value for name, value in origin.items() if name not in before):
        return 'in other images or by another CNN'
    return ''
