"""The notebook: its cells run, and its outputs are there."""
import json
from pathlib import Path

import numpy

NOTEBOOK = Path(__file__).resolve().parents[2] / 'docs/layer_in_a_network.ipynb'


def test_cells_run_and_the_network_learns(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cells = json.loads(NOTEBOOK.read_text(encoding='utf-8'))['cells']
    code = [''.join(cell['source']) for cell in cells if cell['cell_type'] == 'code']
    names, state = {}, numpy.random.get_state()
    try:
        for text in code:
            exec(compile(text, NOTEBOOK.name, 'exec'), names)
    finally:
        numpy.random.set_state(state)
    assert (names['predicted'] == names['label']).mean() > .95      # of bags of 200 points
    assert numpy.isnan(names['x']).any()


def test_outputs_are_saved():
    cells = json.loads(NOTEBOOK.read_text(encoding='utf-8'))['cells']
    numbers = [cell['execution_count'] for cell in cells if cell['cell_type'] == 'code']
    assert numbers == list(range(1, len(numbers) + 1))
    outputs = [output for cell in cells for output in cell.get('outputs', [])]
    assert len(outputs) >= 4 and not any(
        output['output_type'] == 'error' for output in outputs)
