"""Draws the images of minibirds and writes them as a data set."""
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
from PIL import Image

from finetune.config.schema import setting
from finetune.data import cub_writer
from finetune.data.minibirds.bird import draw_bird, draw_plumage, draw_pose, leg_lines, make_frames
from finetune.data.minibirds.bird import PART_NAMES
from finetune.data.minibirds.canvas import Canvas, SUPERSAMPLING
from finetune.data.minibirds.scene import draw_background, draw_clutter, draw_occluders, draw_perch
from finetune.data.minibirds.scene import light
from finetune.data.minibirds.species import make_species, Species


@dataclass
class Drawing:
    """Options of ``data.drawing``."""

    n_species: int = setting(20, 'number of classes', between=(2, 200))
    n_train: int = setting(30, 'training images per species', between=(1, 10000))
    n_test: int = setting(20, 'test images per species', between=(1, 10000))
    size: int = setting(128, 'width and height of the images in pixels', between=(32, 1024))
    difficulty: float = setting(.5, 'amount of clutter, occlusion, noise, and faded and worn '
                                'details', between=(0, 1))
    pretraining: bool = setting(False, 'other species, for pre-training; no species is in both '
                                'sets')
    seed: int = setting(0, 'random seed of species and images', between=(0, 2 ** 31 - 1))


def prepare(root: str | Path, **options: Any) -> None:
    """Draws the data set unless ``root`` exists.

    Species differ only in small details of single body parts; sisters share all but two or three.
    Body colours, pose, scene, light and occluders are random in every image. ``**options`` are the
    fields of :class:`Drawing`.
    """
    cub_writer.prepare(root, 'minibirds', Drawing(), options, _make)


def _make(drawing):
    species = make_species(drawing.n_species, drawing.pretraining, drawing.seed)
    n_images = len(species) * (drawing.n_train + drawing.n_test)
    return [kind.name for kind in species], PART_NAMES, _images(species, drawing), n_images


def _images(species, drawing):
    for label, kind in enumerate(species):
        for i in range(drawing.n_train + drawing.n_test):
            random = numpy.random.RandomState(
                [drawing.seed, int(drawing.pretraining), label, i])
            image, points, visible, bbox, _ = draw_image(
                random, kind, drawing.size, drawing.difficulty)
            yield cub_writer.AnnotatedImage(
                image, label, i < drawing.n_train, points, visible, bbox)


def draw_image(random: numpy.random.RandomState, species: Species, size: int, difficulty: float
               ) -> tuple[Image.Image, numpy.ndarray, numpy.ndarray, tuple, Image.Image]:
    """Draws one individual in an image of ``size`` x ``size`` pixels.

    The species does not affect ``random``: two species drawn from equal states differ only in
    their details.

    Returns:
        tuple: Image (PIL), points (15, 2) as (y, x) in pixels, visible (15,) bool,
        box (y_min, x_min, y_max, x_max), owner map (PIL, canvas resolution).

    """
    canvas_size = size * SUPERSAMPLING
    canvas = Canvas(draw_background(random, canvas_size, difficulty))
    draw_clutter(random, canvas, difficulty)
    pose = draw_pose(random, canvas_size)
    plumage = draw_plumage(random, species, difficulty)
    if not pose.flying:
        draw_perch(random, canvas, leg_lines(pose, make_frames(pose))[:, 1])
    points, owners = draw_bird(canvas, pose, plumage)
    x_min, y_min, x_max, y_max = canvas.owner.getbbox()
    draw_occluders(random, canvas, points, difficulty)
    visible = _visible(canvas.owner, points, owners)
    bbox = tuple(edge / SUPERSAMPLING for edge in (y_min, x_min, y_max, x_max))
    image = light(random, canvas, difficulty)
    return image, points / SUPERSAMPLING, visible, bbox, canvas.owner


def _visible(owner_map, points, owners):
    """Whether the pixel of each point belongs to the point's part."""
    owner_map = numpy.asarray(owner_map)
    pixels = numpy.floor(points).astype(int)
    inside = ((pixels >= 0) & (pixels < owner_map.shape)).all(axis=1)
    seen = owner_map[tuple(pixels.clip(0, len(owner_map) - 1).T)]
    return inside & [owner in expected for owner, expected in zip(seen, owners)]
