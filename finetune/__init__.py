"""The program: end-to-end training of part-based classifiers with Fisher vector encoding."""
import contextlib

with contextlib.suppress(Exception):        # __main__ says what is missing, or mends it
    import fve_layer  # noqa: F401  (first: makes Chainer importable on current Python and NumPy)


def load(run, gpu=-1, part_file=None, detector=None, project='.', flip=None):
    """Loads the model of a finished run to classify pictures; the data set is not needed.

    Args:
        run (str or pathlib.Path): Folder of the run.
        gpu (int): GPU to compute on; -1: CPU.
        part_file (str or None): CSV file with the pictures' parts, for a model that was trained
            with annotated parts: see :class:`finetune.parts.pictures.Table`.
        detector (str or None): Folder of another run whose detector finds the parts.
        project (str or pathlib.Path): Folder that the paths of runs are relative to.
        flip (bool or None): Whether scores are means over a picture and its mirror image, which
            takes twice the time; ``None``: as the run's setting ``data.test_flip``.

    Returns:
        finetune.prediction.predictor.Predictor: The model.

    Raises:
        finetune.errors.InputError: If the folder has no finished run of joint learning, or an
            argument does not fit the model.

    .. admonition:: Example

        >>> model = finetune.load('results/photos')
        >>> prediction = model.predict(['bird.jpg', 'another.jpg'])
        >>> [model.class_names[i] for i in prediction.classes]

    """
    from finetune.config.project import Project
    from finetune.prediction import predictor   # imports Chainer
    return predictor.load(run, gpu, part_file, detector, Project(project), flip)
