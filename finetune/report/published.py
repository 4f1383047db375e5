"""The paper's numbers and the runs that repeat them, from ``configs/published.yml``."""
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from finetune.config.catalogue import DATA_SETS
from finetune.config.project import CONFIGS

PATH = CONFIGS / 'published.yml'


class Row(NamedTuple):
    """A row of one of the paper's tables."""

    method: str
    setup: str
    run: str | None  # its name; None for other papers' methods
    accuracies: dict    # data set: (mean, standard deviation or None) in per cent, as published

    def published(self, dataset):
        """The paper's accuracy on a data set, or on CUB-200-2011 for one that it does not have."""
        return self.accuracies.get(reference(dataset))


class AccuracyTable(NamedTuple):
    """One of the paper's tables of accuracies."""

    title: str
    source: str
    data_sets: list
    rows: list


class Published(NamedTuple):
    """The contents of the file."""

    tables: list            # AccuracyTable
    figure: Any             # title, source, cnn: run, lines: {line: {components: run}}
    run_time: Any           # title, source, rows of steps, milliseconds and per cent
    inconsistencies: list
    paper: str


def reference(dataset):
    """The paper's data set that a data set is compared with."""
    return dataset if DATA_SETS[dataset].in_paper else 'cub200'


def read(path=PATH):
    """Reads the file."""
    tree = yaml.safe_load(Path(path).read_text(encoding='utf-8'))
    tables = [AccuracyTable(**{**tree[name], 'rows': [_row(row) for row in tree[name]['rows']]})
              for name in ('table_1', 'table_2')]
    return Published(tables, tree['figure_3'], tree['table_3'], tree['inconsistencies'],
                     tree['paper'])


def _row(row):
    accuracies = {dataset: (*row[dataset], None)[:2] for dataset in DATA_SETS if dataset in row}
    return Row(row['method'], row['setup'], row.get('run'), accuracies)
