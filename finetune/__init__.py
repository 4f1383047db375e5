"""The program: end-to-end training of part-based classifiers with Fisher vector encoding."""
import contextlib

with contextlib.suppress(Exception):        # __main__ says what is missing, or mends it
    import fve_layer  # noqa: F401  (first: makes Chainer importable on current Python and NumPy)


def load(run, gpu=-1, part_file=None, detector=None, project='.', flip=None):
    """Loads the model of a finished run to classify pictures; the data set is not needed.

    Args:
        run (str or pathlib.Path): Folder of the run, or its archive (``.zip``).
        gpu (int): GPU to compute on; -1: CPU.
        part_file (str or None): CSV file with the pictures' parts, for a model that was trained
            with annotated parts: see :class:`finetune.parts.pictures.Table`.
        detector (str or None): Folder or archive of another run whose detector finds the parts.
        project (str or pathlib.Path): Folder that the paths of runs are relative to.
        flip (bool or None): Whether scores are means over a picture and its mirror image, which
            takes twice the time; ``None``: as the run's setting ``data.test_flip``.

    Returns:
        finetune.prediction.predictor.Predictor: The model.

    Raises:
        finetune.errors.InputError: If there is no finished run of joint learning, or an
            argument does not fit the model.

    .. admonition:: Example

        >>> model = finetune.load('results/photos')
        >>> model.predict('bird.jpg').names             # or a folder, PIL images, arrays
        ['bullfinch']
        >>> prediction = model.predict(['bird.jpg', 'another.jpg'])
        >>> prediction.names, prediction.probabilities.shape
        (['bullfinch', 'siskin'], (2, 3))
        >>> model.features(['bird.jpg', 'another.jpg']).shape
        (2, 3840)
        >>> model.evaluate('photos/test').accuracy
        1.0

    """
    from finetune.config.project import Project
    from finetune.prediction import predictor   # imports Chainer
    return predictor.load(run, gpu, part_file, detector, Project(project), flip)


def fit(photographs, output=None, settings=None, gpu=-1, project='.'):
    """Trains classifiers of photographs and returns the best: ``python -m finetune train PHOTOS``.

    A plain CNN and classifiers with Fisher vectors and parts are compared on held-out training
    images. The chosen one is fine-tuned and tested; what is printed says how well each does. The
    results are in ``results/<name of the folder>``. If they are there, they are loaded, and an
    interrupted training is resumed.

    Args:
        photographs (str or pathlib.Path): Folder with one folder of pictures per class, or with
            ``train`` and ``test`` that have such folders; or CSV file with the columns ``path``,
            ``class`` and optionally ``split`` and ``group``.
        output (str, pathlib.Path or None): Folder of the results; ``None``: the default.
        settings (dict or None): Values by name of settings that differ from those of
            ``configs/photos``, such as ``{'training.batch_size': 8}``.
        gpu (int): GPU to compute on; -1: CPU.
        project (str or pathlib.Path): Folder that the paths of photographs and results are
            relative to.

    Returns:
        finetune.prediction.predictor.Predictor: The model, as of :func:`load`.

    Raises:
        finetune.errors.InputError: If the photographs or a setting cannot be used, or the folder of
            results has others.

    .. admonition:: Example

        >>> model = finetune.fit('photos')
        >>> model.class_names
        ['bullfinch', 'robin', 'siskin']

    """
    from finetune.config.project import Project
    from finetune.config.schema import override_of
    from finetune.experiments import comparison
    there = Project(project)
    if output is not None:
        there = there.with_results(output)
    settings = {'training.gpu': gpu, **(settings or {})}
    overrides = [override_of(name, value) for name, value in settings.items()]
    results = comparison.run(str(photographs), overrides, there)
    return load(results.absolute(), gpu, project=project)
