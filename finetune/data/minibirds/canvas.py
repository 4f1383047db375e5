"""A canvas that records the owner of every pixel, and shapes to paint on it."""
from __future__ import annotations

from collections.abc import Container

import numpy
from numpy.typing import ArrayLike
from PIL import Image, ImageChops, ImageDraw

SUPERSAMPLING = 3       # canvas pixels per image pixel

Colour = tuple[int, ...]        # RGB

# Owners of a pixel.
SCENE, BODY, HEAD, BEAK, EYE, WING, FAR_WING, TAIL, LEG, FAR_LEG, IN_FRONT = range(11)


class Canvas:
    """RGB image and owner map of the same size, painted together."""

    def __init__(self, image: Image.Image):
        self.image = image
        self.owner = Image.new('L', image.size, SCENE)
        self._draw = ImageDraw.Draw(image)
        self._draw_owner = ImageDraw.Draw(self.owner)

    def paint(self, outline: numpy.ndarray, colour: Colour, owner: int) -> None:
        """Fills a polygon (n, 2) of (x, y)."""
        outline = outline.ravel().tolist()
        self._draw.polygon(outline, fill=colour)
        self._draw_owner.polygon(outline, fill=owner)

    def paint_on(self, outline: numpy.ndarray, colour: Colour, owners: Container[int]) -> None:
        """Fills the pixels of a polygon that belong to the given owners."""
        low = numpy.floor(outline.min(axis=0)).clip(0, self.image.size).astype(int).tolist()
        high = numpy.ceil(outline.max(axis=0) + 1).clip(0, self.image.size).astype(int).tolist()
        if low[0] >= high[0] or low[1] >= high[1]:
            return
        mask = Image.new('L', (high[0] - low[0], high[1] - low[1]))
        ImageDraw.Draw(mask).polygon((outline - low).ravel().tolist(), fill=255)
        table = [255 * (owner in owners) for owner in range(256)]
        owned = self.owner.crop((*low, *high)).point(table)
        self.image.paste(colour, tuple(low), ImageChops.darker(mask, owned))


class Frame:
    """A coordinate system on the canvas: origin (2,) and axes (2, 2), one axis per row."""

    def __init__(self, origin: ArrayLike, axes: ArrayLike):
        self.origin = numpy.asarray(origin, dtype=float)
        self.axes = numpy.asarray(axes, dtype=float)

    def __call__(self, points: ArrayLike) -> numpy.ndarray:
        return self.origin + numpy.asarray(points, dtype=float) @ self.axes

    def sub(self, origin: ArrayLike, angle: float = 0.0, scale: ArrayLike = (1.0, 1.0)) -> Frame:
        """A frame relative to this one; angles increase from the first axis to the second."""
        cos, sin = numpy.cos(angle), numpy.sin(angle)
        axes = numpy.array([[cos, sin], [-sin, cos]]) * numpy.reshape(scale, (2, 1))
        return Frame(self(origin), axes @ self.axes)


def ellipse(x: float, y: float, x_radius: float, y_radius: float, angle: float = 0.0, n: int = 28
            ) -> numpy.ndarray:
    """Outline (n, 2) of an ellipse."""
    t = numpy.arange(n) * (2 * numpy.pi / n)
    u, v = x_radius * numpy.cos(t), y_radius * numpy.sin(t)
    cos, sin = numpy.cos(angle), numpy.sin(angle)
    return numpy.stack([x + u * cos - v * sin, y + u * sin + v * cos], axis=1)


def smooth(corners: ArrayLike, n: int = 6) -> numpy.ndarray:
    """Closed Catmull-Rom curve through corners (m, 2): outline (m * n, 2)."""
    p1 = numpy.asarray(corners, dtype=float)[:, None]
    p0, p2, p3 = (numpy.roll(p1, shift, axis=0) for shift in (1, -1, -2))
    t = (numpy.arange(n) / n)[None, :, None]
    curve = (2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t ** 2
             + (3 * p1 - p0 - 3 * p2 + p3) * t ** 3) / 2
    return curve.reshape(-1, 2)


def stroke(start: ArrayLike, end: ArrayLike, start_width: float, end_width: float | None = None
           ) -> numpy.ndarray:
    """Outline (4, 2) of a line that may taper."""
    start, end = numpy.asarray(start, dtype=float), numpy.asarray(end, dtype=float)
    along = end - start
    across = numpy.array([-along[1], along[0]]) / max(numpy.hypot(*along), 1e-9) / 2
    end_width = start_width if end_width is None else end_width
    return numpy.array([start + across * start_width, end + across * end_width,
                        end - across * end_width, start - across * start_width])


def leaf(base: ArrayLike, angle: float, length: float, width: float) -> numpy.ndarray:
    """Outline (n, 2) of a leaf that starts at ``base``."""
    shape = smooth([(0, 0), (.3, .5), (.65, .42), (1, 0), (.65, -.42), (.3, -.5)])
    return Frame(base, numpy.eye(2)).sub((0, 0), angle, (length, width))(shape)


def mix(colour: Colour, other: Colour, share: float) -> Colour:
    """Mixes a colour with a share of another colour."""
    return tuple(int(round(a + (b - a) * share)) for a, b in zip(colour, other))
