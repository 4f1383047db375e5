"""Predictions for the test images against those of one image at a time."""
import csv

import chainer
import numpy
import pytest
from scipy.special import log_softmax

from conftest import load
from finetune.config.config import read_config
from finetune.data.dataset import collate
from finetune.models.part_classifier import build_classifier
from finetune.runs.predictions import iterate_test_images, predict, Predictions, read_predictions
from finetune.runs.predictions import write_predictions

CPU = chainer.get_device('@numpy')


@pytest.mark.parametrize('sections, streams', [
    ({}, ['both', 'global', 'parts']),
    ({'data': {'parts': 'GLOBAL'}, 'model': {'encoding': 'gap'}}, ['both'])])
def test_predictions_are_those_of_single_images(sections, streams, write_config):
    config = read_config(write_config(**sections))
    data_set = load(config.data)
    model = build_classifier(config, data_set)
    with iterate_test_images(config, data_set) as iterator:
        examples = list(iterator.dataset)
        predictions = predict(model, iterator, CPU)
    with chainer.using_config('train', False), chainer.no_backprop_mode():
        of_images = [model.scores(*collate([example])[:3]) for example in examples]
    scores = {stream: numpy.array([of_image[stream].array[0] for of_image in of_images])
              for stream in streams}
    if len(streams) > 1:
        numpy.testing.assert_allclose(scores['both'], scores['global'] + scores['parts'],
                                      rtol=1e-5)
    assert list(predictions.classes) == streams
    for stream in streams:
        assert predictions.classes[stream].tolist() == scores[stream].argmax(axis=1).tolist()
    label = numpy.array([record.label for record in data_set.test])
    assert predictions.label.tolist() == label.tolist()
    assert predictions.n_visible.tolist() == [visible.sum() for _, _, visible, _ in examples]
    losses = -log_softmax(scores['both'], axis=1)[numpy.arange(len(label)), label]
    assert predictions.loss == pytest.approx(losses.mean(), rel=1e-5)


def test_accuracies():
    predictions = Predictions(numpy.array([0, 1, 2, 2]), None,
                              {'both': numpy.array([0, 1, 1, 2]),
                               'parts': numpy.array([1, 0, 1, 2])}, 0.)
    assert predictions.accuracies == {'both': .75, 'parts': .25}


@pytest.mark.parametrize('streams', [['both'], ['both', 'global', 'parts']])
def test_table_holds_names_of_classes_and_is_read_as_it_was_written(streams, tmp_path):
    names = ['001.Finch', 'a, b', '"Meise", grün']
    random = numpy.random.RandomState(0)
    classes = {stream: random.randint(3, size=5) for stream in streams}
    predictions = Predictions(numpy.array([0, 1, 2, 2, 0]), numpy.arange(5), classes, 0.)
    ids = [f'i/{i}' for i in range(5)]
    path = tmp_path / 'predictions.csv'
    write_predictions(path, predictions, ids, names)
    with open(path, encoding='utf-8', newline='') as file:
        header, *rows = csv.reader(file)
    assert header == ['image', 'n_visible', 'label', *streams]
    assert rows[1] == ['i/1', '1', 'a, b', *(names[classes[stream][1]] for stream in streams)]
    columns = read_predictions(path, '')
    assert list(columns) == header and columns['image'].tolist() == ids
    assert columns['n_visible'].dtype.kind == 'i'
    assert columns['n_visible'].tolist() == [0, 1, 2, 3, 4]
    for stream in streams:
        assert columns[stream].tolist() == [names[i] for i in classes[stream]]
        assert (columns[stream] == columns['label']).mean() == predictions.accuracies[stream]
