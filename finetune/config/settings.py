"""Every setting of an experiment: its name, default, range, meaning, and when it is read."""
from dataclasses import dataclass, field

from finetune.config.catalogue import ABLATIONS, ARCHITECTURES, DATA_SETS, ENCODINGS, PARTS
from finetune.config.project import HERE
from finetune.config.schema import Needs, setting

# Settings that change how long a run takes or what else it writes, never its results.
NO_EFFECT_ON_RESULTS = ('training.gpu', 'training.workers', 'training.recompute',
                        'training.evaluate_every', 'training.keep_best', 'training.tensorboard')

DRAWN = Needs('a data set that is drawn', lambda config: DATA_SETS[config.data.dataset].prepare)
CROPS = Needs('data.parts other than ' + ' or '.join(
    name for name, kind in PARTS.items() if not kind.has_crops),
    lambda config: config.data.has_parts)
SPLIT = Needs('data.dataset folder',
              lambda config: 'test_share' in DATA_SETS[config.data.dataset].settings)


def of_parts(name):
    """Needs of a setting of the data that only some kinds of parts read."""
    kinds = [key for key, kind in PARTS.items() if name in kind.settings]
    return Needs('data.parts ' + ' or '.join(kinds),
                 lambda config: config.data.parts in kinds)


GRID, BOXES, AROUND_POINTS = (of_parts(name) for name in ('grid', 'boxes', 'part_ratio'))
POINTS = Needs(f'boxes around points ({AROUND_POINTS.text}, or data.missing centre)',
               lambda config: AROUND_POINTS.holds(config)
               or config.data.has_parts and config.data.missing == 'centre')
SQUARE = Needs(f'{BOXES.text} and a data.box_frame',
               lambda config: BOXES.holds(config) and config.data.box_frame > 0)
ADAPTIVE = Needs('training.joint true and training.optimizer rmsprop or adam', lambda config:
                 config.training.joint and config.training.optimizer != 'sgd')
RMSPROP = Needs('training.joint true and training.optimizer rmsprop', lambda config:
                config.training.joint and config.training.optimizer == 'rmsprop')
JOINT = Needs('training.joint true', lambda config: config.training.joint)
STEPS = Needs('training.joint true and training.lr_schedule steps', lambda config:
              config.training.joint and config.training.lr_schedule == 'steps')
NEW = Needs('an empty model.classifier', lambda config: not config.model.classifier)
RECOMPUTING = Needs(
    'training.joint true and an architecture that can do it', lambda config: JOINT.holds(config)
    and ARCHITECTURES[config.model.architecture].bytes_recomputing is not None)
DETECTED = Needs(f'{BOXES.text} and a detector.cnn',
                 lambda config: BOXES.holds(config) and config.detector.cnn)
SOFT = JOINT & Needs('another model.ablation than hard_assignment',
                     lambda config: config.model.ablation != 'hard_assignment')
SEPARATE = Needs('training.joint false', lambda config: not config.training.joint)


def of_encodings(holds):
    """Needs of a setting that is read with the encodings whose rows a function holds for."""
    names = [name for name, encoding in ENCODINGS.items() if holds(encoding)]
    return Needs('model.encoding ' + ' or '.join(names),
                 lambda config: holds(ENCODINGS[config.model.encoding]))


def of_layer(setting):
    """Needs of a setting that only the layers of some encodings take."""
    return of_encodings(lambda encoding: setting in encoding.settings)


STEP = of_encodings(lambda encoding: encoding.has_steps) & JOINT
AUXILIARY = STEP & Needs('model.aux_lambda above 0', lambda config: config.model.aux_lambda > 0)


@dataclass
class Data:
    """Images and parts."""

    dataset: str = setting('cub200', 'minibirds and digits are drawn, animals unpacked',
                           choices=DATA_SETS)
    split: str = setting('', 'empty: training and test images; validation: a fifth of the training '
                         'images is tested on instead of the test images; pretraining: other '
                         'classes of minibirds or animals',
                         choices=('', 'validation', 'pretraining'))
    root: str = setting('', 'folder of the data set, or the CSV file of your own pictures; empty: '
                        'the folder of its name below data/')
    test_share: float = setting(.3, 'share of test images where there is no split',
                                between=(.01, .99), needs=SPLIT)
    split_seed: int = setting(0, 'of that split', between=(0, 2 ** 31 - 1), needs=SPLIT)
    drawing: dict = setting({}, 'options for drawing minibirds and digits, and for choosing '
                            'animals', needs=DRAWN)
    train_per_class: int = setting(0, 'only the first so many training images of each class; '
                                   '0: all', between=(0, 10 ** 6))
    parts: str = setting('GT', '; '.join(f'{name}: {kind.meaning}' for name, kind in PARTS.items()),
                         choices=PARTS)
    grid: list[int] = setting([2, 2], 'rows and columns of tiles, 1 to 16 each', needs=GRID)
    n_parts: int = setting(0, 'only the first so many parts of the data set; 0: all',
                           between=(0, 1000), needs=CROPS)
    part_ratio: float = setting(.31, "crops around points: share of the image's width and height",
                                between=(.01, 1), needs=POINTS)
    boxes: str = setting('CS_parts', 'folder of the boxes, below data.root', needs=BOXES)
    box_frame: int = setting(427, 'boxes are in pixels of a square of this size; 0: of the image',
                             between=(0, 100000), needs=BOXES)
    box_frame_fit: str = setting('crop', 'how the image fits the square: centre crop, or squash',
                                 choices=('crop', 'squash'), needs=SQUARE)
    missing: str = setting('zero', 'hidden parts: zero features, mask (left out), centre crop',
                           choices=('zero', 'mask', 'centre'), needs=CROPS)
    order: str = setting('ordered', 'of the parts; shuffled: a permutation per image and epoch, by '
                         'seed; shuffled_once: one per image for the whole run',
                         choices=('ordered', 'shuffled', 'shuffled_once'), needs=CROPS)
    input_size: int = setting(299, 'pixels, global image', between=(16, 4096))
    part_input_size: int = setting(299, 'pixels, part crops', between=(16, 4096), needs=CROPS)
    flip: bool = setting(True, 'random horizontal flips in training', needs=JOINT)
    colour_jitter: float = setting(.3, 'largest change of brightness, contrast and saturation',
                                   between=(0, 1), needs=JOINT)

    @property
    def has_parts(self):
        """Whether there is a part stream."""
        return PARTS[self.parts].has_crops

    @property
    def upright(self):
        """Whether pictures are turned as their EXIF data say, for want of annotated positions."""
        return DATA_SETS[self.dataset].upright


@dataclass
class Detector:
    """How parts are found if data.boxes is not there (CS-Parts)."""

    cnn: str = setting('', 'YAML of the run whose CNN of whole images finds the parts; empty: '
                       'the parts are in files', needs=BOXES)
    n_parts: int = setting(4, 'parts per image', between=(1, 64), needs=DETECTED)
    input_size: int = setting(427, 'pixels', between=(16, 4096), needs=DETECTED)
    svm_c: float = setting(.1, 'C of the sparse SVM that selects features', between=(1e-9, 1e9),
                           needs=DETECTED)
    svm_iterations: int = setting(200, 'of the sparse SVM, at most', between=(1, 10 ** 6),
                                  needs=DETECTED)
    features: str = setting('selected', 'whose gradient is the saliency: features with an SVM '
                            "coefficient of the predicted class, with a positive one, all, or the "
                            "class's score", choices=('selected', 'positive', 'all', 'score'),
                            needs=DETECTED)
    sigma: float = setting(5., 'blur of the saliency in pixels', between=(0, 1000), needs=DETECTED)
    gamma: float = setting(.7, 'exponent of the saliency', between=(.01, 100), needs=DETECTED)
    threshold: str = setting('otsu', 'pixels that are grouped: above this one of the saliency',
                             choices=('otsu', 'mean', 'two_means', 'none'), needs=DETECTED)
    columns: str = setting('position_saliency_colour', 'what pixels are grouped by',
                           choices=('position', 'position_saliency', 'position_saliency_colour'),
                           needs=DETECTED)
    smallest_box: int = setting(64, 'smallest height and width of a box in pixels',
                                between=(1, 4096), needs=DETECTED)
    whole_object: bool = setting(False, 'one more part: a box around all pixels that are grouped',
                                 needs=DETECTED)


@dataclass
class Model:
    """CNNs and encoding."""

    architecture: str = setting('inception_v3', 'of both CNNs', choices=ARCHITECTURES)
    pretrained: str = setting('', '.npz of weights, or the YAML of the run that trains them',
                              needs=NEW)
    classifier: str = setting('', ".npz of a whole classifier to go on from, of this program or "
                              "of the authors' code, or the YAML of its run", needs=JOINT)
    encoding: str = setting('fve', 'of the parts', choices=ENCODINGS)
    n_components: int = setting(1, 'K', between=(1, 4096), needs=of_layer('n_components'))
    ema_decay: float = setting(.9, 'lambda in Eqs. 6-9', between=(0, 1 - 1e-9),
                               needs=of_layer('ema_decay') & JOINT)
    norm_filter: bool = setting(True, "only local features with a norm above their image's mean",
                                needs=of_layer('norm_filter'))
    normalization: str = setting('sqrt', 'of the Fisher vector: sqrt (Eqs. 13, 14) or mean '
                                 '(VLFeat)', choices=('sqrt', 'mean'),
                                 needs=of_layer('normalization'))
    l2_normalize: bool = setting(False, 'Fisher vectors to unit length, before scaling', needs=STEP)
    scaling: bool = setting(True, 'Fisher vectors to the size that average-pooled features have in '
                            'the first K training batches', needs=STEP)
    only_mean: bool = setting(False, 'only the mean part of Fisher vectors, their first K D values',
                              needs=STEP)
    comp_size: int = setting(0, 'channels of a 1 x 1 convolution before the encoding; 0: none; -1: '
                             'as many as the ConvMaps have', between=(-1, 65536), needs=STEP)
    post_fve_size: int = setting(0, 'size of a linear layer and ReLU after the encoding; 0: none; '
                                 '-1: the size of the encoding', between=(-1, 65536), needs=STEP)
    aux_lambda: float = setting(0., "weight of an auxiliary head in the part stream's loss, none "
                                'in its prediction', between=(0, 1), needs=STEP)
    aux_rate: float = setting(.5, 'aux_lambda is multiplied by this ...', between=(0, 1),
                              needs=AUXILIARY)
    aux_step: int = setting(20, '... every so many epochs', between=(1, 100000), needs=AUXILIARY)
    init: str = setting('kmeans', 'of the mixture', choices=('kmeans', 'random'),
                        needs=of_layer('init') & JOINT)
    resp_gradient: bool = setting(True, 'gradients flow through the responsibilities, too (the '
                                  'first terms of Eqs. 15 and 16)',
                                  needs=of_layer('resp_gradient') & SOFT)
    ablation: str = setting('', 'what is changed of the encoding, to measure what it is worth; '
                            'empty: nothing', choices=('', *ABLATIONS),
                            needs=of_layer('ablation') & JOINT)
    var_floor: float = setting(1e-3, 'smallest variance of the mixture', between=(1e-12, 1e6),
                               needs=of_layer('var_floor'))
    pca_size: int = setting(512, 'dimensions of local features after PCA, at most',
                            between=(1, 4096), needs=SEPARATE)
    pca_whiten: bool = setting(True, 'local features to unit variances after PCA', needs=SEPARATE)


@dataclass
class Training:
    """Training, joint or not."""

    joint: bool = setting(True, 'false: the conventional pipeline, mixture, encoding and SVM after '
                          'the CNN (Sect. 4.4)')
    svm_c: float = setting(1., 'C of the linear SVM', between=(1e-9, 1e9), needs=SEPARATE)
    epochs: int = setting(60, 'passes over the images; 0: none', between=(0, 100000), needs=JOINT)
    optimizer: str = setting('rmsprop', 'sgd has momentum 0.9',
                             choices=('rmsprop', 'adam', 'sgd'), needs=JOINT)
    rmsprop_alpha: float = setting(.9, 'decay of the mean square of the gradients',
                                   between=(0, 1 - 1e-9), needs=RMSPROP)
    epsilon: float = setting(1e-6, 'added to the root of the mean square of the gradients',
                             between=(0, 1), needs=ADAPTIVE)
    learning_rate: float = setting(1e-4, 'at the beginning', between=(1e-12, 100), needs=JOINT)
    lr_schedule: str = setting('steps', 'how it falls: in steps, or in half a cosine',
                               choices=('steps', 'cosine'), needs=JOINT)
    lr_factor: float = setting(.1, 'the learning rate is multiplied by this ...', between=(0, 1),
                               needs=STEPS)
    lr_epochs: list[int] = setting([20, 40], '... after these epochs ...', between=(1, 100000),
                                   needs=STEPS)
    lr_target: float = setting(0., '... but not below this', between=(0, 100), needs=JOINT)
    lr_warmup: float = setting(0., 'epochs in which it rises linearly from 0 first',
                               between=(0, 100000), needs=JOINT)
    cnn_lr_factor: float = setting(1., "the CNNs' learning rate is the others', multiplied by "
                                   'this; 0: they stay as they are, statistics of batch '
                                   'normalisation included', between=(0, 1000), needs=JOINT)
    update_size: int = setting(64, 'images per update of the weights', between=(1, 100000),
                               needs=JOINT)
    batch_size: int = setting(8, 'images per forward pass; gradients are accumulated',
                              between=(1, 100000), needs=JOINT)
    dtype: str = setting('float32', 'mixed16: the CNNs compute in float16, with loss scaling',
                         choices=('float32', 'mixed16'), needs=JOINT)
    recompute: bool = setting(False, 'less memory for more time, same results: what the CNNs '
                              'compute is computed again in the backward pass', needs=RECOMPUTING)
    label_smoothing: float = setting(.1, 'share of the target spread over all classes',
                                     between=(0, .999), needs=JOINT)
    weight_decay: float = setting(5e-4, 'L2 penalty on all weights', between=(0, 100), needs=JOINT)
    workers: int = setting(0, 'worker processes that load images; same results',
                           between=(0, 256))
    gpu: int = setting(-1, 'device id; -1: CPU', between=(-1, 64))
    seed: int = setting(0, 'of everything random', between=(0, 2 ** 31 - 1))
    sync_batch_norm: bool = setting(False, 'batch normalisation of all ranks together; false: '
                                    'each on its own, as in the original', needs=JOINT)
    evaluate_every: int = setting(1, 'epochs from one evaluation on the test images to the next; '
                                  'there is always one after the last epoch',
                                  between=(1, 100000), needs=JOINT)
    keep_best: bool = setting(False, 'also keep the weights of the evaluation with the best test '
                              'accuracy, best.npz', needs=JOINT)
    tensorboard: bool = setting(False, 'also write the log for TensorBoard (the package '
                                'tensorboardX)', needs=JOINT)


@dataclass
class Config:
    """All settings of an experiment."""

    data: Data = field(default_factory=Data)
    detector: Detector = field(default_factory=Detector)
    model: Model = field(default_factory=Model)
    training: Training = field(default_factory=Training)
    expect: str = ''                # expected result, printed beside the run's own
    expect_of_seeds: dict = field(default_factory=dict)     # in per cent, by seed
    expect_elsewhere: dict = field(default_factory=dict)    # of other CPUs and pre-trainings
    project = HERE     # what paths are relative to; no setting, as it has no annotation

    @property
    def headline(self):
        """The stream whose accuracy is the result: the paper's pipeline sees parts alone."""
        return 'both' if self.training.joint else 'parts'
