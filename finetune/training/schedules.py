"""Schedules of a value, such as the learning rate, as functions of the completed epochs.

They replace Chainer's shift extensions: ``ExponentialShift`` with a ``ManualScheduleTrigger``
forgets the value of a run that is resumed after the last step.
"""
import math

from chainer.training import extension


class Schedule(extension.Extension):

    """Sets a value before every update.

    Args:
        targets (list): Objects that have the value, such as an optimizer.
        attribute (str): Name of the value.
        value_after (callable): Function of the completed epochs, a float.

    """

    trigger = 1, 'iteration'

    def __init__(self, targets, attribute, value_after):
        self.targets = targets
        self.attribute = attribute
        self.value_after = value_after

    def __call__(self, trainer):
        for target in self.targets:
            setattr(target, self.attribute, self.value_after(trainer.updater.epoch_detail))

    def initialize(self, trainer):
        self(trainer)


def steps(initial, factor, epochs, smallest=0.):
    """Multiplies ``initial`` by ``factor`` after each of ``epochs``, down to ``smallest``."""
    return lambda done: max(initial * factor ** sum(epoch <= done for epoch in epochs), smallest)


def cosine(initial, n_epochs, smallest=0.):
    """Falls from ``initial`` to ``smallest`` in half a cosine (Loshchilov and Hutter, 2017)."""
    return lambda done: smallest + (initial - smallest) * (
        1 + math.cos(math.pi * min(done / n_epochs, 1))) / 2


def warmed_up(value_after, n_epochs, epochs_per_update):
    """Adds a linear warm-up of ``n_epochs`` to a schedule."""
    if not n_epochs:
        return value_after
    return lambda done: value_after(done) * min((done + epochs_per_update) / n_epochs, 1)
