"""Threads on a CPU: one in NumPy and scikit-learn, several in convolutions."""
import numpy  # noqa: F401  (loads BLAS, whose threads are counted)
import threadpoolctl

# Number of BLAS threads before :func:`one_thread` limits it.
N_THREADS = max((pool['num_threads'] for pool in threadpoolctl.threadpool_info()
                 if pool['user_api'] == 'blas'), default=1)


def one_thread():
    """Context in which NumPy and scikit-learn sum in the same order for any number of cores.

    Convolutions, most of the work on a CPU, have their own threads.
    """
    return threadpoolctl.threadpool_limits(1)
