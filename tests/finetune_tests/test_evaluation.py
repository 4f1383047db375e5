"""Predictions for the test images against those of one image at a time."""
import chainer
import numpy
import pytest
from scipy.special import log_softmax

from finetune import config
from finetune.data import file_lists
from finetune.data.dataset import collate
from finetune.training import trainer
from finetune.training.evaluation import Predictions, evaluate, predict

CPU = chainer.get_device('@numpy')


@pytest.mark.parametrize('sections', [{}, {'data': {'parts': 'GLOBAL', 'missing': 'zero'},
                                           'model': {'encoding': 'gap'}}])
def test_predictions_are_those_of_single_images(sections, drawn_birds, write_config):
    settings, lists = config.load(write_config(**sections)), file_lists.read_cub(drawn_birds)
    model = trainer.build_model(settings, lists)
    with trainer.test_iterator(settings, lists) as iterator:
        with chainer.using_config('train', False):
            scores = [model.logits(*collate([example])[:3]) for example in iterator.dataset]
        predictions = predict(model, iterator, CPU)
        assert evaluate(model, iterator, CPU) == {**predictions.accuracies,
                                                  'loss': predictions.loss}
    streams = {'accuracy': [sum(s.array[0] for s in some if s is not None) for some in scores]}
    if not sections:
        streams.update(accuracy_global=[one.array[0] for one, _ in scores],
                       accuracy_parts=[one.array[0] for _, one in scores])
    assert set(predictions.classes) == set(streams)
    for name, logits in streams.items():
        assert predictions.classes[name].tolist() == numpy.argmax(logits, axis=1).tolist()
    label = [record.label for record in lists.test]
    assert predictions.label.tolist() == label
    losses = [-log_softmax(one)[i] for one, i in zip(streams['accuracy'], label)]
    assert predictions.loss == pytest.approx(numpy.mean(losses), rel=1e-5)


def test_accuracies():
    predictions = Predictions(numpy.array([0, 1, 2, 2]), None,
                              {'accuracy': numpy.array([0, 1, 1, 2]),
                               'accuracy_parts': numpy.array([1, 0, 1, 2])}, 0.)
    assert predictions.accuracies == {'accuracy': .75, 'accuracy_parts': .25}
