"""The paper's equations written down naively: loops, float64, nothing shared with the library."""
import math

import numpy


def densities(x, mean, var):
    """p_k(x), Eq. 2."""
    return [math.prod(math.exp(-(x[d] - mean[k, d]) ** 2 / (2 * var[k, d]))
                      / math.sqrt(2 * math.pi * var[k, d]) for d in range(len(x)))
            for k in range(len(mean))]


def responsibilities(x, mean, var, weight):
    """w_nk, Eq. 1, for features (M, D)."""
    joint = numpy.array([weight * densities(row, mean, var) for row in x])
    return joint / joint.sum(axis=1, keepdims=True)


def fisher_vector(x, mean, var, weight, mask=None, normalization='sqrt', resp=None):
    """Eqs. 13 and 14, for images (N, T, D); with given responsibilities (N, T, K) or Eq. 1."""
    n_images, _, n_dims = x.shape
    fv = numpy.zeros((n_images, 2, len(mean), n_dims))
    for i in range(n_images):
        counting = slice(None) if mask is None else mask[i]
        features = x[i][counting]
        n = len(features)
        if n == 0:
            continue
        w = (responsibilities(features, mean, var, weight) if resp is None
             else resp[i][counting])
        for t in range(n):
            for k in range(len(mean)):
                for d in range(n_dims):
                    u = (features[t, d] - mean[k, d]) / math.sqrt(var[k, d])
                    fv[i, 0, k, d] += w[t, k] * u
                    fv[i, 1, k, d] += w[t, k] * (u * u - 1) / math.sqrt(2)
        fv[i] /= math.sqrt(n) if normalization == 'sqrt' else n
        fv[i] /= numpy.sqrt(weight)[:, None]
    return fv.reshape(n_images, -1)


def m_step(x, resp, var_floor=0):
    """Eqs. 3-5 for features (M, D)."""
    n_k = resp.sum(axis=0)
    mean = numpy.array([sum(resp[n, k] * x[n] for n in range(len(x))) / n_k[k]
                        for k in range(resp.shape[1])])
    var = numpy.array([sum(resp[n, k] * (x[n] - mean[k]) ** 2 for n in range(len(x))) / n_k[k]
                       for k in range(resp.shape[1])])
    return mean, numpy.maximum(var, var_floor), n_k / len(x)


def mixture(n_components, n_dims, seed=0):
    """Some mixture with means around the origin, float64."""
    random = numpy.random.RandomState(seed)
    weight = random.uniform(.5, 1.5, n_components)
    return (random.randn(n_components, n_dims), random.uniform(.5, 2, (n_components, n_dims)),
            weight / weight.sum())
