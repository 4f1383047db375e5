"""``python -m finetune``, and the command ``finetune``."""
import os
import sys
import warnings


def main():
    """Runs the command line; reports what is missing if only the layer is installed."""
    _use_utf8()
    _open_streams()
    _forgive_warnings()
    _forget_chainers_variables()
    try:
        from fve_layer import compat
        compat.requirements()
        from finetune import cli
    except KeyboardInterrupt:
        print('finetune: interrupted; run the same command again to resume.', file=sys.stderr)
        return 130
    except ModuleNotFoundError as error:
        print(f"finetune: the package {error.name} is missing; in the project's clone: "
              "pip install -e '.[finetune]'.", file=sys.stderr)
        return 2
    except ImportError as error:        # fve_layer.compat reports a version that is too old
        print(f'finetune: {error}.', file=sys.stderr)
        return 2
    except (AttributeError, TypeError, ValueError):     # NumPy's, of a variable
        variables = [f'{name}={os.environ[name]}' for name in sorted(os.environ)
                     if name.startswith(('NPY_', 'NUMPY_'))]
        if not variables:
            raise
        print(f'finetune: NumPy cannot be imported with {" ".join(variables)}; unset the variable.',
              file=sys.stderr)
        return 2
    return cli.main()


def _use_utf8():
    """Starts Python again in a locale of another encoding: names of files are UTF-8 everywhere."""
    if sys.getfilesystemencoding() != 'utf-8' and os.environ.get('PYTHONUTF8') != '1':
        os.execve(sys.executable, sys.orig_argv, {**os.environ, 'PYTHONUTF8': '1'})


def _open_streams():
    """Replaces closed streams, as by ``>&-``, whose numbers files would get."""
    for number, name, mode in (0, 'stdin', 'r'), (1, 'stdout', 'w'), (2, 'stderr', 'w'):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))
            os.dup2(getattr(sys, name).fileno(), number)
            os.set_inheritable(number, True)


def _forgive_warnings():
    """Makes warnings no errors, as ``PYTHONWARNINGS=error`` asks for: those of libraries are many.
    """
    warnings.filters[:] = [row for row in warnings.filters if row[0] != 'error']
    sys.warnoptions[:] = [text for text in sys.warnoptions if not text.startswith('e')]
    os.environ['PYTHONWARNINGS'] = ','.join(sys.warnoptions)    # of runs of a suite


def _forget_chainers_variables():
    """Removes what a run's settings say, before Chainer is imported."""
    for name in [name for name in os.environ if name.startswith('CHAINER_')]:
        del os.environ[name]


if __name__ == '__main__':
    sys.exit(main())
