"""How many threads compute on a CPU: one in NumPy and scikit-learn, several in convolutions."""
import numpy  # noqa: F401  (loads BLAS, whose threads are counted)
import threadpoolctl

# Threads of BLAS before :func:`one_thread` limits them.
N_THREADS = max((pool['num_threads'] for pool in threadpoolctl.threadpool_info()
                 if pool['user_api'] == 'blas'), default=1)


def one_thread():
    """Context in which NumPy and scikit-learn sum in one order, whatever the number of cores.

    Convolutions, which are most of the work on a CPU, have threads of their own.
    """
    return threadpoolctl.threadpool_limits(1)
