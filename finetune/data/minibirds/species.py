"""The species of minibirds: families of sisters that differ in two or three details."""
import math
from typing import NamedTuple

import numpy

Detail = tuple[str, str] | None      # pattern and colour; None: plain

COLOURS = {
    'white': (242, 241, 236), 'black': (26, 24, 28), 'red': (214, 38, 34),
    'yellow': (247, 207, 36), 'blue': (38, 108, 226), 'orange': (246, 128, 26),
    'violet': (148, 58, 196), 'green': (38, 172, 84), 'pink': (244, 128, 176)}
SHARED = ['white', 'black']
OWN = {False: ['red', 'yellow', 'blue'], True: ['orange', 'violet', 'green', 'pink']}

PATTERNS = {
    'crown': ['cap', 'crest'], 'forehead': ['patch'], 'eye': ['ring', 'brow', 'mask'],
    'beak': ['cone', 'needle', 'hook'], 'nape': ['patch'], 'throat': ['bib'],
    'breast': ['spots', 'band'], 'belly': ['patch', 'bars'], 'back': ['patch', 'streaks'],
    'wing': ['bar', 'bars', 'patch'], 'tail': ['tip', 'band'], 'leg': ['plain']}
NEVER_PLAIN = ['beak', 'leg']
EPITHETS = {'cap': 'capped', 'crest': 'crested', 'ring': 'ringed', 'brow': 'browed',
            'mask': 'masked', 'forehead': 'fronted', 'nape': 'naped', 'throat': 'throated',
            'spots': 'spotted', 'breast': 'breasted', 'belly': 'bellied', 'back': 'backed',
            'wing': 'winged', 'tail': 'tailed', 'beak': 'billed', 'leg': 'legged'}
FAMILIES = {False: ['Finch', 'Warbler', 'Tanager', 'Sparrow', 'Bunting', 'Thrush'],
            True: ['Jay', 'Vireo', 'Wren', 'Oriole', 'Flycatcher', 'Grosbeak']}
FAMILY_SIZE = 5     # at most


class Species(NamedTuple):
    """A name, and a detail for every key of PATTERNS."""

    name: str
    details: dict[str, Detail]


def make_species(n_species: int, pretraining: bool, seed: int) -> list[Species]:
    """Draws species by seed; sisters are adjacent in the list.

    All species choose their details from one pool, which has two per body part. Sisters differ
    in two or three body parts, other species in more. Each species for pre-training has a detail
    in a colour that the other set never uses, so that the two sets are disjoint.
    """
    random = numpy.random.RandomState([seed, int(pretraining)])
    pool = _detail_pool(random, pretraining)
    species, taken = [], []
    for family, members in enumerate(
            numpy.array_split(numpy.arange(n_species), math.ceil(n_species / FAMILY_SIZE))):
        sisters = _draw_sisters(random, pool, len(members), pretraining, taken)
        taken += sisters
        nouns = FAMILIES[pretraining]
        species += [Species(f'{_epithet(sister, sisters)}_{nouns[family % len(nouns)]}', sister)
                    for sister in sisters]
    return species


def _detail_pool(random, pretraining):
    """Draws the three looks of each body part: plain or one of two details."""
    colours = SHARED + OWN[pretraining]
    pool = {}
    for slot, patterns in PATTERNS.items():
        chosen = random.permutation(colours)[:3]
        details = [(patterns[random.randint(len(patterns))], str(colour)) for colour in chosen]
        pool[slot] = details if slot in NEVER_PLAIN else [None, *details[:2]]
    return pool


def _draw_sisters(random, pool, n, pretraining, taken):
    """Changes one or two body parts of a common ancestor until sisters are far enough apart."""
    while True:
        ancestor = {slot: choices[random.randint(3)] for slot, choices in pool.items()}
        sisters = []
        for _ in range(200):
            sister = dict(ancestor)
            for slot in random.permutation(list(pool))[:random.randint(1, 3)]:
                sister[str(slot)] = pool[slot][random.randint(3)]
            if (all(2 <= _distance(sister, other) <= 3 for other in sisters)
                    and all(_distance(sister, other) >= 4 for other in taken)
                    and (not pretraining or _has_own_colour(sister))):
                sisters.append(sister)
            if len(sisters) == n:
                return sisters


def _distance(details, other):
    return sum(details[slot] != other[slot] for slot in PATTERNS)


def _has_own_colour(details):
    return any(detail and detail[1] in OWN[True] for detail in details.values())


def _epithet(details, sisters):
    """The fewest details that distinguish a species from its sisters, in words."""
    confusable = [sister for sister in sisters if sister is not details]
    words = []
    for slot in sorted(PATTERNS, key=lambda slot: sum(
            sister[slot] == details[slot] for sister in sisters)):
        alike = [sister for sister in confusable if _word(slot, sister) == _word(slot, details)]
        if details[slot] and (len(alike) < len(confusable) or not words):
            words.append(_word(slot, details))
            confusable = alike
    return '_'.join(words)


def _word(slot, details):
    if details[slot] is None:
        return None
    pattern, colour = details[slot]
    return f'{colour.capitalize()}_{EPITHETS.get(pattern) or EPITHETS[slot]}'
