"""The supplement's points in the plane: classes around centres on the unit circle (Sect. S3)."""
import numpy


def draw_points(n_classes, n_samples, deviation, random):
    """Draws the points of all classes.

    .. math::

        x \\sim N(\\mu_k, s^2 I), \\quad
        \\mu_k = (\\cos(2 \\pi k / K), \\sin(2 \\pi k / K)), \\quad k = 1 \\ldots K

    Args:
        n_classes (int): Number of classes K.
        n_samples (int): Points per class.
        deviation (float): Standard deviation s of a class in both dimensions.
        random (numpy.random.RandomState): Draws everything.

    Returns:
        tuple of arrays: Points (K n_samples, 2), float32, and centres (K, 2).

    """
    angles = 2 * numpy.pi * numpy.arange(1, n_classes + 1) / n_classes
    centres = numpy.stack((numpy.cos(angles), numpy.sin(angles)), axis=1)
    noise = deviation * random.standard_normal((n_classes, n_samples, 2))
    points = centres[:, None] + noise
    return points.reshape(-1, 2).astype(numpy.float32), centres
