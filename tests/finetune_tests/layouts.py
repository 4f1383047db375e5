"""Miniatures of the real data sets: the drawn birds, written as each of them is distributed."""
import shutil
import uuid

NABIRDS_PARTS = {'bill': 'beak', 'crown': 'crown', 'nape': 'nape', 'left-eye': 'left eye',
                 'right-eye': 'right eye', 'belly': 'belly', 'breast': 'breast', 'back': 'back',
                 'tail': 'tail', 'left-wing': 'left wing', 'right-wing': 'right wing'}
BIRDSNAP_PARTS = ['back', 'beak', 'belly', 'breast', 'crown', 'forehead', 'left_cheek', 'left_eye',
                  'left_leg', 'left_wing', 'nape', 'right_cheek', 'right_eye', 'right_leg',
                  'right_wing', 'tail', 'throat']
SPARSE = [295, 817, 1010]       # class ids of NA-Birds with images; the others are their ancestors


def write_lines(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(''.join(f'{line}\n' for line in lines), encoding='utf-8')


def write_cub200(data_set, birds, root):
    shutil.copytree(birds, root)


def write_nabirds(data_set, birds, root):
    """NA-Birds: UUIDs, sparse class ids with ancestors, part ids from 0, whole numbers."""
    records = data_set.train + data_set.test
    ids = {record.image_id: str(uuid.UUID(int=int(record.image_id))) for record in records}
    paths = {record.image_id: f'{SPARSE[record.label]:04d}/{ids[record.image_id].replace("-", "")}'
                              f'{record.path.suffix}' for record in records}
    for record in records:
        path = root / 'images' / paths[record.image_id]
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(record.path, path)
    write_lines(root / 'images.txt', (f'{ids[r.image_id]} {paths[r.image_id]}' for r in records))
    write_lines(root / 'image_class_labels.txt',
                (f'{ids[r.image_id]} {SPARSE[r.label]}' for r in records))
    names = {0: 'Birds', 1: 'Ducks, Geese, and Swans',
             **dict(zip(SPARSE, ('Snow Goose (White morph)', 'Wren', 'Jay')))}
    write_lines(root / 'classes.txt', (f'{key} {name}' for key, name in names.items()))
    write_lines(root / 'hierarchy.txt', ['1 0', '295 1', '817 1', '1010 0'])
    write_lines(root / 'train_test_split.txt',
                (f'{ids[r.image_id]} {int(i < len(data_set.train))}'
                 for i, r in enumerate(records)))
    write_lines(root / 'parts/parts.txt',
                (f'{i} {name}' for i, name in enumerate(NABIRDS_PARTS)))
    lines = []
    for record in records:
        for i, name in enumerate(NABIRDS_PARTS.values()):
            part = data_set.part_names.index(name)
            y, x = record.locations[part].astype(int)
            lines.append(f'{ids[record.image_id]} {i} {x} {y} 1' if record.visible[part]
                         else f'{ids[record.image_id]} {i} 0 0 0')
    write_lines(root / 'parts/part_locs.txt', lines)


def write_birdsnap(data_set, birds, root, folder='download/images', missing=()):
    """Birdsnap 1.1: tables with tabs; images whose position is in ``missing`` are not there."""
    records = data_set.train + data_set.test
    columns = [f'{name}_{axis}' for name in BIRDSNAP_PARTS for axis in 'xy']
    lines = ['\t'.join(['url', 'md5', 'path', 'species_id', 'bb_x1', 'bb_y1', 'bb_x2', 'bb_y2']
                       + columns)]
    for i, record in enumerate(records):
        name = f'Species_{record.label + 1}/{i}{record.path.suffix}'
        if i not in missing:
            (root / folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(record.path, root / folder / name)
        fields = ['https://example.org/a b', '0' * 32, name, str(record.label + 1),
                  '1', '2', '40', '45']
        for part_name in BIRDSNAP_PARTS:
            part_name = part_name.replace('_', ' ')
            names = data_set.part_names
            part = names.index(part_name) if part_name in names else None
            if part is None or not record.visible[part]:
                fields += ['null', 'null'] if i % 2 else ['', '']
            else:
                y, x = record.locations[part]
                fields += [repr(float(x)), repr(float(y))]
        lines.append('\t'.join(fields))
    write_lines(root / 'images.txt', lines)
    write_lines(root / 'species.txt', ['id\tcommon\tscientific\tdir'] + [
        f'{i}\tSpecies {i}\tAvis {i}\tSpecies_{i}' for i in (1, 2, 3)])
    n_train = len(data_set.train)
    write_lines(root / 'test_images.txt', ['path'] + [
        f'Species_{r.label + 1}/{n_train + i}{r.path.suffix}' for i, r in enumerate(data_set.test)])


def write_authors(data_set, root, boxes=None):
    """The authors' own layout of a data set; boxes[image_id] are (x, y, width, height)."""
    records = sorted(data_set.train + data_set.test, key=lambda record: record.image_id)
    test = {record.image_id for record in data_set.test}
    images = next(path for path in records[0].path.parents if path.name == 'images')
    root.mkdir(parents=True)
    (root / 'images').symlink_to(images)
    ids = {record.image_id: f'u{i}' for i, record in enumerate(records)}
    write_lines(root / 'images.txt',
                (f'{ids[r.image_id]} {r.path.relative_to(images).as_posix()}' for r in records))
    write_lines(root / 'labels.txt', (7 * r.label - 2 for r in records))
    write_lines(root / 'tr_ID.txt', (0 if r.image_id in test else 1 for r in records))
    if boxes is None:
        write_lines(root / 'parts/parts.txt',
                    (f'{i} {name}' for i, name in enumerate(data_set.part_names, 1)))
        lines = [f'{ids[r.image_id]} {i} {float(x)!r} {float(y)!r} {int(visible)}' for r in records
                 for i, ((y, x), visible) in enumerate(zip(r.locations, r.visible), 1)]
    else:
        lines = [f'{ids[r.image_id]} {i} ' + ' '.join(map(str, box)) for r in records
                 for i, box in enumerate(boxes[r.image_id], 1)]
    write_lines(root / 'parts/part_locs.txt', lines)


WRITERS = {'cub200': write_cub200, 'nabirds': write_nabirds, 'birdsnap': write_birdsnap}
