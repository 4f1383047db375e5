"""The surroundings of a bird of minibirds: background, clutter, perch, occluders, light."""
import numpy
from PIL import Image, ImageDraw, ImageFilter

from finetune.data.minibirds.canvas import Canvas, ellipse, IN_FRONT, leaf, mix, SCENE, stroke
from finetune.data.minibirds.canvas import SUPERSAMPLING
from finetune.data.minibirds.species import COLOURS

GREENS = [(58, 92, 40), (96, 128, 52), (128, 150, 70), (70, 84, 58), (150, 140, 60)]
BROWNS = [(92, 70, 50), (120, 98, 74), (70, 56, 46), (140, 120, 96), (110, 104, 98)]
SKIES = [(150, 185, 220), (200, 210, 220), (120, 150, 190), (225, 215, 200), (170, 175, 180)]
WATERS = [(70, 100, 120), (95, 125, 130), (60, 80, 90), (120, 140, 150), (80, 110, 100)]
SCENES = {'leaves': GREENS, 'sky': SKIES, 'water': WATERS, 'reeds': GREENS + BROWNS,
          'bark': BROWNS}


def draw_background(random: numpy.random.RandomState, canvas_size: int, difficulty: float
                    ) -> Image.Image:
    """Draws an RGB image of an out-of-focus scene with blossoms in the colours of details."""
    scene = list(SCENES)[random.randint(len(SCENES))]
    colours = SCENES[scene]
    size = canvas_size // SUPERSAMPLING
    image = Image.new('RGB', (size, size), _pick(random, colours))
    draw = ImageDraw.Draw(image)
    for _ in range(40):
        x, y = random.uniform(-.1, 1.1, size=2) * size
        radius = random.uniform(.04, .16) * size
        x_stretch, y_stretch = {'leaves': (1, .6), 'sky': (2, .7), 'water': (3, .15),
                                'reeds': (.15, 4), 'bark': (.3, 2)}[scene]
        outline = ellipse(x, y, radius * x_stretch, radius * y_stretch,
                          random.uniform(0, 3.1) if scene == 'leaves' else .1, 14)
        draw.polygon(outline.ravel().tolist(), fill=_pick(random, colours))
    blossoms = [COLOURS[name] for name in random.permutation(list(COLOURS))[:4]]
    for _ in range(random.poisson(random.exponential(14 * difficulty))):
        x, y = random.uniform(0, 1, size=2) * size
        radius = random.uniform(.02, .07) * size
        draw.polygon(ellipse(x, y, radius, radius, n=14).ravel().tolist(),
                     fill=blossoms[random.randint(4)])
    blur = {'leaves': .015, 'sky': .06}.get(scene, .012) * size * random.uniform(.6, 1.8)
    image = image.filter(ImageFilter.GaussianBlur(blur))
    return image.resize((canvas_size, canvas_size), Image.BILINEAR)


def _pick(random, colours):
    share = random.uniform(-.25, .25)
    colour = colours[random.randint(len(colours))]
    return mix(colour, (255, 255, 255) if share > 0 else (0, 0, 0), abs(share))


def draw_clutter(random: numpy.random.RandomState, canvas: Canvas, difficulty: float) -> None:
    """Draws twigs, leaves, and berries in the colours of details, behind the bird."""
    size = canvas.image.size[0]
    for _ in range(random.poisson(3 * difficulty)):
        start, end = random.uniform(-.1, 1.1, size=(2, 2)) * size
        canvas.paint(stroke(start, end, *random.uniform(.008, .03, size=2) * size),
                     _pick(random, BROWNS), SCENE)
    for _ in range(random.poisson(10 * difficulty)):
        base, length = random.uniform(0, 1, size=2) * size, random.uniform(.08, .2) * size
        _draw_leaf(random, canvas, base, length, SCENE)
    colours = [COLOURS[name] for name in random.permutation(list(COLOURS))[:3]]
    for _ in range(random.poisson(random.exponential(30 * difficulty))):
        x, y = random.uniform(0, 1, size=2) * size
        colour = colours[random.randint(3)]
        radius, stretch = random.uniform(.015, .05) * size, random.uniform(.4, 1)
        canvas.paint(ellipse(x, y, radius, radius * stretch, random.uniform(0, 3.1), 14),
                     mix(colour, (90, 90, 90), random.uniform(0, .3)), SCENE)


def _draw_leaf(random, canvas, base, length, owner):
    angle, width = random.uniform(0, 2 * numpy.pi), length * random.uniform(.4, .7)
    colour = _pick(random, GREENS)
    canvas.paint(leaf(base, angle, length, width), colour, owner)
    tip = base + .9 * length * numpy.array([numpy.cos(angle), numpy.sin(angle)])
    canvas.paint(stroke(base, tip, length * .05, length * .01),
                 mix(colour, (210, 220, 150), .35), owner)


def draw_perch(random: numpy.random.RandomState, canvas: Canvas, ankles: numpy.ndarray) -> None:
    """Draws a branch under both feet."""
    size = canvas.image.size[0]
    width = random.uniform(.03, .06) * size
    x, y = ankles.mean(axis=0) + (0, width * .45)
    slope = (ankles[1, 1] - ankles[0, 1]) / (ankles[1, 0] - ankles[0, 0])
    start, end = ((edge, y + slope * (edge - x)) for edge in (-.1 * size, 1.1 * size))
    colour = _pick(random, BROWNS)
    canvas.paint(stroke(start, end, width, width * random.uniform(.6, 1.2)), colour, SCENE)
    start, end = ((edge, edge_y + width * .3) for edge, edge_y in (start, end))
    canvas.paint(stroke(start, end, width * .3), mix(colour, (20, 20, 20), .4), SCENE)


def draw_occluders(random: numpy.random.RandomState, canvas: Canvas, points: numpy.ndarray,
                   difficulty: float) -> None:
    """Draws leaves and a few twigs in front of the bird, near part points (P, 2) of (y, x)."""
    size = canvas.image.size[0]
    for _ in range(random.poisson(3 * difficulty)):
        y, x = points[random.randint(len(points))] + random.normal(scale=.05 * size, size=2)
        if random.uniform() < .2:
            across = random.normal(size=2)
            across *= .35 * size / numpy.hypot(*across)
            canvas.paint(stroke((x - across[0], y - across[1]), (x + across[0], y + across[1]),
                                *random.uniform(.02, .05, size=2) * size),
                         _pick(random, BROWNS), IN_FRONT)
        else:
            length = random.uniform(.12, .26) * size
            base = numpy.array([x, y]) + random.uniform(-.4, .4, size=2) * length
            _draw_leaf(random, canvas, base, length, IN_FRONT)


def light(random: numpy.random.RandomState, canvas: Canvas, difficulty: float) -> Image.Image:
    """Shades the bird, lights the scene, adds noise; returns an RGB image of the final size."""
    img = numpy.asarray(canvas.image.reduce(SUPERSAMPLING), dtype=numpy.float32)
    size = len(img)
    mask = canvas.owner.point([255 * (SCENE < owner < IN_FRONT) for owner in range(256)])
    mask = mask.reduce(SUPERSAMPLING)
    blurred = numpy.asarray(mask.filter(ImageFilter.GaussianBlur(size / 25)), numpy.float32) / 255
    step, angle = max(size // 25, 1), random.uniform(-2.2, -.9)
    dy, dx = int(round(step * numpy.sin(angle))), int(round(step * numpy.cos(angle)))
    slope = numpy.roll(blurred, (-dy, -dx), (0, 1)) - numpy.roll(blurred, (dy, dx), (0, 1))
    shade = 1 - .32 * slope * (numpy.asarray(mask, numpy.float32) / 255)
    y, x = numpy.mgrid[-1:1:size * 1j, -1:1:size * 1j].astype(numpy.float32)
    strength = .5 + difficulty
    y_slant, x_slant = (random.uniform(-.12, .12, size=2) * strength).tolist()
    gain = random.uniform(.85, 1.15) * (1 + random.uniform(-.08, .08, size=3) * strength)
    shade = shade * (1 + y_slant * y + x_slant * x)
    noise = random.normal(scale=4 * difficulty, size=img.shape)
    img = img * shade[:, :, None] * gain.astype(numpy.float32) + noise
    return Image.fromarray(img.clip(0, 255).astype(numpy.uint8))
