"""Annotated points in groups, GT2."""
import numpy

from finetune.config.catalogue import Counts, PARTS
from finetune.data.layout import find_layout
from finetune.data.records import DataSet
from finetune.errors import InputError
from finetune.parts.points import Points

# The four groups of parts. Only their names are published; which part belongs to which is our
# choice.
GROUPS = {
    'head': ('beak', 'bill', 'crown', 'forehead', 'left cheek', 'left eye', 'nape', 'right cheek',
             'right eye', 'throat'),
    'body': ('back', 'belly', 'breast', 'left wing', 'right wing'),
    'tail': ('tail',),
    'legs': ('left leg', 'right leg'),
}


class Groups(Points):

    """Crops around the mean point of each group, unless the annotated points are groups already.

    Those in the authors' folder for groups are.
    """

    def locate(self, data_set: DataSet) -> DataSet:
        data_set, settings = super().locate(data_set), self.config.data
        folder, names = find_layout(self.config).parts, data_set.part_names
        if folder.name == PARTS[settings.parts].folder or names == list(GROUPS):
            return data_set
        groups = list(map(group_of, names))
        for name, group in zip(names, groups):
            if group is None:
                raise InputError(f'{folder}: data.parts {settings.parts} groups the parts of '
                                 f'birds, but there is {name!r}; use GT.')
        return data_set.with_parts(
            [group for group in GROUPS if group in groups],
            lambda records: group_points(records.locations, records.visible, names))

    def n_published(self, counts: Counts) -> None:
        return None


def group_of(name: str) -> str | None:
    """Group of a part, ``None`` if there is none; data sets write left-eye, left_eye, left eye."""
    name = name.replace('-', ' ').replace('_', ' ')
    return next((group for group, names in GROUPS.items() if name in names), None)


def group_points(points: numpy.ndarray, visible: numpy.ndarray, part_names: list[str]
                 ) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Merges the points of each group into one, the mean of its visible points (our choice, too).

    Args:
        points (numpy.ndarray): (N, P, 2), (y, x).
        visible (numpy.ndarray): (N, P) bool.
        part_names (list of str): Names of the parts.

    Returns:
        tuple of numpy.ndarray: Points (N, G, 2) of the groups that have parts in this data set, and
        which of them are visible (N, G), bool: those with a visible part.

    """
    groups = numpy.array([group_of(name) for name in part_names])
    means, n_members = [], []
    for group in GROUPS:
        members = groups == group
        if members.any():
            weight = visible[:, members, None]
            n_members.append(weight.sum(axis=1))
            means.append((points[:, members] * weight).sum(axis=1)
                         / numpy.maximum(n_members[-1], 1))
    return (numpy.stack(means, axis=1).astype(points.dtype),
            numpy.concatenate(n_members, axis=1) > 0)
