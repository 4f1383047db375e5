"""Less memory for more time: what a CNN computes is computed again in the backward pass."""
import chainer.functions as F


def run_steps(steps, x, recompute):
    """Runs the steps of a CNN one after the other.

    Args:
        steps (iterable of callable): Functions of a Variable, with or without parameters.
        x (:class:`~chainer.Variable` or array): Input of the first step.
        recompute (bool): Whether only the input of every step is kept for the backward pass, which
            then runs each step again. The results are the same, and so are the statistics of batch
            normalisation, which Chainer's link updates in the first run only.

    Returns:
        ~chainer.Variable: Output of the last step.

    """
    for step in steps:
        x = F.forget(_after_identity(step), x) if recompute else step(x)
    return x


def _after_identity(step):
    """The step on an input that is not the graph's first node, as it is not without recomputing.

    Chainer sums the gradients of branches by their nodes' depths; converted filters have one, too.
    """
    return lambda x: step(F.identity(x))
