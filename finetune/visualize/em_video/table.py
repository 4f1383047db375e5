"""A table of how reliably the layer and scikit-learn find the mixture, over many seeds."""
import dataclasses
import warnings

import numpy
from sklearn.exceptions import ConvergenceWarning

from finetune.progress import progress_bar
from finetune.visualize.em_video import em

LEARNERS = ['GMMLayer', 'scikit-learn, 1 start', f'scikit-learn, {em.N_STARTS} starts']


def print_table(experiments, n_seeds):
    """Measures and prints how often and how fast the centres are found.

    Args:
        experiments (list of finetune.visualize.em_video.em.Settings): The experiments.
        n_seeds (int): Number of seeds per experiment, from its own seed on.

    """
    results = {settings.name: measure(settings, n_seeds) for settings in experiments}
    print(HEADER)
    for name, measured in results.items():
        print('\n'.join(rows(name, measured)))
    print(EXPLANATION, flush=True)


def measure(settings, n_seeds):
    """Runs one experiment with ``n_seeds`` seeds, from its own seed on.

    Returns:
        dict: By learner, a list with an entry per seed: iterations until all centres were
        recovered (``None``: never) and the final log-likelihood.

    """
    results = {learner: [] for learner in LEARNERS}
    title = f'Learning {settings.name} data, {n_seeds} seeds'
    for i in progress_bar(range(n_seeds), n_seeds, title):
        seeded = dataclasses.replace(settings, seed=settings.seed + i)
        points, centres = em.draw(seeded)
        history = list(em.learn(points, centres, seeded))
        results[LEARNERS[0]].append((em.iterations_to_convergence(history, seeded),
                                     history[-1].log_likelihood))
        for learner, n_starts in zip(LEARNERS[1:], (1, em.N_STARTS)):
            results[learner].append(_fit(points, centres, seeded, n_starts))
    return results


def _fit(points, centres, settings, n_starts):
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', ConvergenceWarning)
        reference = em.fit_reference(points, settings, n_starts)
    distances = em.matched_distances(reference.means_, centres)
    is_recovered = (distances < settings.deviation).all()
    return reference.n_iter_ if is_recovered else None, reference.score(points)


def rows(name, results):
    """Lines of the table for one experiment."""
    best = numpy.array([log_likelihood for _, log_likelihood in results[LEARNERS[-1]]])
    for learner, entries in results.items():
        recovered = [iterations for iterations, _ in entries if iterations is not None]
        log_likelihood = numpy.array([log_likelihood for _, log_likelihood in entries])
        loss = 100 * ((best - log_likelihood) / abs(best)).max()
        median, most = (f'{f(recovered):.0f}' if recovered else '-' for f in (numpy.median, max))
        yield (f'{name:12s}{learner:26s}{len(recovered):5d} of {len(entries):<5d}'
               f'{median:>8s}{most:>8s}{log_likelihood.mean():14.3f}{loss:14.2f} %')


HEADER = (f'{"data":12s}{"learner":26s}{"recovered":>14s}{"median":>8s}{"most":>8s}'
          f'{"log-lik.":>14s}{"worst loss":>16s}')
EXPLANATION = (
    'recovered: runs with a mean within one deviation of every centre. median, most: iterations\n'
    'until all centres stay recovered. log-lik.: mean over points and runs, nats. worst loss:\n'
    'largest difference between the log-likelihoods of the best of '
    f'{em.N_STARTS} starts and of a run.')
