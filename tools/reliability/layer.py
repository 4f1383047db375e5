"""Calls of the layer."""
import fve_layer    # (before Chainer)

import chainer
import numpy

from common import tried


def layer(random):
    """Random calls of random layers: finite, or a ValueError for what cannot be."""
    kinds = fve_layer.FVELayer, fve_layer.GMMLayer, fve_layer.GradientFVELayer

    def call(link, x, mask):
        with chainer.using_config('train', bool(random.randint(4))):
            y = link(x, mask)
        finite = [chainer.as_array(array) for array in (y, link.mean, link.var, link.weight)]
        if numpy.isfinite(x).all() and not all(numpy.isfinite(a).all() for a in finite):
            return 'not finite'
        if abs(float(chainer.as_array(link.weight).sum()) - 1) > 1e-4:
            return 'weights do not sum to 1'

    for _ in range(2000):
        d, k = random.randint(1, 9), random.randint(1, 7)
        link = kinds[random.randint(3)](d, k, norm_filter=bool(random.randint(2)),
                                        seed=random.randint(1000))
        for _ in range(20):
            n, t = random.randint(1, 5), random.randint(0, 12)
            x = (random.randn(n, t, d) * 10. ** random.randint(-4, 4)).astype(
                ['f', 'd'][random.randint(2)])
            mask = None if random.randint(2) else random.uniform(size=(n, t)) < .7
            if random.randint(20) == 0 and x.size and not isinstance(
                    link, fve_layer.GradientFVELayer) and link.is_seeded:
                x.flat[random.randint(x.size)] = [numpy.nan, numpy.inf][random.randint(2)]
            yield tried(call, link, x, mask)
