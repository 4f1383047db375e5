"""What a model says about pictures, and how often it is right."""
from dataclasses import dataclass

import chainer.functions as F
import numpy

from finetune.names import counted


@dataclass(frozen=True, eq=False)
class Prediction:
    """Predictions for n images: one row for each, also for a single image.

    Attributes:
        scores (numpy.ndarray): Sums of the streams' scores, (n, n_classes), float32.
        boxes (numpy.ndarray): Boxes of the parts (y_min, x_min, y_max, x_max) in pixels,
            (n, P, 4), int32.
        visible (numpy.ndarray): Visible parts, (n, P), bool.
        images (list of str): Paths of the n images; ``image 1`` ... for those without one.
        class_names (list of str): Names of the n_classes classes.

    """

    scores: numpy.ndarray
    boxes: numpy.ndarray
    visible: numpy.ndarray
    images: list[str]
    class_names: list[str]

    def __repr__(self) -> str:
        return f'<predictions for {counted(len(self.images), "image", "images")}>'

    @property
    def classes(self) -> numpy.ndarray:
        """The predicted class of each image, (n,), a number in 0 ... n_classes - 1."""
        return self.scores.argmax(axis=1)

    @property
    def names(self) -> list[str]:
        """The name of the predicted class of each image, n of them."""
        return [self.class_names[label] for label in self.classes]

    @property
    def probabilities(self) -> numpy.ndarray:
        """Softmax of the scores, (n, n_classes)."""
        return F.softmax(self.scores).array

    def top(self, k: int) -> numpy.ndarray:
        """The k classes with the highest scores of each image, (n, k), the highest first."""
        return numpy.argsort(-self.scores, axis=1, kind='stable')[:, :k]


def joined(predictions: list[Prediction]) -> Prediction:
    """The predictions of several batches of one model as those of a single batch."""
    scores, boxes, visible = (numpy.concatenate([getattr(one, name) for one in predictions])
                              for name in ('scores', 'boxes', 'visible'))
    images = [image for one in predictions for image in one.images]
    return Prediction(scores, boxes, visible, images, predictions[0].class_names)


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Predictions for n images of known classes.

    Attributes:
        prediction (Prediction): The predictions.
        labels (numpy.ndarray): The true classes, (n,), numbers in 0 ... n_classes - 1.
        n_trained_on (int or None): How many of the images the model was trained on, which makes
            the accuracy too high; ``None``: unknown.

    """

    prediction: Prediction
    labels: numpy.ndarray
    n_trained_on: int | None

    def __repr__(self) -> str:
        return (f'<{100 * self.accuracy:.1f} % of '
                f'{counted(len(self.labels), "image", "images")} are classified correctly>')

    @property
    def accuracy(self) -> float:
        """Share of images whose class is predicted correctly, in [0, 1]."""
        return float((self.prediction.classes == self.labels).mean())

    @property
    def confusion(self) -> numpy.ndarray:
        """Numbers of images by true class (rows) and predicted class, (n_classes, n_classes)."""
        n = len(self.prediction.class_names)
        pairs = numpy.bincount(self.labels * n + self.prediction.classes, minlength=n * n)
        return pairs.reshape(n, n)

    @property
    def accuracies(self) -> dict[str, float]:
        """The accuracy of each class with images, by its name."""
        counts = self.confusion
        return {name: float(counts[i, i] / counts[i].sum())
                for i, name in enumerate(self.prediction.class_names) if counts[i].any()}
