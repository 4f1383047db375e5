"""Looking at part crops, into a trained mixture, and at what is mixed up."""
import chainer
from matplotlib import colors, pyplot
from matplotlib.text import Text
import numpy
from PIL import Image
import pytest
from sklearn.metrics import confusion_matrix, f1_score, precision_score, recall_score
import yaml

from conftest import examples, fails, load
from finetune import cli, files
from finetune.config.config import read_config
from finetune.config.settings import Data, Model
from finetune.data import annotation_files
from finetune.data.dataset import collate
from finetune.models.part_classifier import PartClassifier
from finetune.runs.folder import RunFolder
from finetune.visualize import confusion, mixture, mixture_pictures, sheet
from finetune.visualize.confusion_matrix import draw as draw_matrix, write_tables
from finetune.visualize.mistakes import draw as draw_mistakes, find as find_mistakes

CPU = chainer.get_device('@numpy')


@pytest.fixture
def data_set(drawn_birds):
    return annotation_files.read_cub(drawn_birds)


def run(*arguments):
    return cli.main(['visualize', *map(str, arguments)])


def make_dataset(data_set, **changes):
    settings = Data(input_size=32, part_input_size=32, **changes)
    return examples(data_set.test, settings, train=False, seed=0)


def make_model(dataset, **changes):
    """A small classifier whose mixture has learned from the whole data set."""
    settings = Model(**{'architecture': 'small_cnn', 'n_components': 3, **changes})
    model = PartClassifier(settings, 3, 15, missing=dataset.settings.missing)
    arrays = collate(list(dataset))
    for _ in range(3):
        model.scores(*arrays[:3])
    return model


def assert_nothing_is_cut_off(figure):
    """Every text is within the figure, but for the part numbers that are clipped to an image."""
    figure.draw_without_rendering()
    for text in figure.findobj(Text):
        if text.get_text() and text.get_visible() and text.get_clip_path() is None:
            box = text.get_window_extent()
            assert box.x0 >= 0 and box.y0 >= 0, text
            assert box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1, text


@pytest.mark.parametrize('order', ['ordered', 'shuffled'])
@pytest.mark.parametrize('missing', ['zero', 'mask', 'centre'])
def test_view_shows_what_the_network_gets(data_set, order, missing):
    dataset = make_dataset(data_set, order=order, missing=missing)
    index = next(i for i, record in enumerate(data_set.test) if not record.visible.all())
    view = sheet.look_at(dataset, index, data_set)
    img, crops, visible, _ = dataset[index]
    assert (view.visible == visible).all()
    numpy.testing.assert_allclose(2 * view.img.transpose(2, 0, 1) - 1, img, atol=1e-6)
    rows = iter(crops)
    for i in numpy.flatnonzero(visible):
        numpy.testing.assert_allclose(
            2 * sheet.crop(view, i).transpose(2, 0, 1) - 1, next(rows), atol=1e-6)
    record = data_set.test[index]
    for i, name in enumerate(view.names):
        place, part = name.split(' ', 1)
        number = data_set.part_names.index(part)
        assert int(place) == i + 1 and view.is_annotated[i] == record.visible[number]
        if view.is_annotated[i]:
            centre = view.bbox[i].reshape(2, 2).mean(axis=0)
            assert abs(centre - record.locations[number]).max() <= 1


@pytest.mark.parametrize('parts, with_input', [('GT', True), ('GT', False), ('GLOBAL', True)])
def test_contact_sheet_is_complete(data_set, parts, with_input):
    dataset = make_dataset(data_set, parts=parts)
    views = [sheet.look_at(dataset, i, data_set) for i in (0, 3)]
    figure = sheet.draw(views, 'A heading that is much longer than one line ' * 6,
                        pictures=None if with_input else lambda view: [])
    n_parts = 0 if parts == 'GLOBAL' else 15
    assert len(figure.axes) == 2 * (1 + with_input + n_parts)
    said = [text.get_text() for text in figure.findobj(Text)]
    assert said.count('hidden') == sum((~view.visible).sum() for view in views)
    assert_nothing_is_cut_off(figure)


def test_parts_through_the_command_line(write_config, capsys):
    path = write_config()
    assert run('parts', path, '--images', 2) == 0
    assert run('parts', path, '--split', 'test', '--set', 'data.order=shuffled', '--set',
               'data.missing=centre', '--output', 'pictures') == 0
    printed = capsys.readouterr().out.split()
    assert printed == ['results/config/parts_train.png', 'pictures/parts_test.png']
    for picture in printed:
        with Image.open(picture) as image:
            assert image.width > 1000
    RunFolder.of(path, 0).check(read_config(path))      # it is not in the way of results


@pytest.mark.parametrize('missing', ['zero', 'mask'])
@pytest.mark.parametrize('encoding', ['fve', 'gradient_fve'])
def test_responsibilities_are_those_of_the_encoding(data_set, missing, encoding):
    dataset = make_dataset(data_set, missing=missing)
    model = make_model(dataset, encoding=encoding)
    index = next(i for i, record in enumerate(data_set.test) if not record.visible.all())
    owners = mixture.look(model, dataset[index], CPU)
    _, parts, visible, _ = collate([dataset[index]])
    with chainer.using_config('train', False):
        conv_map = model.part_conv_maps(parts, visible)
        fv = model.encoder(*model.encoder_input(conv_map, visible)).array[0]
    x = conv_map.array.transpose(0, 2, 3, 1)        # (P, h, w, C)
    assert owners.counts[visible[0]].any() and not owners.counts[~visible[0]].any()
    # The mean part of the Fisher vector (Eq. 13). Hidden features have zero norm: filtered out.
    mean, var, weight = model.encoder.mixture
    sums = 0
    for place in zip(*numpy.nonzero(owners.counts)):
        sums += owners.resp[place][:, None] * (x[place] - mean) / numpy.sqrt(var)
    expected = sums / numpy.sqrt(owners.counts.sum() * weight)[:, None]
    numpy.testing.assert_allclose(fv[:mean.size].reshape(mean.shape), expected, rtol=1e-3,
                                  atol=1e-4)


def test_inspection_of_all_images(data_set):
    dataset = make_dataset(data_set, order='shuffled', missing='mask')
    model = make_model(dataset)
    inspection = mixture.inspect(model, dataset, CPU)
    n_counting = numpy.zeros((15, 4, 4))
    for index in range(len(dataset)):
        numbers, _, _ = dataset.part_boxes(index, (1, 1))
        owners = mixture.look(model, dataset[index], CPU)
        n_counting[numbers] += owners.counts
    numpy.testing.assert_allclose(inspection.shares.sum(axis=0), n_counting)
    labels = numpy.array([record.label for record in dataset.records])
    for label, n_class in enumerate(inspection.classes.sum(axis=0)):
        assert n_class == pytest.approx(sum(
            mixture.look(model, dataset[index], CPU).counts.sum()
            for index in numpy.flatnonzero(labels == label)))
    numpy.testing.assert_allclose(inspection.classes.sum(axis=1),
                                  inspection.shares.sum(axis=(1, 2, 3)))
    for patches in inspection.patches:
        indices = [patch.index for patch in patches]
        assert len(set(indices)) == len(indices) <= mixture.N_PATCHES
        keys = [patch[:2] for patch in patches]
        assert keys == sorted(keys, reverse=True)
        for patch in patches:
            assert any((patch.image == expected).all() for expected in patches_of(
                dataset, patch.index, patch.part))


def patches_of(dataset, index, part):
    """All patches of a part of an image: 3 x 3 cells of 8 pixels, the edges replicated."""
    numbers, _, visible = dataset.part_boxes(index, (1, 1))
    crop = dataset[index][1][list(numbers[visible]).index(part)].transpose(1, 2, 0) / 2 + .5
    padded = numpy.pad(crop, ((8, 8), (8, 8), (0, 0)), mode='edge')
    return [padded[y:y + 24, x:x + 24] for y in range(0, 32, 8) for x in range(0, 32, 8)]


def test_most_responsible_feature():
    resp = numpy.array([[[[1, 0], [1, 0]], [[.2, .8], [.4, .6]]]])      # (1, 2, 2, 2)
    log_likelihood = numpy.array([[[-5., -3.], [0., 0.]]])
    counts = numpy.ones((1, 2, 2), bool)
    owners = mixture.Owners(resp, log_likelihood, counts)
    assert mixture.most_responsible(owners, 0) == (0, 0, 1)     # a tie: the one that fits best
    assert mixture.most_responsible(owners, 1) == (0, 1, 0)
    counts[0, 1, 0] = False
    assert mixture.most_responsible(owners, 1) == (0, 1, 1)
    counts[0, 1, 1] = False
    assert mixture.most_responsible(owners, 1) is None          # owns nothing that counts
    assert mixture.most_responsible(owners._replace(counts=~counts & False), 0) is None


def test_patch_is_the_cell_and_its_neighbours():
    crop = numpy.arange(64.).reshape(8, 8, 1).repeat(3, axis=2)
    patch = mixture.around(crop, (1, 2), (4, 4))
    assert (patch == crop[0:6, 2:8]).all()
    corner = mixture.around(crop, (0, 3), (4, 4))
    assert corner.shape == (6, 6, 3)
    assert (corner[2:, :4] == crop[:4, 4:]).all() and (corner[0] == corner[1]).all()


@pytest.mark.parametrize('shares, expected', [
    ([[4, 0], [0, 4]], '1.00 of 1.00 bits'), ([[4, 4], [2, 2]], '0.00 of 1.00 bits'),
    ([[2, 2, 0, 0], [0, 0, 2, 2]], '1.00 of 2.00 bits'),
    ([[3., 0, 1], [3, 0, 1]], '0.00 of 0.81 bits')])
def test_information_about_part_place_and_class(shares, expected):
    k, n = numpy.shape(shares)
    nothing = numpy.ones((k, 1))
    assert mixture.information(numpy.reshape(shares, (k, n, 1, 1)), nothing).endswith(
        f'part {expected}, place in the crop 0.00 of 0.00 bits, class 0.00 of 0.00 bits')
    assert f'place in the crop {expected}' in mixture.information(
        numpy.reshape(shares, (k, 1, 1, n)), nothing)
    assert mixture.information(numpy.ones((k, 1, 1, 1)), numpy.array(shares)).endswith(
        f'class {expected}')


def test_cells_have_the_colour_of_their_owner():
    axis = pyplot.figure().add_subplot()
    counts = numpy.array([[True, False], [True, True]])
    owner = numpy.array([[0, 0], [8, 1]])
    mixture_pictures._draw_cells(axis, numpy.ones((6, 6, 3)), owner, counts)
    expected = [[mixture_pictures.COLOURS[0], mixture_pictures.FILTERED],
                [mixture_pictures.COLOURS[1], mixture_pictures.COLOURS[1]]]
    shown = axis.images[1].get_array()
    for cell in numpy.ndindex(2, 2):
        assert colors.to_hex(shown[cell]) == colors.to_hex(expected[cell[0]][cell[1]])
    numbers = {(text.get_text(), *text.get_position()) for text in axis.texts}
    assert numbers == {('1', 1, 1), ('9', 1, 4), ('2', 4, 4)}
    pyplot.close()


@pytest.mark.parametrize('n_components', [1, 9])
def test_pictures_of_the_mixture_are_complete(data_set, n_components, monkeypatch):
    monkeypatch.setattr(mixture_pictures, 'MAX_COMPONENTS', 7)
    dataset = make_dataset(data_set, missing='mask')
    model = make_model(dataset, n_components=n_components)
    views = [sheet.look_at(dataset, i, data_set) for i in (0, 5)]
    owners = [mixture.look(model, dataset[view.index], CPU) for view in views]
    inspection = mixture.inspect(model, dataset, CPU)
    title = mixture.summary('results/name', model)
    assert ('these pictures show nothing' in title) == (n_components == 1)
    _, _, weight = model.encoder.mixture
    for figure in (mixture_pictures.overlay(views, owners, title),
                   mixture_pictures.components(inspection, weight, data_set.part_names, title)):
        assert_nothing_is_cut_off(figure)
    said = {text.get_text() for text in figure.findobj(Text)}
    heaviest = sorted(range(n_components), key=lambda k: -weight[k])[:7]
    assert {text for text in said if text.startswith('component ')} == {
        f'component {k + 1}\n{100 * weight[k]:.1f} %' for k in heaviest}


@pytest.fixture
def in_own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_mixture_and_confusion_through_the_command_line(
        finished_run, copy_of, in_own_folder, capsys):
    out = copy_of(finished_run)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert run('mixture', out, '--images', 2) == 0
    printed = capsys.readouterr().out
    assert f'{out}: 2 components, normalised entropy of the weights' in printed
    assert run('confusion', out) == 0
    accuracy = yaml.safe_load((out / 'evaluation.yml').read_text())['accuracy']['both']
    n_wrong = round(6 * (1 - accuracy))
    assert f'{out}: {n_wrong} of 6 test images' in capsys.readouterr().out
    after = {path.name: path.read_bytes() for path in out.iterdir()}
    assert set(after) - set(before) == {
        'mixture_overlay.png', 'mixture_components.png', 'confusion.csv', 'classes.csv',
        'confusion_matrix.png'} | ({'confusion.png'} if n_wrong else set())
    written, expected = read_tables(out)[0], RunFolder(out).read_predictions()
    assert (written == confusion_matrix(expected['label'], expected['both'])).all()
    assert {name: after[name] for name in before} == before
    assert pyplot.get_fignums() == []


def read_tables(folder):
    """The matrix (n, n), and the columns of the scores, NaN where a cell is empty."""
    _, *matrix = files.read_csv(folder / 'confusion.csv')
    header, *rows = files.read_csv(folder / 'classes.csv')
    assert header == ['class', 'images', 'precision', 'recall', 'f1']
    return (numpy.array([row[1:] for row in matrix], int),
            {name: [float(cell or 'nan') for cell in column]
             for name, column in zip(header[1:], list(zip(*rows))[1:])})


def test_tables_are_scikit_learns(tmp_path):
    random = numpy.random.RandomState(0)
    label, predicted = random.randint(6, size=(2, 90))
    label[label == 4], predicted[predicted == 2] = 3, 1     # not tested; never predicted
    names = ['a, "b"', 'a\nb', 'caf\udce9', 'x_y', 'ü', ' z ']
    write_tables(RunFolder(tmp_path), label, predicted, names)
    matrix, scores = read_tables(tmp_path)
    assert next(files.read_csv(tmp_path / 'confusion.csv'))[1:] == names
    numpy.testing.assert_array_equal(matrix, confusion_matrix(label, predicted))
    options = {'average': None, 'zero_division': numpy.nan}
    for name, score in {'precision': precision_score, 'recall': recall_score,
                        'f1': f1_score}.items():
        expected = score(label, predicted, **options)
        numpy.testing.assert_allclose(scores[name], expected, atol=5.1e-5, err_msg=name)
    assert numpy.isnan(scores['precision'][2]) and numpy.isnan(scores['recall'][4])
    assert scores['images'] == numpy.bincount(label).tolist()


@pytest.mark.parametrize('n', [2, 5, 60])
def test_picture_of_the_matrix_is_complete(n):
    label = numpy.arange(3 * n) % n
    figure = draw_matrix(label, (label * 7) % n, [f'{i}_{"long_" * (i % 30)}' for i in range(n)],
                         'results/name: 3 of 9 test images are misclassified')
    assert_nothing_is_cut_off(figure)
    axis, = figure.axes
    assert {text.get_text() for text in axis.texts} == (set() if n == 60 else {'3'})
    cell = axis.get_window_extent().width / figure.dpi / n
    assert cell >= .13 and min(text.get_fontsize() for text in axis.get_xticklabels()) >= 7


def test_most_confused_pairs():
    random = numpy.random.RandomState(0)
    label, predicted = random.randint(5, size=(2, 80))
    matrix = confusion_matrix(label, predicted)
    both = matrix + matrix.T
    pairs = confusion.most_confused(label, predicted, n_pairs=4)
    expected = sorted(both[numpy.triu_indices(5, 1)])[::-1][:4]
    assert [sum(map(len, pair.mistakes)) for pair in pairs] == expected
    for (a, b), mistakes in pairs:
        assert list(map(len, mistakes)) == [matrix[a, b], matrix[b, a]]
        assert all(label[i] == a and predicted[i] == b for i in mistakes[0])
    assert confusion.most_confused(label, label) == []


def test_mistakes(finished_run, copy_of, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    folder = copy_of(finished_run)
    label, predicted = (RunFolder(folder).read_predictions()[name] for name in ('label', 'both'))
    wrong = numpy.flatnonzero(label != predicted)
    found, n_tested = find_mistakes(RunFolder(folder))
    data_set = load(RunFolder(folder).read_config().data)
    assert n_tested == len(label) and found == [
        (data_set.test[i].path, label[i], predicted[i]) for i in wrong]
    assert len(draw_mistakes(found, 'title').axes) == len(wrong) > 0
    assert run('mistakes', folder, '--images', '2') == 0
    assert f'{len(wrong)} of {len(label)} test images are misclassified' in capsys.readouterr().out
    assert Image.open(folder / 'mistakes.png').width > 900


def test_mistakes_on_images_that_are_gone(finished_run, copy_of, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    folder = copy_of(finished_run)
    table = folder / 'predictions.csv'
    lines = table.read_text().splitlines()
    table.write_text('\n'.join([lines[0], 'gone' + lines[1], *lines[2:]]))
    assert 'is not in it; restore it, or train with another --output' in fails(
        capsys, 'visualize', 'mistakes', folder)


def test_picture_of_the_confusion_is_complete(data_set):
    data_set.class_names[0] = '001.A_species_with_a_very_long_name_indeed_that_needs_lines'
    label = numpy.array([record.label for record in data_set.test])
    pairs = confusion.most_confused(label, (label + 1) % 3)
    figure = confusion.draw(pairs, data_set, 'results/name: all wrong')
    assert len(figure.axes) == 3 * (2 * confusion.N_EXAMPLES + 2)
    assert_nothing_is_cut_off(figure)


@pytest.mark.parametrize('what, where', [('parts', 'config.yml'),
                                         ('mixture', 'results/config/seed0')])
@pytest.mark.parametrize('n', [0, 101])
def test_number_of_images_is_checked_before_anything_is_opened(what, where, n, capsys):
    assert run(what, where, '--images', n) == 2
    assert capsys.readouterr().err == (
        f'finetune: --images is {n}, but must be between 1 and 100.\n')


@pytest.mark.parametrize('n, n_all, expected', [
    (9, 3, [0, 1, 2]), (3, 9, [0, 4, 8]), (1, 9, [0]), (2, 2, [0, 1])])
def test_evenly_spaced(n, n_all, expected):
    assert list(sheet.evenly_spaced(n, n_all)) == expected


def test_models_without_a_mixture(finished_gap, copy_of, in_own_folder, capsys):
    out = copy_of(finished_gap)
    assert run('mixture', out) == 2
    assert 'the model has no mixture to inspect' in capsys.readouterr().err
    assert run('confusion', out) == 0


def test_folder_without_a_run(in_own_folder, capsys):
    assert run('mixture', 'nowhere') == 2
    assert 'nowhere: there is no such folder; train first, or give ' in capsys.readouterr().err
