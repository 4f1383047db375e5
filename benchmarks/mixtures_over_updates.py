"""What the mixture and its gradients do over the updates, with a pre-trained CNN.

    python benchmarks/mixtures_over_updates.py               # about an hour and a half on one core
    python benchmarks/mixtures_over_updates.py paper_k1 gap

Trains variants of joint learning on drawing 0 of ``configs/details`` (data/details/seed0). With
GAP, as the conventional pipeline's CNN learns, mixtures observe the features and do not affect
training. Writes every fourth update into ``docs/report_pretrained_cnn/learning.csv``, whose other
variants stay, with the test accuracy in per cent. The same command skips what is there.

- ``dead``: per cent of the channels that are the same in all local features of a batch;
- ``within``: geometric mean, over the channels, of the standard deviations within the components
  (square root of the mixture's variances);
- ``confidence``: mean over the features of the largest responsibility;
- ``gradient``: root mean square over the features of the norm of the loss's gradient.
"""
import fve_layer    # noqa: F401  (before Chainer)

import argparse
import csv
from pathlib import Path
import shutil

import chainer
import numpy

from finetune.config.project import HERE
from finetune.experiments import experiment
from finetune.files import atomic
from finetune.models import encodings, part_classifier
from finetune.runs.folder import REPORTED, RunFolder
from fve_layer.gmm import responsibilities

TABLE = Path('docs/report_pretrained_cnn/learning.csv')
RESULTS = Path('results/learning')
COMPONENTS = 1, 5, 20
COLUMNS = ('variant', 'components', 'update', 'dead', 'within', 'confidence', 'gradient',
           'accuracy')
EVERY = 4       # updates
DRAWING = ['data.root=data/details/seed0', 'data.drawing.seed=0', 'training.seed=0',
           'training.workers=0']

ONES = {'relative_floor': ['model.relative_var_floor=1', 'model.var_floor=1e-9'],
        'all_features': ['model.norm_filter=false'],
        'no_resp_gradient': ['model.resp_gradient=false'],
        'power': ['model.power_normalize=true'],
        'l2': ['model.l2_normalize=true'],
        'scaled_to_norm': ['model.scaled_to=norm']}
PAPER = {'relative_floor': ['model.relative_var_floor=0', 'model.var_floor=1e-3'],
         'all_features': ['model.norm_filter=true'],
         'no_resp_gradient': ['model.resp_gradient=true'],
         'power': ['model.power_normalize=false'],
         'l2': ['model.l2_normalize=false'],
         'scaled_to_norm': ['model.scaled_to=pooled']}


def variants():
    """By name: config and overrides."""
    found = {'gap': ('gt2_gap', [])}
    for k in COMPONENTS:
        found[f'paper_k{k}'] = ('gt2_fve' + (f'_k{k}' if k > 1 else ''), [])
        found[f'recommended_k{k}'] = (f'gt2_recommended_k{k}', [])
    for name in ONES:
        found[f'paper_k20_with_{name}'] = 'gt2_fve_k20', ONES[name]
        found[f'recommended_k20_without_{name}'] = 'gt2_recommended_k20', PAPER[name]
    return found


class Watch(chainer.FunctionNode):

    """Identity of ConvMaps (M, C, h, w) that passes their gradient on to a function."""

    def __init__(self, see):
        super().__init__()
        self.see = see

    def forward(self, inputs):
        return inputs

    def backward(self, indices, grad_outputs):
        self.see(grad_outputs[0].array)
        return grad_outputs


class Recorder:

    """Looks at the local features of every training step, and at the mixtures.

    Args:
        true (function): ``PartClassifier.encoder_input``, in whose place this one is called.

    """

    def __init__(self, true):
        self.true, self.rows, self.n_steps = true, [], 0
        self.watching = {}      # mixtures that only watch, by number of components

    def __call__(self, model, conv_map, visible):
        if not chainer.config.train:
            return self.true(model, conv_map, visible)
        x, mask = encodings.local_features(conv_map, visible, 'mask')
        mixtures = self.mixtures(model, x.array, mask)
        if self.n_steps % EVERY == 0:
            features = x.array[mask]
            rows = [self.row(layer, features) for layer in mixtures if layer.is_seeded]

            def see(gradient):
                g = encodings.local_features(chainer.as_variable(gradient), visible, 'mask')[0]
                norms = numpy.linalg.norm(g.array[mask], axis=1)
                self.rows += [{**row, 'gradient': float(numpy.sqrt((norms ** 2).mean()))}
                              for row in rows]
            conv_map, = Watch(see).apply((conv_map,))
        self.n_steps += 1
        return self.true(model, conv_map, visible)

    def mixtures(self, model, x, mask):
        """The encoding's mixture; of GAP, mixtures that see the same features."""
        if isinstance(model.encoder, fve_layer.FVELayer):
            return [model.encoder]
        for k in COMPONENTS:
            layer = self.watching.setdefault(k, fve_layer.FVELayer(x.shape[2], k, seed=0))
            with chainer.no_backprop_mode():
                layer(x, mask)
        return list(self.watching.values())

    def row(self, layer, features):
        resp = responsibilities(features, *layer.mixture)
        alive = numpy.ptp(features, axis=0) > 0
        return {'components': len(layer.weight), 'update': self.n_steps,
                'dead': 100 * (1 - float(alive.mean())),
                'within': geometric_mean(numpy.sqrt(layer.var)),
                'confidence': float(resp.max(axis=1).mean())}


def geometric_mean(values):
    return float(numpy.exp(numpy.log(values).mean()))


def run(name, config, overrides):
    """Trains a variant from its start; returns its rows."""
    folder = RunFolder(RESULTS / name)
    shutil.rmtree(folder.path, ignore_errors=True)
    true = part_classifier.PartClassifier.encoder_input
    recorder = Recorder(true)
    part_classifier.PartClassifier.encoder_input = lambda *args: recorder(*args)
    try:
        experiment.run(f'configs/details/{config}.yml', DRAWING + overrides, folder.path, HERE,
                       is_told=False)
    finally:
        part_classifier.PartClassifier.encoder_input = true
    assert folder.state == REPORTED
    accuracy = 100 * folder.read_evaluation()['accuracy']['both']
    return [{'variant': name, **row, 'accuracy': accuracy} for row in recorder.rows]


def main():
    known = variants()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('variants', nargs='*', default=list(known), help=', '.join(known))
    table = []
    if TABLE.exists():
        with open(TABLE, newline='', encoding='utf-8') as file:
            table = list(csv.DictReader(file))
    names = parser.parse_args().variants
    if not known.keys() >= {*names}:
        parser.error(f'variants are {", ".join(known)}')
    for name in names:
        if any(row['variant'] == name for row in table):
            continue
        table += run(name, *known[name])
        with atomic(TABLE) as path, open(path, 'w', newline='', encoding='utf-8') as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows({key: f'{value:.4g}' if isinstance(value, float) else value
                              for key, value in row.items()} for row in table)


if __name__ == '__main__':
    main()
