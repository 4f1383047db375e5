"""Draws one bird of minibirds on a canvas."""
from typing import Any, NamedTuple

import numpy

from finetune.data.minibirds.canvas import BEAK, BODY, Canvas, Colour, ellipse, EYE, FAR_LEG
from finetune.data.minibirds.canvas import FAR_WING, Frame, HEAD, LEG, mix, smooth, stroke, TAIL
from finetune.data.minibirds.canvas import WING
from finetune.data.minibirds.species import COLOURS, PATTERNS, Species

TRUNK = (BODY, HEAD)
BEAKS = {
    'cone': [(.7, -.38), (1.55, .12), (.72, .42)],
    'needle': [(.78, -.16), (2.1, .1), (.8, .24)],
    'hook': [(.68, -.4), (1.3, -.28), (1.62, .12), (1.56, .5), (1.28, .2), (.74, .36)]}
WING_SHAPE = smooth([(-.04, -.1), (.2, -.24), (.55, -.22), (1, .0), (.6, .17), (.25, .22)])
TAIL_SHAPE = numpy.array([(0, -.14), (1, -.22), (1.04, 0), (1, .22), (0, .14)])

# Frame, owners of the pixels and outlines of each detail except beak, leg and crest.
PATCHES = {
    ('crown', 'cap'): ('head', (HEAD,), [ellipse(-.1, -.78, .86, .44)]),
    ('forehead', 'patch'): ('head', (HEAD,), [ellipse(.74, -.42, .34, .4)]),
    ('eye', 'ring'): ('head', (HEAD,), [ellipse(.25, -.12, .4, .4)]),
    ('eye', 'brow'): ('head', (HEAD,), [ellipse(.1, -.4, .62, .16, -.12)]),
    ('eye', 'mask'): ('head', (HEAD,), [ellipse(.2, -.06, .85, .24)]),
    ('nape', 'patch'): ('head', TRUNK, [ellipse(-.82, .12, .36, .62, .1)]),
    ('throat', 'bib'): ('head', TRUNK, [ellipse(.42, .86, .56, .4, -.3)]),
    ('breast', 'spots'): ('body', (BODY,), [
        ellipse(x, y, .085, .085) for x, y in
        [(.7, -.02), (.86, .12), (.68, .2), (.5, .3), (.78, .34), (.56, .48), (.9, -.1)]]),
    ('breast', 'band'): ('body', (BODY,), [smooth(
        [(1.05, -.2), (.72, .1), (.36, .62), (.55, .75), (.86, .3), (1.15, -.1)])]),
    ('belly', 'patch'): ('body', (BODY,), [ellipse(-.02, .52, .52, .3)]),
    ('belly', 'bars'): ('body', (BODY,), [
        stroke((x, .3), (x - .08, .8), .1) for x in (-.4, -.2, 0, .2, .4)]),
    ('back', 'patch'): ('body', (BODY,), [ellipse(-.2, -.5, .56, .26, .12)]),
    ('back', 'streaks'): ('body', (BODY,), [
        stroke((x + .1, -.75), (x - .12, -.26), .11) for x in (-.62, -.38, -.14, .1)]),
    ('wing', 'bar'): ('wing', (WING,), [stroke((.48, -.4), (.38, .4), .15)]),
    ('wing', 'bars'): ('wing', (WING,), [
        stroke((.36, -.4), (.26, .4), .1), stroke((.6, -.4), (.5, .4), .1)]),
    ('wing', 'patch'): ('wing', (WING,), [ellipse(.42, .0, .2, .14)]),
    ('tail', 'tip'): ('tail', (TAIL,), [stroke((.66, 0), (1.1, 0), .6)]),
    ('tail', 'band'): ('tail', (TAIL,), [stroke((.34, 0), (.64, 0), .6)])}

# Part points in the order of CUB-200-2011: name, frame, (x, y) or None if it depends on the pose,
# owners of the pixel if the part is visible.
PARTS = [
    ('back', 'body', (-.2, -.47), (BODY,)), ('beak', 'head', (1.05, .06), (BEAK,)),
    ('belly', 'body', (-.0, .47), (BODY,)), ('breast', 'body', (.7, .22), (BODY,)),
    ('crown', 'head', (-.05, -.76), (HEAD,)), ('forehead', 'head', (.7, -.4), (HEAD,)),
    ('left eye', 'head', (.25, -.12), (EYE,)), ('left leg', 'leg', None, (LEG,)),
    ('left wing', 'wing', (.44, .0), (WING,)), ('nape', 'head', (-.76, .12), TRUNK),
    ('right eye', 'head', (.25, -.12), (EYE,)), ('right leg', 'leg', None, (LEG,)),
    ('right wing', 'wing', (.44, .0), (WING,)), ('tail', 'tail', (.52, 0), (TAIL,)),
    ('throat', 'head', (.42, .74), TRUNK)]
PART_NAMES = [part[0] for part in PARTS]


class Pose(NamedTuple):
    """Lengths in canvas pixels, angles in radians."""

    x: float
    y: float
    scale: float            # half the length of the trunk
    facing: int             # 1: right, -1: left
    tilt: float             # of the whole bird in the image plane
    pitch: float            # of the trunk: how upright it sits
    nod: float              # of the head
    turn: float             # of the head: foreshortening; negative: looks back over its shoulder
    wing: float             # angle of the wing, 0 folded
    tail: float             # angle of the tail
    flying: bool            # legs are tucked in
    far_leg: bool           # whether the far leg is shown


def draw_pose(random: numpy.random.RandomState, canvas_size: int) -> Pose:
    """A random pose."""
    raised = random.uniform() < .2
    looks_back = random.uniform() < .12
    pose: dict[str, Any] = dict(
        x=canvas_size * random.uniform(.42, .58), y=canvas_size * random.uniform(.44, .58),
        scale=canvas_size * random.uniform(.165, .22), facing=1 if random.uniform() < .5 else -1,
        tilt=random.uniform(-.2, .2), pitch=random.uniform(.0, .85),
        nod=random.uniform(-.35, .3), turn=random.uniform(.72, 1) * (-1 if looks_back else 1),
        wing=random.uniform(.8, 1.7) if raised else random.uniform(-.08, .12),
        tail=random.uniform(-.35, .35), far_leg=random.uniform() < .5)
    return Pose(flying=raised and random.uniform() < .5, **pose)


class Plumage(NamedTuple):
    """Colours of one individual; only the details depend on its species."""

    body: Colour
    belly: Colour
    wing: Colour
    tail: Colour
    details: dict[str, tuple[str, Colour]]      # by slot: pattern and colour; no plain ones


def draw_plumage(random: numpy.random.RandomState, species: Species, difficulty: float) -> Plumage:
    """Draws body colours; the species' details get slightly varied colours, some are worn off."""
    hue = random.uniform(0, 2 * numpy.pi) + numpy.array([0, 2.1, 4.2])
    grey, saturation = random.uniform(85, 185), random.uniform(.05, .28)
    body = _rgb(grey * (1 + saturation * numpy.cos(hue)))
    belly = mix(body, (235, 230, 215), random.uniform(.0, .6))
    wing = mix(body, (30, 30, 35), random.uniform(.15, .45))
    tail = mix(body, (30, 30, 35), random.uniform(.1, .45))
    details = {}
    for slot in PATTERNS:
        worn = random.uniform() < .12 * difficulty
        jitter, fading = random.uniform(-14, 14, size=3), random.uniform(0, .6) * difficulty
        if species.details[slot] is None or (worn and slot not in ('beak', 'leg')):
            continue
        pattern, colour = species.details[slot]     # type: ignore[misc]  # is not None
        details[slot] = pattern, mix(_rgb(COLOURS[colour] + jitter), body, fading)
    return Plumage(body, belly, wing, tail, details)


def _rgb(values):
    return tuple(numpy.clip(values, 0, 255).astype(int).tolist())


def make_frames(pose: Pose) -> dict[str, Frame]:
    """Frames of the body parts: x points to the front, y down."""
    size = pose.scale
    bird = Frame((pose.x, pose.y), [(size * pose.facing, 0), (0, size)])
    bird = bird.sub((0, 0), pose.tilt)
    body = bird.sub((0, 0), -pose.pitch)
    frames = {'bird': bird, 'body': body}
    frames['head'] = body.sub(
        (.98, -.5), pose.pitch * .8 + pose.nod, (.5 * pose.turn, .5))
    length = 1.5 + .2 * min(pose.wing, 1)
    frames['wing'] = body.sub(
        (.5, -.14), numpy.pi + pose.wing - .06, (length, -length * (1 + .35 * min(pose.wing, 1))))
    frames['far wing'] = body.sub(
        (.62, -.2), numpy.pi + pose.wing + .45, (length, -length * 1.3))
    frames['tail'] = body.sub((-.82, -.06), numpy.pi + pose.tail, (1.15, -1.15))
    return frames


def leg_lines(pose: Pose, frames: dict[str, Frame]) -> numpy.ndarray:
    """Hip and ankle of the near and the far leg, (2, 2, 2) of (x, y) on the canvas."""
    hips = frames['body']([(-.08, .5), (.18, .48)])
    ankles = hips + frames['bird'].axes[1] * .62 + frames['bird'].axes[0] * .08
    return numpy.stack([hips, ankles], axis=1)


def draw_bird(canvas: Canvas, pose: Pose, plumage: Plumage
              ) -> tuple[numpy.ndarray, list[tuple[int, ...]]]:
    """Paints the bird from back to front.

    Returns:
        tuple: Part points (15, 2) as (y, x) on the canvas, and the owners of each visible point.

    """
    frames = make_frames(pose)
    legs = leg_lines(pose, frames)
    if pose.wing > .5:
        canvas.paint(frames['far wing'](WING_SHAPE), mix(plumage.wing, (20, 20, 20), .3), FAR_WING)
    _draw_legs(canvas, pose, legs, plumage)
    canvas.paint(frames['tail'](TAIL_SHAPE), plumage.tail, TAIL)
    _paint_details(canvas, frames, plumage, ['tail'])
    _draw_trunk(canvas, frames, plumage)
    _draw_head(canvas, frames['head'], plumage)
    _paint_details(canvas, frames, plumage,
                   ['belly', 'breast', 'back', 'nape', 'throat', 'forehead', 'crown', 'eye'])
    _draw_eye(canvas, frames['head'])
    canvas.paint(frames['wing'](WING_SHAPE), plumage.wing, WING)
    _paint_details(canvas, frames, plumage, ['wing'])
    _draw_feathers(canvas, frames, plumage)
    return _part_points(pose, frames, legs)


def _paint_details(canvas, frames, plumage, slots):
    for slot in slots:
        pattern, colour = plumage.details.get(slot, (None, None))
        frame, owners, outlines = PATCHES.get((slot, pattern), (None, (), ()))
        for outline in outlines:
            canvas.paint_on(frames[frame](outline), colour, owners)


def _draw_legs(canvas, pose, legs, plumage):
    if pose.flying:
        return
    _, colour = plumage.details['leg']
    width = pose.scale * .13
    for leg, (hip, ankle) in list(enumerate(legs))[::-1]:
        if leg == 1 and not pose.far_leg:
            continue
        owner = FAR_LEG if leg else LEG
        shade = mix(colour, (60, 60, 60), .3 * leg)
        canvas.paint(stroke(hip, ankle, width), shade, owner)
        for toe in (-.22, .05, .26):
            canvas.paint(stroke(ankle, ankle + (toe * pose.scale, width), width, width / 2),
                         shade, owner)


def _draw_trunk(canvas, frames, plumage):
    body = frames['body']
    egg = ellipse(0, 0, 1, .6, n=48)
    egg[:, 1] *= 1 + .12 * egg[:, 0]
    canvas.paint(body(egg), plumage.body, BODY)
    head = frames['head'].origin
    for share in numpy.linspace(0, 1, 8):       # the neck
        x, y = (1 - share) * body((.5, -.06)) + share * head
        radius = numpy.hypot(*frames['head'].axes[1]) * (1.1 - .12 * share)
        canvas.paint(ellipse(x, y, radius, radius), plumage.body, BODY)
    canvas.paint_on(body(ellipse(.12, .5, .95, .4, -.12)), plumage.belly, (BODY,))


def _draw_head(canvas, head, plumage):
    pattern, colour = plumage.details['beak']
    beak = numpy.array(BEAKS[pattern])
    canvas.paint(head(beak), colour, BEAK)
    canvas.paint_on(head(stroke((.7, .08), (beak[:, 0].max(), .12), .06)),
                    mix(colour, (60, 60, 60), .45), (BEAK,))
    pattern, colour = plumage.details.get('crown', (None, None))
    if pattern == 'crest':
        canvas.paint(head([(.5, -.72), (-.55, -1.75), (-.5, -1.3), (-1.2, -1.35), (-.85, -.45)]),
                     colour, HEAD)
    canvas.paint(head(ellipse(0, 0, 1, 1)), plumage.body, HEAD)
    if pattern == 'crest':
        canvas.paint_on(head(ellipse(-.1, -.85, .7, .34)), colour, (HEAD,))


def _draw_eye(canvas, head):
    canvas.paint(head(ellipse(.25, -.12, .21, .21)), (18, 15, 15), EYE)
    canvas.paint_on(head(ellipse(.32, -.19, .07, .07)), (250, 250, 250), (EYE,))


def _draw_feathers(canvas, frames, plumage):
    dark = mix(plumage.wing, (15, 15, 15), .4)
    for y in (-.1, .0, .09):
        canvas.paint_on(frames['wing'](stroke((.62, y), (1, y * .3), .014)), dark, (WING,))
    dark = mix(plumage.tail, (15, 15, 15), .4)
    for y in (-.08, .07):
        canvas.paint_on(frames['tail'](stroke((.1, y * .7), (1, y), .016)), dark, (TAIL,))


def _part_points(pose, frames, legs):
    """Returns points (P, 2) and the owners of each; an eye on the far side has none."""
    body_side = 'right' if pose.facing > 0 else 'left'
    head_side = 'right' if pose.facing * pose.turn > 0 else 'left'
    points, owners = numpy.zeros((len(PARTS), 2)), []
    for part, (name, frame, point, seen) in enumerate(PARTS):
        side, _, kind = name.rpartition(' ')
        near = side in ('', head_side if kind == 'eye' else body_side)
        if kind == 'leg':
            x, y = legs[0 if near else 1].mean(axis=0)
            seen = (LEG,) if near else (FAR_LEG,)
        elif kind == 'wing' and not near:
            x, y = frames['far wing']((.5, 0))
            seen = (FAR_WING,)
        else:
            x, y = frames[frame](point)
            seen = seen if near else ()
        points[part] = y, x
        owners.append(seen)
    return points, owners
