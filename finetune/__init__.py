"""The program: end-to-end training of part-based classifiers with a Fisher vector encoding."""
import fve_layer  # noqa: F401  (first: makes Chainer importable on current Python and NumPy)
