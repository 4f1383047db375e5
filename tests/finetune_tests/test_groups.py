"""Groups of pictures, such as those of one individual, which no split divides."""
import hashlib

import numpy
import pytest

from finetune.data.splits import balanced_folds, in_test
from finetune.errors import InputError

from conftest import run
from test_own_pictures import load, picture, table


def write(folder, rows, header='path,class,group'):
    """A table whose pictures are files of different bytes, or of those that a row names last."""
    lines = []
    for i, (name, kind, group, *same) in enumerate(rows):
        (folder / name).write_bytes(b'%d' % (same[0] if same else i))
        lines.append(f'{name},{kind},{group}\n')
    return table(folder / 'list.csv', f'{header}\n' + ''.join(lines))


def random_rows(seed, n=150, n_groups=40):
    """Rows of a table, a fifth of them in no group, and some of them copies."""
    random = numpy.random.RandomState(seed)
    return [(f'{i}.png', 'abcd'[random.randint(4)],
             random.choice(['', f'g {random.randint(n_groups)}'], p=[.2, .8]), *(
                 [int(random.randint(10))] if random.rand() < .03 else []))
            for i in range(n)]


def check(data_set, rows):
    """No group, and no contents, are on both sides."""
    groups = {name: group for name, _, group, *_ in rows}
    for key in groups.get, lambda name: (data_set.train.folder / name).read_bytes():
        train, test = ({key(name) for name in records.names} - {''}
                       for records in (data_set.train, data_set.test))
        assert not train & test
    assert data_set.train.groups == [groups[name] for name in data_set.train.names]


@pytest.mark.parametrize('seed', range(2))
def test_no_group_is_on_both_sides(seed, tmp_path):
    rows = random_rows(seed)
    path = write(tmp_path, rows)
    for settings in {}, {'split_seed': 1}, {'split': 'validation', 'fold': 3}:
        data_set, again = load(path, **settings), load(path, **settings)
        check(data_set, rows)
        assert data_set.test.names == again.test.names
    held_out = [load(path, split='validation', fold=fold).test.names for fold in range(5)]
    assert sorted(sum(held_out, [])) == sorted(load(path).train.names)


def test_shares_are_about_right(tmp_path):
    shares = []
    for seed in range(30):
        groups = [group or str(i) for i, (_, _, group, *_) in enumerate(random_rows(seed))]
        n = len(groups)
        ids = list(map(str, range(n)))
        shares.append(in_test(ids, [0] * n, [''] * n, groups, .3, f'test {seed}').mean())
    assert abs(numpy.mean(shares) - .3) < .03 and numpy.std(shares) < .08


def test_without_groups_an_images_own_hash_decides():
    ids = [f'{i}.png' for i in range(300)]
    hashes = [int.from_bytes(hashlib.blake2b(name.encode(), key=b'test 0', digest_size=8).digest(),
                             'big') / 2 ** 64 for name in ids]
    chosen = in_test(ids, [0] * 300, [''] * 300, [''] * 300, .3, 'test 0')
    assert chosen.tolist() == [number < .3 for number in hashes]


def test_more_pictures_move_no_group(tmp_path):
    rows = [row[:3] for row in random_rows(0)]
    before = load(write(tmp_path, rows))
    more = [(f'new {i}.png', 'abcd'[i % 4], f'g {i}') for i in range(100)]
    after = load(write(tmp_path, rows + more))
    sides = {group: side for side in ('train', 'test') for group in getattr(after, side).groups}
    for side in 'train', 'test':
        assert {sides[group] for group in getattr(before, side).groups if group} == {side}


def test_a_class_keeps_training_images_whatever_its_groups(tmp_path):
    rows = [(f'{i}.png', 'ab'[i % 3 == 0], f'{"xyz"[i % 3]}') for i in range(30)]
    for split_seed in range(10):        # class b has one group alone
        data_set = load(write(tmp_path, rows), split_seed=split_seed)
        check(data_set, rows)
        assert set(data_set.train.labels) == {0, 1} and set(data_set.test.labels) == {0}


def test_folds_leave_training_images_of_every_class_whatever_its_groups():
    """Both groups of class 0 have images of class 1, whose large group drives them into one fold.
    """
    labels = numpy.array([1] * 5 + [2] * 5 + [0, 1, 0, 1])
    groups = numpy.array(list('dddddcccccaabb'))
    for seed in range(10):
        folds = balanced_folds([''] * 14, labels, [''] * 14, groups, 2, f'{seed}')
        assert (folds[groups == 'c'] == -1).all()       # the only group of class 2
        for fold in range(2):
            assert set(labels[folds != fold]) == {0, 1, 2}
        for group in 'abcd':
            assert len(set(folds[groups == group])) == 1


def test_folds_are_balanced_by_group_sizes():
    groups = [f'{i // 5}' for i in range(50)] + [''] * 50
    labels = numpy.arange(100) % 2
    folds = balanced_folds(list(map(str, range(100))), labels, [''] * 100, groups, 5, 'key')
    for label in range(2):
        assert numpy.ptp(numpy.bincount(folds[labels == label])) <= 1


def test_one_group_for_each_class_leaves_no_test_image(tmp_path):
    with pytest.raises(InputError, match='has no test image; add pictures of other groups or'):
        load(write(tmp_path, [(f'{i}.png', 'ab'[i % 2], 'xy'[i % 2]) for i in range(8)]))


def test_table_whose_split_divides_a_group(tmp_path, write_config, capsys):
    for i in range(4):
        picture(tmp_path / f'{i}.png', seed=i)
    lines = ['0.png,a,train,x', '1.png,a,test,x', '2.png,b,train,y\x1b', '3.png,b,test,y\x1b']
    path = table(tmp_path / 'list.csv', '\n'.join(['path,class,split,group', *lines]))
    config = write_config(data={'dataset': 'folder', 'root': str(path), 'parts': 'GLOBAL'},
                          model={'encoding': 'gap'}, training={'epochs': 0})
    for command in 'doctor', 'train':
        assert run(command, config) == 0
        assert '2 groups, such as x, have training and test images' in capsys.readouterr().out
    lines[:2] = '0.png,a,train,', '1.png,a,test,'
    table(path, '\n'.join(['path,class,split,group', *lines]))
    assert run('doctor', config, '--set', 'training.seed=1') == 0
    assert 'group y\\x1b has training and test images' in capsys.readouterr().out
