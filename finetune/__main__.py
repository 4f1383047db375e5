"""``python -m finetune``, and the command ``finetune``."""
import sys


def main():
    """Runs the command line; reports what is missing if only the layer is installed."""
    try:
        import fve_layer  # noqa: F401
        from finetune import cli
    except ModuleNotFoundError as error:
        print(f"finetune: the package {error.name} is missing; in the project's clone: "
              "pip install -e '.[finetune]'.", file=sys.stderr)
        return 2
    except ImportError as error:        # fve_layer.compat reports a version that is too old
        print(f'finetune: {error}.', file=sys.stderr)
        return 2
    return cli.main()


if __name__ == '__main__':
    sys.exit(main())
