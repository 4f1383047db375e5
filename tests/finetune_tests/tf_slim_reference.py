"""TF-Slim's own InceptionV3 with random variables: what it gives, and checkpoints of it.

    python tests/finetune_tests/tf_slim_reference.py

writes tf_slim_activations.npz beside this file; it needs TensorFlow and tf-slim. The variables and
the image are functions of their names, so that the file holds a sample of the activations only.
"""
from pathlib import Path
import zlib

import numpy

FIXTURE = Path(__file__).with_name('tf_slim_activations.npz')
LAYERS = {'Mixed_5d': 'mixed02', 'Mixed_6e': 'mixed07', 'Mixed_7c': 'mixed10'}


def variable(name, shape):
    """Values of a variable by TF-Slim's name: normal, but for variances, which are positive."""
    random = numpy.random.RandomState(zlib.crc32(name.encode()))
    values = random.standard_normal(shape)
    if name.endswith('moving_variance'):
        values = .5 + abs(values)
    elif name.endswith('weights'):
        values *= (2 / numpy.prod(shape[:-1])) ** .5
    else:
        values *= .2
    return values.astype(numpy.float32)


def image():
    """One image (1, 3, 299, 299) in [-1, 1]."""
    return numpy.random.RandomState(0).uniform(-1, 1, (1, 3, 299, 299)).astype(numpy.float32)


def sample(activations):
    """Some of the activations (1, C, h, w), those at the edges among them."""
    return activations[0, ::17, ::4, ::4]


def build():
    """Graph with the network: its input, its layers as (1, C, h, w), and its model variables."""
    import tensorflow.compat.v1 as tf
    import tf_slim
    from tf_slim.nets import inception
    tf.disable_eager_execution()
    tf.reset_default_graph()
    x = tf.placeholder(tf.float32, (1, 299, 299, 3))
    with tf_slim.arg_scope(inception.inception_v3_arg_scope()):
        _, layers = inception.inception_v3(x, num_classes=7, is_training=False)
    layers = {name: tf.transpose(layers[name], (0, 3, 1, 2)) for name in LAYERS}
    layers['pooled'] = tf.reduce_mean(layers['Mixed_7c'], (2, 3), keepdims=True)
    return x, layers, tf_slim.get_model_variables()


def start(session, variables):
    """Gives the variables their values."""
    for one in variables:
        one.load(variable(one.op.name, one.shape.as_list()), session)


def main():
    import tensorflow.compat.v1 as tf
    x, layers, variables = build()
    with tf.Session() as session:
        start(session, variables)
        activations = session.run(layers, {x: image().transpose(0, 2, 3, 1)})
    numpy.savez_compressed(FIXTURE, **{name: sample(a) for name, a in activations.items()})


if __name__ == '__main__':
    main()
