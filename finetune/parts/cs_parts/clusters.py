"""Pixels with high saliency, grouped into parts by k-means."""
import numpy
from scipy.ndimage import maximum_filter

N_BINS = 256        # of the histogram for Otsu's method
COLUMNS = {'position': 2, 'position_saliency': 3, 'position_saliency_colour': 6}


def otsu_threshold(values: numpy.ndarray) -> float:
    """Otsu's threshold, which maximises the variance between two classes."""
    counts, edges = numpy.histogram(values, N_BINS)
    centres = (edges[:-1] + edges[1:]) / 2
    below, total = counts.cumsum()[:-1], counts.sum()
    sums = (counts * centres).cumsum()
    above = total - below
    difference = sums[:-1] / below - (sums[-1] - sums[:-1]) / above     # the end bins are not empty
    return centres[numpy.argmax(below * above * difference ** 2)]


def peaks(saliency: numpy.ndarray, n: int) -> numpy.ndarray:
    """The at most n highest local maxima (m, 2), (y, x), in descending order; none at the edge."""
    is_peak = (saliency == maximum_filter(saliency, size=3)) & (saliency > saliency.min())
    is_peak[[0, -1]] = is_peak[:, [0, -1]] = False
    points = numpy.argwhere(is_peak)
    order = numpy.argsort(-saliency[is_peak], kind='stable')
    return points[order[:n]]


def group(saliency: numpy.ndarray, mask: numpy.ndarray, img: numpy.ndarray, n_parts: int,
          columns: str) -> numpy.ndarray:
    """Groups pixels by k-means, initialised at the highest peaks of the saliency.

    Every column of the pixels' vectors is scaled to [0, 1] over the salient pixels. Cluster i
    belongs to the i-th highest peak. If there are fewer peaks than parts, k-means++ initialises.

    Args:
        saliency (numpy.ndarray): (H, W).
        mask (numpy.ndarray): (H, W), bool: pixels to group, at least one.
        img (numpy.ndarray): (3, H, W), colours.
        n_parts (int): Number of groups.
        columns (str): Columns of the vectors, a key of :data:`COLUMNS`.

    Returns:
        numpy.ndarray: (H, W), int: 0 ... n_parts - 1; -1 for pixels outside the mask. A group may
        be empty.

    """
    labels = numpy.full(saliency.shape, -1)
    y, x = numpy.indices(saliency.shape)
    vectors = numpy.stack([y, x, saliency, *img])[:COLUMNS[columns]].astype(numpy.float64)
    salient = vectors[:, mask]
    low, extent = salient.min(axis=1), numpy.ptp(salient, axis=1)
    vectors = (vectors - low[:, None, None]) / numpy.where(extent > 0, extent, 1)[:, None, None]
    vectors = numpy.moveaxis(vectors, 0, -1)
    data, n_distinct = vectors[mask], len(numpy.unique(vectors[mask], axis=0))
    starts = peaks(saliency, n_parts)
    if n_distinct <= n_parts:
        labels[mask] = numpy.unique(data, axis=0, return_inverse=True)[1].reshape(-1)
    elif len(starts) == n_parts:
        labels[mask] = _k_means(data, n_parts, init=vectors[tuple(starts.T)], n_init=1).labels_
    else:
        labels[mask] = _k_means(data, n_parts, n_init=10, random_state=0).labels_
    return labels


def _k_means(vectors, n_clusters, **options):
    from sklearn.cluster import KMeans      # here, because this import takes a second
    return KMeans(n_clusters, **options).fit(vectors)
