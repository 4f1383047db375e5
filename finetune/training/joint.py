"""Joint learning (Sect. 3), one of the two methods of an experiment."""
from dataclasses import replace

from chainer import serializers

from finetune import ranks
from finetune.data.dataset import PartDataset
from finetune.errors import InputError
from finetune.files import named
from finetune.models import multi_node, pretrained
from finetune.models.part_classifier import build_classifier
from finetune.runs import examples, memory
from finetune.runs.folder import arrays_of, NEW, RunFolder
from finetune.runs.opening import open_device, seed_generators
from finetune.runs.predictions import iterate_test_images, predict
from finetune.threads import one_thread
from finetune.training.trainer import build_trainer

HIDE = .25, .5, .75, 1.     # shares of the visible parts that are hidden after training


def _trainer(model, config, lists, device, folder):
    """The trainer of this rank, which goes on from the newest snapshot if there is one."""
    comm = None
    if ranks.size() > 1:
        comm = ranks.communicator(config.training.gpu >= 0)
        multi_node.connect(model, comm, config.training.sync_batch_norm)
    trainer = build_trainer(model, config, lists, device, folder, comm)
    # Not by the extension's autoload, which comes after all other extensions' initialisation.
    folder.load_newest_snapshot(trainer)
    if comm is not None:        # no snapshot may be written before all have read theirs
        comm.mpi_comm.barrier()
    return trainer


def _help(config, lists, path, weights):
    """Trains along on another rank than 0, with the same model."""
    comm = ranks.communicator(config.training.gpu >= 0)
    gpu = config.training.gpu
    device = open_device(gpu if gpu < 0 else gpu + comm.intra_rank)
    model = build_classifier(config, lists)
    serializers.NpzDeserializer(weights).load(model)
    model.to_device(device)
    trainer = _trainer(model, config, lists, device, RunFolder(path))
    with one_thread(), named(path):
        trainer.run(show_loop_exception_msg=False)


def check_ranks(config, lists):
    """Raises an error if the images cannot be divided among the ranks."""
    n = ranks.size()
    if config.training.update_size % n:
        raise InputError(f'training.update_size is {config.training.update_size}, which {n} ranks '
                         f'cannot share evenly; use a multiple of {n}.')
    if len(lists.test) < n:
        raise InputError(f'there are {len(lists.test)} test images for {n} ranks; use fewer ranks.')


class JointLearning:

    """CNNs, mixture and linear layers learn together.

    Args:
        config (finetune.settings.Config): Settings of the run.
        lists (finetune.data.records.FileLists): The data set.
        device (chainer.backend.Device): Where to compute.
        start (finetune.runs.folder.RunFolder, str or None): What the classifier goes on from if
            there is a ``model.classifier``, its file; else what the CNNs start from: the run of
            the pre-training, a file of weights, or ``None``, random weights.

    """

    def __init__(self, config, lists, device, start):
        check_ranks(config, lists)
        self.config, self.lists, self.device = config, lists, device
        seed_generators(config.training.seed, device)
        self.model = build_classifier(config, lists)
        if start is None:
            return
        weights = start.model if isinstance(start, RunFolder) else start
        if config.model.classifier:
            pretrained.load_classifier(self.model, weights)
            print(f'{weights}: goes on from this classifier', flush=True)
        else:
            pretrained.load_backbones(self.model, weights)
            print(f'{weights}: the CNNs start from these weights, the layers behind them from '
                  'random ones', flush=True)

    @staticmethod
    def needs_start(folder):
        """Whether the run has nothing to resume from."""
        return folder.state == NEW

    def learn(self, folder):
        """Trains to the end, from the newest snapshot if there is one, and saves the weights."""
        self.model.to_device(self.device)
        if self.config.training.epochs > 0:
            self._train(folder)
        else:
            folder.write_settings(self.config)
        self._save_names(folder)
        folder.save_model(self.model)

    def _save_names(self, folder):
        dataset = PartDataset(self.lists.train, self.config.data, train=False,
                              seed=self.config.training.seed)
        folder.write_names(self.lists, examples.of_classes(dataset, len(self.lists.class_names)))

    def _train(self, folder):
        if ranks.size() > 1:
            ranks.share(_help, self.config, self.lists, folder.path, arrays_of(self.model))
        trainer = _trainer(self.model, self.config, self.lists, self.device, folder)
        folder.write_settings(self.config)
        try:
            with named(folder):
                trainer.run(show_loop_exception_msg=False)
        except MemoryError:         # CuPy's is one, too
            raise InputError(f'{folder}: the memory does not suffice for steps of '
                             f'{self.config.training.batch_size} images; '
                             f'{memory.advice(self.config)}.')

    def load(self, folder):
        """Loads the weights of a finished run."""
        pretrained.load_classifier(self.model, folder.model)
        self.model.to_device(self.device)
        if folder.read_names() is None:     # trained by version 0.2
            self._save_names(folder)

    def predict(self):
        """Predictions for the test images, and further numbers for the evaluation."""
        predictions = self._predict(self.config)
        numbers = {'loss': predictions.loss, 'n_parameters': int(self.model.count_params())}
        if self.config.data.has_parts:
            numbers['robustness'] = self._robustness()
        return predictions, numbers

    def _predict(self, config, hide=0.):
        with iterate_test_images(config, self.lists, hide) as iterator:
            return predict(self.model, iterator, self.device)

    def _robustness(self):
        """Accuracy with some of the visible parts hidden, and with parts in random order."""
        hidden = {hide: self._predict(self.config, hide).accuracies for hide in HIDE}
        shuffled = replace(self.config, data=replace(self.config.data, order='shuffled_once'))
        return {'hidden': hidden, 'shuffled': self._predict(shuffled).accuracies}
