"""A picture of the evidence for a predicted class."""
from matplotlib import colors
import numpy

from finetune.names import shown
from finetune.visualize import mixture_pictures, sheet

# Colours of evidence for and against, which colour-blind readers can distinguish.
FOR, AGAINST = numpy.array([colors.to_rgb('#FF8C00'), colors.to_rgb('#6A3D9A')])
OPACITY = .8
MAX_LISTED = 8          # components whose sums the title lists


def of_answer(predictor, examined, i, label, heading, examples):
    """Draws the evidence for a class in a picture of a batch.

    Args:
        predictor (finetune.prediction.predictor.Predictor): The model.
        examined (finetune.prediction.predictor.Examined): The batch.
        i (int): Index of the picture in the batch.
        label (int): Index of the class.
        heading (str): First lines of the title.
        examples (finetune.runs.thumbnails.Examples or None): Examples of all classes.

    Returns:
        matplotlib.figure.Figure: The picture.

    """
    view = sheet.look_at(examined, i, predictor)._replace(caption='parts')
    return draw(view, predictor.explain(examined[i], label), heading,
                shown(predictor.class_names[label]),
                examples.of(label) if examples else [])


def draw(view, evidence, heading, class_name, examples):
    """Draws a picture, the evidence in its parts, and examples of the predicted class.

    Args:
        view (finetune.visualize.sheet.View): The picture and the network's input.
        evidence (finetune.prediction.evidence.Evidence): Shares of the local features.
        heading (str): First lines of the title.
        class_name (str): Name of the predicted class.
        examples (list of numpy.ndarray): Pictures (h, w, 3) of this class.

    Returns:
        matplotlib.figure.Figure: The picture.

    """
    image, parts = evidence
    beside = [(_overlay(view.img, image.sum(axis=-1), _limit(image)),
               f'whole image {image.sum():+.1f}'),
              *((example, f'example of {class_name}') for example in examples)]
    title = (f'{heading}\norange: evidence for {class_name}, purple: against it; numbers: '
             'sums over the cells')
    encoded = image if parts is None else parts
    by_component = encoded.reshape(-1, encoded.shape[-1]).sum(axis=0)
    if len(by_component) > 1:
        title += f'\n{_components(by_component)}'
    if parts is None:
        return sheet.draw([view._replace(names=[], caption='picture')], title,
                          pictures=lambda view: beside)
    names = [f'{name} {share.sum():+.1f}' for name, share in zip(view.names, parts)]

    def draw_crop(axis, view, i):
        crop, shares = sheet.crop(view, i), parts[i]
        axis.imshow(_overlay(crop, shares.sum(axis=-1), _limit(parts)))
        axis.set(xticks=[], yticks=[])
        if shares.shape[-1] > 1:
            strongest = numpy.abs(shares).argmax(axis=-1)
            counts = shares.any(axis=-1)
            mixture_pictures.number_cells(axis, crop.shape, strongest + 1, counts)

    return sheet.draw([view._replace(names=names)], title, draw_crop, lambda view: beside)


def _limit(shares):
    """The largest absolute share of a local feature, which scales the colours."""
    return max(float(numpy.abs(shares.sum(axis=-1)).max()), 1e-12)


def _overlay(image, shares, limit):
    """Blends a grey image (H, W, 3) with the colours of its cells (h, w)."""
    rows, columns = (numpy.arange(extent) * n // extent
                     for extent, n in zip(image.shape[:2], shares.shape))
    relative = shares[rows[:, None], columns] / limit
    opacity = OPACITY * numpy.abs(relative)[..., None]
    colours = numpy.where(relative[..., None] > 0, FOR, AGAINST)
    grey = (image @ mixture_pictures.LUMINANCE)[..., None].clip(0, 1)
    return (opacity * colours + (1 - opacity) * grey).clip(0, 1)


def _components(sums):
    """Text that lists the components that contribute most."""
    strongest = numpy.argsort(-numpy.abs(sums), kind='stable')[:MAX_LISTED]
    listed = ', '.join(f'{k + 1}: {sums[k]:+.1f}' for k in strongest)
    rest = '' if len(sums) <= MAX_LISTED else ', ...'
    return f'number in a cell: component with the largest share; by component {listed}{rest}'
