"""Recomputation (gradient checkpointing): less memory, more time."""
import chainer
import chainer.functions as F


def run_steps(steps, x, recompute):
    """Runs the steps of a CNN one after the other.

    Args:
        steps (iterable of callable): Functions of a Variable, with or without parameters.
        x (:class:`~chainer.Variable` or array): Input of the first step.
        recompute (bool): Whether the backward pass runs each step again, so that only its input is
            kept. Results are the same, and so are the statistics of batch normalisation, which
            Chainer's link updates in the first run only.

    """
    recompute = recompute and chainer.config.enable_backprop
    for step in steps:
        x = F.forget(_as_in_first_run(step), x) if recompute else step(x)
    return x


def _as_in_first_run(step):
    """The step with the mode of this call, training or test, and a node before it.

    Chainer sums the gradients of branches, and those of converted filters, by the depths of nodes;
    with this node the step's input is not the first node of its graph, and the order of the sum is
    the same as without recomputation.
    """
    train = chainer.config.train

    def run(x):
        with chainer.using_config('train', train):
            return step(F.identity(x))
    return run
