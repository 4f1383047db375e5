"""Checks the user's own pictures: unreadable ones, copies, classes with few pictures."""
import collections

import numpy
from PIL import Image

from finetune.data import pictures, readable
from finetune.data.contents import identify
from finetune.errors import InputError
from finetune.names import counted
from finetune.progress import progress_bar

DARK = 16           # grey level of 255
SIZE = 16           # pixels of the squares by which pictures are compared
FLAT = 2.           # smallest standard deviation of such a square, grey levels
FEW = 5             # pictures of a class
NEAR = .2           # largest RMS difference of two of them, relative to that deviation


def check(data_set):
    """Yields findings, level and text, about the pictures of a data set."""
    n = len(data_set.train) + len(data_set.test)
    yield from list(_problems(data_set)) or [
        ('ok', f'all {n} pictures can be read; there are no copies')]


def _problems(data_set):
    problem = readable.problem_of_classes(data_set)
    if problem:
        yield 'error', f'the data set {problem}'
    unreadable, dark, squares = [], [], []
    records = data_set.train + data_set.test
    for record in progress_bar(records, len(records), 'Reading all pictures'):
        try:
            image = pictures.read_image(record.path, upright=True)
        except InputError:
            unreadable.append(record.path)
            squares.append(numpy.zeros(SIZE ** 2))
            continue
        squares.append(_square(image))
        if image.max() < DARK:
            dark.append(record)
    if unreadable:
        yield 'error', readable.described(unreadable, max_named=len(unreadable))
    if dark:
        yield 'warning', (f'{counted(len(dark), "picture is", "pictures are")} almost black, '
                          f'the first is {dark[0].path}; check the range of their numbers')
    groups = collections.defaultdict(list)
    for i, contents in enumerate(identify(records.paths)):
        groups[contents].append(i)
    copies = [group for group in groups.values() if len(group) > 1]
    yield from _copies(copies, data_set)
    yield from _copies(_nearly_equal(numpy.float32(squares), copies), data_set, 'near copy')
    sizes = numpy.bincount(records.labels)
    few = [data_set.class_names[label] for label in numpy.flatnonzero((sizes > 1) & (sizes < FEW))]
    if few:
        yield 'warning', (f'{counted(len(few), "class has", "classes have")} fewer than {FEW} '
                          f'pictures, the first is {few[0]}; add some: such a class is hardly '
                          'learned, and hardly tested')
    single = [data_set.class_names[label] for label in numpy.flatnonzero(sizes == 1)]
    if single:
        yield 'warning', (f'{counted(len(single), "class has", "classes have")} a single '
                          f'picture, the first is {single[0]}; it is used for training, and the '
                          'class is not tested')


def _copies(groups, data_set, kind='copy'):
    """Findings about groups of the same pictures, or almost the same, by their indices."""
    records, n_train = data_set.train + data_set.test, len(data_set.train)
    found = collections.defaultdict(list)
    for first, *others in groups:
        of_others = [i for i in others if records.labels[i] != records.labels[first]]
        place = ('another class' if of_others else
                 'the test images' if first < n_train <= others[-1] else 'the same class')
        found[place].append((first, (of_others or others)[-1]))
    for place, what, advice in (
            ('another class', 'picture', '; remove the one whose class is wrong'),
            ('the test images', 'training image', ', so accuracies are too high'),
            ('the same class', 'picture', '')):
        if found[place]:
            names = [f'{records[i].path} (class {data_set.class_names[records.labels[i]]})'
                     for i in found[place][0]]
            n = counted(len(found[place]), f'{what} has', f'{what}s have')
            yield 'warning', f'{n} a {kind} in {place}, such as {names[0]} and {names[1]}{advice}'


def _square(image):
    """A picture (3, H, W) as a small grey square, standardised, or zeros if it is flat."""
    grey = Image.fromarray(image.transpose(1, 2, 0)).convert('L').resize((SIZE, SIZE), Image.BOX)
    values = numpy.asarray(grey, float).ravel()
    return (values - values.mean()) / values.std() if values.std() > FLAT else 0 * values


def _nearly_equal(squares, copies):
    """Pairs of different pictures whose squares hardly differ: indices."""
    same = {i: group[0] for group in copies for i in group}
    looked_at = numpy.flatnonzero(squares.any(axis=1))
    if len(looked_at) < 2:
        return []
    from sklearn.neighbors import NearestNeighbors      # takes a second
    n = min(2, len(looked_at) - 1)
    search = NearestNeighbors(n_neighbors=n, algorithm='brute').fit(squares[looked_at])
    distances, nearest = search.kneighbors()
    pairs = {tuple(sorted((int(i), int(looked_at[j])))) for i, row, near in zip(
        looked_at, nearest, distances) for j, distance in zip(row, near)
        if distance <= NEAR * SIZE}
    return [list(pair) for pair in sorted(pairs)
            if same.get(pair[0], pair[0]) != same.get(pair[1], pair[1])]
