"""Writes a trained model as an ONNX file."""
import importlib.util
import json
from pathlib import Path

import chainer
import fve_layer
import numpy

from finetune.config.config import dump
from finetune.config.project import HERE
from finetune.errors import InputError
from finetune.files import atomic, require_new
from finetune.names import shown
from finetune.runs.archive import find_model
from finetune.runs.opening import open_model, read_settings

TOLERANCE = 1e-4        # relative to the largest value
N_CHECKED, N_PARTS_CHECKED, N_FEATURES_CHECKED = 3, 5, 200


def export(run, out, layer_only=False, project=HERE):
    """Writes the classifier of a run, or only its layer; the data set is not needed.

    If onnxruntime is installed, its results are compared with Chainer's on random inputs.

    Args:
        run (str): Folder of a finished run of joint learning.
        out (str): ``.onnx`` file to write, which must not exist.
        layer_only (bool): Whether to write only the Fisher vector layer.
        project (finetune.config.project.Project): What the path of the run is relative to.

    """
    if importlib.util.find_spec('onnx') is None:
        raise InputError('export needs onnx; pip install onnx.')
    from finetune.export.classifier import classifier_graph, layer_graph
    out = Path(out)
    require_new(out, '.onnx')
    folder = find_model(run, project)
    config = read_settings(folder)
    if config.model.ablation:
        raise InputError(f'{folder}: model.ablation {config.model.ablation} cannot be exported; '
                         'export a run without an ablation.')
    model, config, names, _ = open_model(folder, config)
    if layer_only:
        if not model.encoding.has_mixture:
            raise InputError(f'{folder}: has no Fisher vector layer; leave out --layer.')
        graph = layer_graph(model.encoder)
        compute, inputs = model.encoder, _features(model)
    else:
        graph = classifier_graph(model, config)
        compute, inputs = _scores(model), _images(model, config)
    content = graph.model('fve_layer', _description(config, layer_only),
                          _metadata(config, names)).SerializeToString()
    outcome = _checked(folder, content, compute, inputs)
    out.parent.mkdir(parents=True, exist_ok=True)
    with atomic(out) as unfinished:
        unfinished.write_bytes(content)
    print(f'{out}: {len(content) / 1e6:.1f} MB, {outcome}', flush=True)
    if layer_only:
        return
    if config.data.has_parts:
        print(f'{out}: takes the crops of parts and does not find them; the boxes of the parts of '
              f'pictures are in predict {shown(str(run))} PICTURES --output boxes.json, or in '
              'prediction.boxes in Python', flush=True)
    if config.data.test_flip:
        print(f'{out}: scores images alone; for data.test_flip, take the mean of the scores of '
              'images and crops and of those mirrored (images[..., ::-1], parts[..., ::-1])',
              flush=True)


def _checked(run, content, compute, inputs):
    """Compares the graph with Chainer; returns the outcome as text."""
    if importlib.util.find_spec('onnxruntime') is None:
        return 'not compared with Chainer (pip install onnxruntime)'
    import onnxruntime
    session = onnxruntime.InferenceSession(content, providers=['CPUExecutionProvider'])
    result, = session.run(None, inputs)
    with chainer.using_config('train', False), chainer.no_backprop_mode():
        expected = chainer.as_array(compute(*inputs.values()))
    if not numpy.isfinite(expected).all():
        raise InputError(f'{run}: its results for random inputs are not finite; train again with a '
                         'lower training.learning_rate and another --output.')
    difference = abs(result - expected).max() / max(abs(expected).max(), 1e-30)
    if not difference <= TOLERANCE:
        raise InputError(f'the graph differs from Chainer by {difference:.1e} of the largest value '
                         'and is not written; please report this run.')
    return f'equal to Chainer to {difference:.0e} of the largest value on random inputs'


def _scores(model):
    """Makes a function that computes Chainer's scores from the graph's inputs."""
    def compute(img, parts=None, visible=None):
        if parts is None:
            parts, visible = numpy.zeros((0, 3, 1, 1), 'f'), numpy.zeros((len(img), 0), bool)
            return model.scores(img, parts, visible)['both']
        return model.scores(img, parts[visible], visible)['both']
    return compute


def _images(model, config):
    """Random inputs of the classifier; the first image has no visible part."""
    random, data = numpy.random.RandomState(0), config.data
    inputs = {'images': random.uniform(-1, 1, (N_CHECKED, 3, data.input_size, data.input_size))}
    if model.n_parts > 0:
        n_parts = model.n_parts if model.encoding.needs_all_parts else N_PARTS_CHECKED
        size = data.part_input_size
        inputs['parts'] = random.uniform(-1, 1, (N_CHECKED, n_parts, 3, size, size))
        visible = random.uniform(size=(N_CHECKED, n_parts)) < .7
        visible[0] = False
    inputs = {name: array.astype('f') for name, array in inputs.items()}
    return {**inputs, 'visible': visible} if model.n_parts > 0 else inputs


def _features(model):
    """Random features, drawn from the mixture, and a random mask."""
    random, (mean, var, _) = numpy.random.RandomState(0), model.encoder.mixture
    mean, var = chainer.as_array(mean), chainer.as_array(var)
    shape = N_CHECKED, N_FEATURES_CHECKED
    k = random.randint(len(mean), size=shape)
    x = mean[k] + numpy.sqrt(var[k]) * random.normal(size=(*shape, mean.shape[1]))
    return {'features': x.astype('f'), 'visible': random.uniform(size=shape) < .7}


def _description(config, layer_only):
    if layer_only:
        return ('Computes Fisher vectors (N, 2KD) of local features (N, T, D), float32, with a '
                'mask (N, T), bool, of visible features.')
    text = ('Computes class scores of images; softmax turns scores into probabilities. Images are '
            'RGB, float32, divided by 127.5, minus 1; the shorter side is scaled to '
            f'{config.data.input_size} pixels, {config.data.interpolation} with antialiasing, and '
            'the centre is cropped.')
    if config.data.test_flip:
        text += (' The scores to use are the means of those of images and crops and of those '
                 'mirrored horizontally.')
    if config.data.has_parts:
        text += (' A part is the crop of its box, prepared in the same way at '
                 f'{config.data.part_input_size} pixels; crops of hidden parts have no effect. The '
                 'graph does not find parts: Predictor.predict, and the command predict with '
                 '--output boxes.json, give their boxes.')
    return text


def _json(names):
    """A list as JSON in UTF-8, with bytes that are not UTF-8 as escapes."""
    return json.dumps(names, ensure_ascii=False).encode(errors='backslashreplace').decode()


def _metadata(config, names):
    return {'classes': _json(names.class_names), 'parts': _json(names.part_names),
            'settings': dump(config), 'version': fve_layer.__version__}
