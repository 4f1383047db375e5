"""The paper's numbers and the experiments that repeat them, from ``configs/published.yml``."""
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from finetune.config.catalogue import DATA_SETS
from finetune.config.project import CONFIGS

PATH = CONFIGS / 'published.yml'


class Row(NamedTuple):
    method: str
    setup: str
    run: str | None     # name of our experiment; None: another paper's method
    accuracies: dict    # data set: published (mean, standard deviation or None), per cent

    def published(self, dataset):
        """The paper's accuracy on a data set, or on CUB-200-2011 if the paper lacks it."""
        return self.accuracies.get(reference(dataset))


class AccuracyTable(NamedTuple):
    title: str
    source: str
    data_sets: list
    rows: list


class Published(NamedTuple):
    tables: list            # AccuracyTable
    figure: Any             # title, source, cnn: run, lines: {line: {components: run}}
    run_time: Any           # title, source, rows of steps, milliseconds and per cent
    inconsistencies: list
    paper: str


def reference(dataset):
    """The paper's data set that a data set is compared with."""
    return dataset if DATA_SETS[dataset].in_paper else 'cub200'


def read(path=PATH):
    tree = yaml.safe_load(Path(path).read_text(encoding='utf-8'))
    tables = [AccuracyTable(**{**tree[name], 'rows': [_row(row) for row in tree[name]['rows']]})
              for name in ('table_1', 'table_2')]
    return Published(tables, tree['figure_3'], tree['table_3'], tree['inconsistencies'],
                     tree['paper'])


def _row(row):
    accuracies = {dataset: (*row[dataset], None)[:2] for dataset in DATA_SETS if dataset in row}
    return Row(row['method'], row['setup'], row.get('run'), accuracies)
