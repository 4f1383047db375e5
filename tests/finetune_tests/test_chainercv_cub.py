"""ChainerCV's own readers of CUB-200-2011 find in a miniature of it what ours finds."""
import numpy
import pytest

from finetune.data.annotation_files import read_cub
from finetune.data.pictures import read_image

datasets = pytest.importorskip('chainercv.datasets')
SPLIT = 'train_test_split.txt'


@pytest.fixture
def ours(birds):
    """Our records in the order of the files, which ChainerCV does not split.

    One part is hidden although it has a place.
    """
    path = birds / 'parts/part_locs.txt'
    text = path.read_text()
    assert ' 0.0 0.0 0\n' in text
    path.write_text(text.replace(' 0.0 0.0 0\n', ' 3.5 4.5 0\n', 1))
    data_set = read_cub(birds)
    in_train = [line.split()[1] == '1' for line in (birds / SPLIT).read_text().splitlines()]
    assert 0 < sum(in_train) < len(in_train)
    train, test = iter(data_set.train), iter(data_set.test)
    records = [next(train if is_train else test) for is_train in in_train]
    assert next(train, None) is next(test, None) is None
    return records


def options(birds):
    """Its default would download photographs and probability maps."""
    return {'data_dir': str(birds), 'prob_map_dir': str(birds / 'segmentations')}


def test_points_and_visibility(birds, ours):
    theirs = datasets.CUBKeypointDataset(**options(birds))
    assert len(theirs) == len(ours) == 18
    for (image, points, visible), record in zip(theirs, ours):
        assert (image == read_image(record.path)).all()
        assert points.dtype == record.locations.dtype == numpy.float32
        assert (points[0] == record.locations).all()            # (y, x)
        assert (visible[0] == record.visible).all()
        assert 0 < visible.sum() < visible.size == len(record.visible) == 15


def test_labels(birds, ours):
    theirs = datasets.CUBLabelDataset(**options(birds))
    assert [int(label) for _, label in theirs] == [record.label for record in ours]
    assert [str(record.path.relative_to(birds / 'images')) for record in ours] == theirs.paths
    assert len({record.label for record in ours}) == 3
