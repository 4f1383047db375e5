"""TensorFlow's checkpoints, V1 and V2, and the variables of a SavedModel, by TensorFlow."""
from pathlib import Path

import numpy

from finetune.errors import InputError
from finetune.files import NUMBERS

V1_END = bytes.fromhex('57fb808b247547db')      # last bytes of a V1 checkpoint
GRAPH = '_CHECKPOINTABLE_OBJECT_GRAPH'          # has the names of the variables of TensorFlow 2


def is_checkpoint(path: Path) -> bool:
    """Whether a path is a V1 file, the prefix or ``.index`` file of a V2 checkpoint, or a folder
    with a checkpoint or a SavedModel."""
    if path.is_dir():
        return any(_prefix_in(path))
    if path.suffix == '.index' or path.with_name(f'{path.name}.index').exists():
        return True
    if not path.is_file() or path.stat().st_size < len(V1_END):
        return False
    with path.open('rb') as file:
        file.seek(-len(V1_END), 2)
        return file.read() == V1_END


def read(path: str | Path) -> dict[str, numpy.ndarray]:
    """Reads the variables by name."""
    try:
        import tensorflow
    except ImportError:
        raise InputError(f'{path}: convert needs TensorFlow to read checkpoints; pip install '
                         'tensorflow into an environment of its own.')
    path = Path(path)
    if path.is_dir():
        path = next(iter(_prefix_in(path)))
    text = str(path)
    reader = tensorflow.train.load_checkpoint(text[:-len('.index')] if path.suffix == '.index'
                                              else text)
    names = {name: name for name in reader.get_variable_to_shape_map()}
    if GRAPH in names:
        names = _names_in(reader.get_tensor(GRAPH))
    arrays = {name: numpy.asarray(reader.get_tensor(key)) for key, name in names.items()}
    return {name: array for name, array in arrays.items() if array.dtype.kind in NUMBERS}


def _prefix_in(folder):
    """Prefixes or files of checkpoints in a folder, of a SavedModel before others."""
    for path in (folder / 'variables/variables.index', *sorted(folder.glob('*.index'))):
        if path.exists():
            yield path


def _names_in(graph):
    """Names of variables by their keys in a checkpoint of TensorFlow 2."""
    from tensorflow.core.protobuf import trackable_object_graph_pb2
    objects = trackable_object_graph_pb2.TrackableObjectGraph.FromString(graph)
    return {attribute.checkpoint_key: attribute.full_name
            for node in objects.nodes for attribute in node.attributes}
