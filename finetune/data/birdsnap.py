"""Birdsnap 1.1 as downloaded; many of its images are missing because their links are dead."""
from pathlib import Path

import numpy

from finetune.data.lines import convert, named_rows, number, path_inside
from finetune.data.records import DataSet, Record, Records, split_records
from finetune.errors import InputError

SPECIES_COLUMNS = ['id', 'common']
IMAGE_COLUMNS = ['path', 'species_id']
IMAGE_FOLDERS = 'images', 'download/images'     # get_birdsnap.py uses the second
MISSING = '', 'null', 'NULL', 'None', 'nan'


def read_birdsnap(root: str | Path) -> DataSet:
    """Reads ``species.txt``, ``images.txt`` and ``test_images.txt``, tab-separated with headers.

    Missing images are skipped and counted. A part without coordinates is hidden.

    Args:
        root (str or pathlib.Path): Folder with these files, and with the images in ``images/`` or
            in ``download/images/``.

    Returns:
        finetune.data.records.DataSet: Species in the order of ``species.txt``, parts in the order
        of the columns of ``images.txt``.

    """
    root = Path(root)
    folder = next((root / name for name in IMAGE_FOLDERS if (root / name).is_dir()), None)
    if folder is None:
        raise InputError(f'{root}: has neither images/ nor download/images/; run get_birdsnap.py '
                         'there, or copy the images into images/.')
    species = _read_species(root / 'species.txt')
    test = _read_test_paths(root / 'test_images.txt')
    label_of = {species_id: label for label, species_id in enumerate(species)}
    path, records, seen, part_names = root / 'images.txt', [], set(), []
    for line_no, row in named_rows(path, IMAGE_COLUMNS):
        part_names = part_names or _part_names(row)
        if row['species_id'] not in label_of:
            raise InputError(f'{path}, line {line_no}: there is no species {row["species_id"]} in '
                             'species.txt; correct the line or add the species.')
        if row['path'] in seen:
            raise InputError(f'{path}, line {line_no}: image {row["path"]} is listed twice; remove '
                             'one of the lines.')
        seen.add(convert(path, line_no, path_inside, row['path']))
        records.append(Record(row['path'], Path(row['path']), label_of[row['species_id']],
                              *_points(path, line_no, row, part_names)))
    unknown = sorted(test - seen)
    if unknown:
        raise InputError(f'{root / "test_images.txt"}: there is no image {unknown[0]} in '
                         'images.txt; get both files from the same place.')
    existing = [record for record in records if (folder / record.path).exists()]
    data_set = split_records(
        Records.of(existing, folder), [record.image_id not in test for record in existing],
        species.values(), part_names, root / 'test_images.txt')
    data_set.left_out['listed images that do not exist'] += len(records) - len(existing)
    return data_set


def _read_species(path):
    species = {}
    for line_no, row in named_rows(path, SPECIES_COLUMNS):
        if row['id'] in species:
            raise InputError(f'{path}, line {line_no}: id {row["id"]} is listed twice; remove one '
                             'of the lines.')
        species[row['id']] = row['common']
    return species


def _read_test_paths(path):
    return {row['path'] for _, row in named_rows(path, ['path'])}


def _part_names(row):
    return [column[:-2] for column in row if column.endswith('_x') and f'{column[:-2]}_y' in row]


def _points(path, line_no, row, part_names):
    """Returns points (P, 2) as (y, x), and visibility (P,)."""
    texts = [(row[f'{name}_y'], row[f'{name}_x']) for name in part_names]
    visible = numpy.array([not set(pair) & set(MISSING) for pair in texts], bool)
    points = numpy.zeros((len(texts), 2), numpy.float32)
    for i in numpy.flatnonzero(visible):
        points[i] = [convert(path, line_no, number, text) for text in texts[i]]
    return points, visible
