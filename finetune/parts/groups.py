"""Groups of annotated points (GT2)."""
import numpy

from finetune.config.catalogue import Counts, PARTS
from finetune.data.layout import find_layout
from finetune.data.records import DataSet
from finetune.errors import InputError
from finetune.parts.points import Points

# Only the names of the groups are published; the assignment of parts is our choice.
GROUPS = {
    'head': ('beak', 'bill', 'crown', 'forehead', 'left cheek', 'left eye', 'nape', 'right cheek',
             'right eye', 'throat'),
    'body': ('back', 'belly', 'breast', 'left wing', 'right wing'),
    'tail': ('tail',),
    'legs': ('left leg', 'right leg'),
}


class Groups(Points):

    """Crops around the mean point of each group.

    Points in the authors' folder for groups are used as they are.
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
                                 f'birds, but a part is named {name!r}; set data.parts to GT.')
        return data_set.with_parts(
            [group for group in GROUPS if group in groups],
            lambda records: group_points(records.locations, records.visible, names))

    def n_published(self, counts: Counts) -> None:
        return None


def group_of(name: str) -> str | None:
    """Group of a part, or ``None``."""
    name = name.replace('-', ' ').replace('_', ' ')     # some data sets have left-eye or left_eye
    return next((group for group, names in GROUPS.items() if name in names), None)


def group_points(points: numpy.ndarray, visible: numpy.ndarray, part_names: list[str]
                 ) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Merges the points of each group into the mean of its visible points (our choice).

    Args:
        points (numpy.ndarray): (N, P, 2), (y, x).
        visible (numpy.ndarray): (N, P) bool.
        part_names (list of str): P names.

    Returns:
        tuple of numpy.ndarray: Points (N, G, 2) of the groups that have parts in this data set, and
        visibility (N, G), bool; a group with a visible part is visible.

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
