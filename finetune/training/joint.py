"""Joint learning (Sect. 3), one of the two methods of an experiment."""
from chainer import serializers

from finetune.compute.threads import one_thread
from finetune.data.dataset import PartDataset
from finetune.errors import InputError
from finetune.files import named
from finetune.models.part_classifier import build_classifier
from finetune.ranks import batch_statistics
from finetune.ranks import processes
from finetune.runs import longer, thumbnails
from finetune.runs.folder import arrays_of, NEW, RunFolder
from finetune.runs.opening import open_device, seed_generators
from finetune.runs.predictions import iterate_test_images, n_test_views, predict
from finetune.training import memory, robustness
from finetune.training.extensions import best_epoch
from finetune.training.inputs import inputs_of
from finetune.training.trainer import build_trainer
from finetune.weights import pretrained


def _trainer(model, config, data_set, device, folder, make=PartDataset):
    """Builds the trainer of this rank and resumes from the newest snapshot, if one exists."""
    comm = None
    if processes.size() > 1:
        comm = processes.communicator(config.training.gpu >= 0)
        batch_statistics.connect(model, comm, config.training.sync_batch_norm)
    trainer = build_trainer(model, config, data_set, device, folder, comm, make)
    # The extension's autoload would come too late, after the other extensions' initialisation.
    folder.load_newest_snapshot(trainer)
    if trainer.updater.epoch > config.training.epochs:      # it was to be trained even longer
        raise InputError(f'{folder}: the newest snapshot is of epoch {trainer.updater.epoch}, but '
                         f'training.epochs is {config.training.epochs}; set it to at least '
                         f'{trainer.updater.epoch}.')
    if comm is not None:        # no rank may write a snapshot before all ranks have read theirs
        comm.mpi_comm.barrier()
    return trainer


def _train_on_helper(config, data_set, path, weights):
    """Trains the same model on a rank other than 0."""
    comm = processes.communicator(config.training.gpu >= 0)
    gpu = config.training.gpu
    device = open_device(gpu if gpu < 0 else gpu + comm.intra_rank)
    model = build_classifier(config, data_set)
    serializers.NpzDeserializer(weights).load(model)
    model.to_device(device)
    trainer = _trainer(model, config, data_set, device, RunFolder(path))
    with one_thread(), named(path):
        trainer.run(show_loop_exception_msg=False)


def check_ranks(config, data_set):
    """Raises an error if the images cannot be divided among the ranks."""
    n = processes.size()
    if config.training.update_size % n:
        raise InputError(f'training.update_size is {config.training.update_size}, which {n} ranks '
                         f'cannot share evenly; set it to a multiple of {n}.')
    if n > 1 and config.training.keeps_conv_maps:
        raise InputError(f'training.views is {config.training.views}, which needs a single rank; '
                         'leave out mpiexec, or set it to 0.')
    if n > 1 and config.training.patience:
        raise InputError(f'training.patience is {config.training.patience}, which needs a single '
                         'rank; leave out mpiexec, or set it to 0.')
    n_test = len(data_set.test)
    if n_test < n:
        raise InputError(f'there are {n_test} test images for {n} ranks; use fewer ranks.')


class JointLearning:

    """Trains CNNs, mixture and linear layers together.

    Args:
        config (finetune.config.settings.Config): Settings of the run.
        data_set (finetune.data.records.DataSet): The data set.
        device (chainer.backend.Device): Device that computes.
        start (finetune.runs.folder.RunFolder, pathlib.Path or None): Run or file of initial
            weights: of the whole classifier if ``model.checkpoint`` is set, otherwise of the CNNs;
            ``None``: random weights.

    """

    def __init__(self, config, data_set, device, start):
        check_ranks(config, data_set)
        self.config, self.data_set, self.device = config, data_set, device
        seed_generators(config.training.seed, device)
        self.model = build_classifier(config, data_set)
        self.inputs = inputs_of(config, data_set)
        self.model.given_conv_maps = self.inputs.are_conv_maps
        self.folder = None
        if start is None:
            return
        weights = start.model if isinstance(start, RunFolder) else start
        if config.model.checkpoint:
            pretrained.load_classifier(self.model, weights)
            print(f'{weights}: training continues from this classifier', flush=True)
        else:
            pretrained.load_backbones(self.model, weights)
            print(f'{weights}: the CNNs start from these weights, all other layers from random '
                  'weights', flush=True)

    @staticmethod
    def needs_start(folder):
        """Whether the run needs initial weights: it has nothing to resume from."""
        return folder.state == NEW

    def learn(self, folder):
        """Trains to the end, from the newest snapshot if one exists, and saves the weights.

        A finished run, which is trained longer, keeps its weights and settings until then.
        """
        self.folder = folder
        self.model.to_device(self.device)
        if self.config.training.epochs > 0:
            self._train(folder)
        else:
            folder.write_settings(self.config, self.data_set)
        self._save_names(folder)
        if folder.is_finished:
            longer.replace_weights(folder, self.model, self.config, self.data_set)
        else:
            folder.save_model(self.model)

    def _save_names(self, folder):
        dataset = PartDataset(self.data_set.train, self.data_set.parts, self.config.data,
                              train=False, seed=self.config.training.seed)
        n_classes = len(self.data_set.class_names)
        folder.write_names(self.data_set, thumbnails.of_classes(dataset, n_classes))

    def _train(self, folder):
        if processes.size() > 1:
            processes.share(_train_on_helper, self.config, self.data_set, folder.path,
                            arrays_of(self.model))
        trainer = _trainer(self.model, self.config, self.data_set, self.device, folder,
                           self.inputs)
        done = trainer.updater.epoch
        if done:
            print(f'{folder}: goes on after epoch {done}, to epoch {self.config.training.epochs}',
                  flush=True)
        if not folder.is_finished:
            folder.write_settings(self.config, self.data_set)
        self.inputs.prepare(self.model, with_training=True)
        try:
            with named(folder):
                trainer.run(show_loop_exception_msg=False)
        except MemoryError:         # CuPy's is one, too
            raise InputError(f'{folder}: out of memory in a step of '
                             f'{self.config.training.batch_size} images; '
                             f'{memory.advice(self.config)}.')
        if self.config.training.patience:
            pretrained.load_classifier(self.model, folder.best)
            best, last = best_epoch(folder.read_log())
            print(f'{folder}: training ended after epoch {last}; the weights are those of epoch '
                  f'{best}, which has the highest validation accuracy', flush=True)

    def load(self, folder):
        """Loads the weights of a finished run."""
        self.folder = folder
        pretrained.load_classifier(self.model, folder.model)
        self.model.to_device(self.device)

    def predict(self):
        """Returns predictions for the test images and further numbers for the evaluation."""
        self.inputs.prepare(self.model, with_training=False)
        with iterate_test_images(self.config, self.data_set, make=self.inputs) as iterator:
            predictions = predict(self.model, iterator, self.device, self.folder,
                                  n_test_views(self.config))
        numbers = {'loss': predictions.loss, 'n_parameters': int(self.model.count_params())}
        if self.config.data.has_parts and self.config.data.split != 'validation':
            numbers['robustness'] = robustness.measure(
                self.model, self.config, self.data_set, self.inputs, self.device, self.folder)
        return predictions, numbers
