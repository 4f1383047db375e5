"""Writes a data set in CUB-200-2011's layout."""
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
import shutil
from typing import Any, NamedTuple

import numpy
from PIL import Image
import yaml

from finetune.config.schema import check, fill
from finetune.errors import InputError
from finetune.files import locked
from finetune.progress import progress_bar


class AnnotatedImage(NamedTuple):
    """An image and its annotations."""

    image: Image.Image
    label: int
    train: bool
    points: numpy.ndarray       # (P, 2), (y, x) in pixels
    visible: numpy.ndarray      # (P,) bool
    bbox: tuple[float, float, float, float]     # (y_min, x_min, y_max, x_max)


def prepare(root: str | Path, name: str, drawing: Any, options: dict[str, Any],
            make: Callable[[Any], tuple[list[str], list[str], Iterable[AnnotatedImage], int]]
            ) -> None:
    """Writes a data set unless ``root`` holds it already.

    Args:
        root (str or pathlib.Path): Folder of the data set.
        name (str): Name of the data set.
        drawing: Dataclass of settings with their defaults.
        options (dict): Settings of ``data.drawing``.
        make (callable): ``make(drawing)`` returns the names of the classes (without numbers) and
            parts, an iterable of :class:`AnnotatedImage` in the order of their ids, and its length.

    """
    fill(drawing, options, 'data.drawing')
    check(drawing, 'data.drawing')
    root, origin = Path(root).absolute(), {'data set': name, 'version': 1, **asdict(drawing)}
    if _is_written(root, origin):
        return
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        with locked(root.with_name(f'.{root.name}.lock'), lambda: print(
                f'{root}: waiting for another process that draws it', flush=True)):
            if not _is_written(root, origin):
                _write(root, *make(drawing), origin)
    except OSError as error:
        raise InputError(f'{root}: cannot be written ({error.strerror or error}); make room '
                         'or set data.root to another folder.')


def _is_written(root, origin):
    if not root.exists():
        return False
    try:
        drawn_with = yaml.safe_load((root / 'origin.yml').read_text(encoding='utf-8'))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        raise InputError(f'{root}: exists, but was not drawn by this program; set data.root to '
                         'another folder or move this one away.')
    if drawn_with != origin:
        raise InputError(f'{root / "origin.yml"}: this data set was drawn with other options '
                         f'({drawn_with}); set data.root to another folder or move this one away.')
    return True


def _write(root, class_names, part_names, images, n_images, origin):
    """Writes all files into a temporary folder and renames it at the end."""
    unfinished = root.with_name(f'.{root.name}.unfinished')
    shutil.rmtree(unfinished, ignore_errors=True)       # of a process that was killed
    try:
        unfinished.mkdir()
        classes = [f'{i:03d}.{name}' for i, name in enumerate(class_names, 1)]
        _write_lines(unfinished / 'classes.txt', _numbered(classes))
        if part_names:
            (unfinished / 'parts').mkdir()
            _write_lines(unfinished / 'parts' / 'parts.txt', _numbered(part_names))
        _write_images(unfinished, classes, progress_bar(
            images, n_images, f'Drawing {n_images} images into {root}'))
        (unfinished / 'origin.yml').write_text(yaml.safe_dump(origin), encoding='utf-8')
        unfinished.rename(root)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _numbered(names):
    return [f'{i} {name}' for i, name in enumerate(names, 1)]


def _write_lines(path, lines):
    path.write_text(''.join(f'{line}\n' for line in lines), encoding='utf-8')


def _write_images(root, classes, images):
    names, labels, split, boxes, points = [], [], [], [], []
    for i, annotated in enumerate(images, 1):
        folder = classes[annotated.label]
        name = f'{folder}/{folder.split(".", 1)[1]}_{i:04d}.png'
        (root / 'images' / folder).mkdir(parents=True, exist_ok=True)
        annotated.image.save(root / 'images' / name)
        names.append(f'{i} {name}')
        labels.append(f'{i} {annotated.label + 1}')
        split.append(f'{i} {int(annotated.train)}')
        y_min, x_min, y_max, x_max = annotated.bbox
        boxes.append(f'{i} {x_min:.1f} {y_min:.1f} {x_max - x_min:.1f} {y_max - y_min:.1f}')
        points += _point_lines(i, annotated)
    _write_lines(root / 'images.txt', names)
    _write_lines(root / 'image_class_labels.txt', labels)
    _write_lines(root / 'train_test_split.txt', split)
    _write_lines(root / 'bounding_boxes.txt', boxes)
    if points:
        _write_lines(root / 'parts' / 'part_locs.txt', points)


def _point_lines(i, annotated):
    for part, ((y, x), visible) in enumerate(zip(annotated.points, annotated.visible), 1):
        yield f'{i} {part} {x:.1f} {y:.1f} 1' if visible else f'{i} {part} 0.0 0.0 0'
