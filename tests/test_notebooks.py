"""The notebooks: their cells run, and their outputs are there."""
import itertools
import json
from pathlib import Path

from chainer.testing import attr
import numpy
from PIL import Image
import pytest

from finetune.experiments import comparison

DOCS = Path(__file__).resolve().parents[1] / 'docs'
LAYER, PHOTOGRAPHS = 'layer_in_a_network.ipynb', 'photographs.ipynb'
PYTORCH = 'pytorch_photographs.ipynb'


def cells_of(name):
    return json.loads((DOCS / name).read_text(encoding='utf-8'))['cells']


@pytest.fixture
def run_cells(tmp_path, monkeypatch):
    """Runs the cells of a notebook in a folder of their own; gives their variables."""
    monkeypatch.chdir(tmp_path)
    state = numpy.random.get_state()

    def run(name):
        variables = {}
        for cell in cells_of(name):
            if cell['cell_type'] == 'code':
                exec(compile(''.join(cell['source']), name, 'exec'), variables)
        return variables
    yield run
    numpy.random.set_state(state)


def test_network_of_the_layer_learns(run_cells):
    names = run_cells(LAYER)
    assert (names['predicted'] == names['label']).mean() > .95      # of bags of 200 points
    assert numpy.isnan(names['x']).any()


@attr.slow
def test_photographs_are_explained(run_cells, monkeypatch):
    """With short trainings, of a single fold."""
    for name, value in ('N_EPOCHS', 2), ('N_UPDATES', 2), ('MANY_IMAGES', 0):
        monkeypatch.setattr(comparison, name, value)
    names = run_cells(PHOTOGRAPHS)
    assert len(names['prediction'].names) == 1
    assert names['evaluation'].confusion.sum() == len(names['vectors']) == 60
    assert names['paths'][names['similarity'].argmax()] == names['picture']
    assert len(list(Path('evidence').glob('*.png'))) == 1


def test_photographs_in_pytorch(run_cells):
    """With pictures of noise: as good as chance."""
    pytest.importorskip('timm')
    random = numpy.random.RandomState(0)
    for split, name, i in itertools.product(('train', 'test'), 'ab', range(12)):
        folder = Path('photos', split, name)
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.randint(256, size=(32, 32, 3), dtype='u1')).save(folder / f'{i}.png')
    names = run_cells(PYTORCH)
    assert names['x'].shape == (24, 25, 1280) and len(names['results']) == 3
    assert all(0 <= accuracy <= 100 for accuracy in names['results'].values())


@pytest.mark.parametrize('name', [LAYER, PHOTOGRAPHS, PYTORCH])
def test_outputs_are_saved(name):
    cells = cells_of(name)
    numbers = [cell['execution_count'] for cell in cells if cell['cell_type'] == 'code']
    assert numbers == list(range(1, len(numbers) + 1))
    outputs = [output for cell in cells for output in cell.get('outputs', [])]
    assert len(outputs) >= 2 and not any(
        output['output_type'] == 'error' for output in outputs)
