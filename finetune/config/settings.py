"""Every setting of an experiment: its name, default, range, meaning, and when it is read."""
from dataclasses import dataclass, field

from finetune.config.catalogue import (
    ABLATIONS, ARCHITECTURES, ENCODINGS, IMAGENET, PACKAGED_WEIGHTS)
from finetune.config.conditions import (
    ADAPTIVE, AUXILIARY, BATCH_STATISTICS, FROZEN, JOINT, LEARNED_CNNS, NEW, RECOMPUTING,
    RMSPROP, SCALED, SEPARATE, SOFT, STEP, STEPS, VALIDATION, VECTORS, of_layer)
from finetune.config.image_settings import Data, Detector
from finetune.config.project import HERE
from finetune.config.schema import setting

# Settings that change how long a run takes or what else it writes, never its results.
NO_EFFECT_ON_RESULTS = ('training.gpu', 'training.workers', 'training.recompute',
                        'training.evaluate_every', 'training.keep_best', 'training.tensorboard')


@dataclass
class Model:
    """CNNs and encoding."""

    architecture: str = setting('inception_v3', 'CNN architecture, of the global and of the part '
                                'stream', choices=ARCHITECTURES)
    pretrained: str = setting('', 'file of pre-trained CNN weights, or weights of a package ('
                              f'{", ".join(PACKAGED_WEIGHTS)}; {IMAGENET}: the one of the '
                              'architecture), or YAML of the run that trains them; empty: random '
                              'weights', needs=NEW)
    checkpoint: str = setting('', '.npz of a complete classifier to start from, of this program '
                              "or of the authors' code, or YAML of its run; empty: none",
                              needs=JOINT)
    encoding: str = setting('fve', 'how part features are encoded; ' + '; '.join(
        f'{name}: {row.meaning}' for name, row in ENCODINGS.items()), choices=ENCODINGS)
    n_components: int = setting(1, 'number of mixture components (K); above 1, see var_floor',
                                between=(1, 4096), needs=of_layer('n_components'))
    ema_decay: float = setting(.9, "decay of the moving averages of the mixture's parameters "
                               '(lambda in Eqs. 6-9)', between=(0, 1 - 1e-9),
                               needs=of_layer('ema_decay') & JOINT)
    norm_filter: bool = setting(True, 'whether only local features are encoded whose norm exceeds '
                                'the mean norm in their image (Sect. 3.4)',
                                needs=of_layer('norm_filter'))
    normalization: str = setting('sqrt', 'normalisation of the Fisher vector: sqrt (Eqs. 13, 14) '
                                 'or mean (as in VLFeat)', choices=('sqrt', 'mean'),
                                 needs=of_layer('normalization'))
    power_normalize: bool = setting(False, 'signed square roots of Fisher vectors, before the next '
                                    'two normalisations; in joint learning x / sqrt(|x| + 0.01), '
                                    'whose gradient is finite', needs=VECTORS)
    component_normalize: bool = setting(False, 'L2 normalisation of the mean part and of the sigma '
                                        'part of each component, before that of the whole vector',
                                        needs=of_layer('n_components'))
    l2_normalize: bool = setting(False, 'L2 normalisation of Fisher vectors, before scaling',
                                 needs=VECTORS)
    scaling: bool = setting(True, 'scaling of Fisher vectors by a factor that is measured in the '
                            'first K training batches', needs=STEP)
    scaled_to: str = setting('pooled', 'size of Fisher vectors after scaling; pooled: their '
                             'entries are as large as those of average-pooled features; norm: '
                             'their norm is 0.4 sqrt(D), whatever the number of components and '
                             'the scale of the D-dimensional features', choices=('pooled', 'norm'),
                             needs=SCALED)
    only_mean: bool = setting(False, 'restriction of Fisher vectors to their mean part, the first '
                              'K D values', needs=STEP)
    comp_size: int = setting(0, 'output channels of a 1 x 1 convolution before the encoding; 0: '
                             'no convolution; -1: as many channels as the ConvMaps',
                             between=(-1, 65536), needs=STEP)
    post_fve_size: int = setting(0, 'size of a linear layer with ReLU after the encoding; 0: no '
                                 'layer; -1: the size of the encoding', between=(-1, 65536),
                                 needs=STEP)
    aux_lambda: float = setting(0., 'weight of an auxiliary head in the loss of the part stream; '
                                'the head does not affect predictions', between=(0, 1), needs=STEP)
    aux_rate: float = setting(.5, 'factor by which model.aux_lambda is multiplied every '
                              'model.aux_step epochs', between=(0, 1), needs=AUXILIARY)
    aux_step: int = setting(20, 'number of epochs between two changes of model.aux_lambda',
                            between=(1, 100000), needs=AUXILIARY)
    init: str = setting('kmeans', 'initial mixture; kmeans: k-means++ on the first training '
                        'batch; random: random means, equal variances and weights',
                        choices=('kmeans', 'random'), needs=of_layer('init') & JOINT)
    resp_gradient: bool = setting(True, 'whether gradients also flow through the responsibilities '
                                  '(the first terms of Eqs. 15 and 16)',
                                  needs=of_layer('resp_gradient') & SOFT)
    ablation: str = setting('', 'change to the encoding whose effect is to be measured; empty: '
                            'none', choices=('', *ABLATIONS), needs=of_layer('ablation') & JOINT)
    var_floor: float = setting(1e-3, 'smallest variance of the mixture; if the CNNs learn with '
                               'several components, of the order of the variances of the '
                               'features, such as 1', between=(1e-12, 1e6),
                               needs=of_layer('var_floor'))
    relative_var_floor: float = setting(0., 'smallest variance relative to that of all features, '
                                        'the mean over their dimensions, which does not depend on '
                                        'their scale; the larger of the two floors counts',
                                        between=(0, 1000),
                                        needs=of_layer('relative_var_floor') & JOINT)
    pca_size: int = setting(512, 'maximum number of dimensions of local features after PCA',
                            between=(1, 4096), needs=SEPARATE)
    pca_whiten: bool = setting(True, 'scaling of local features to unit variance after PCA',
                               needs=SEPARATE)


@dataclass
class Training:
    """Training of CNN, mixture and classifier."""

    method: str = setting('joint', 'joint: CNN, mixture and class layers are trained together; '
                          'conventional: mixture, Fisher vectors and a linear SVM follow the '
                          'training of the CNN (Sect. 4.4)', choices=('joint', 'conventional'))
    svm_c: float = setting(1., 'C of the linear SVM that classifies Fisher vectors',
                           between=(1e-9, 1e9), needs=SEPARATE)
    class_weight: str = setting('none', 'weights of classes in the training loss; balanced: n / '
                                '(number of classes x n_c) for n training images, n_c of them in '
                                'the class, so that rare classes weigh as much as frequent ones',
                                choices=('none', 'balanced'))
    epochs: int = setting(60, 'number of training epochs; 0: no training', between=(0, 100000),
                          needs=JOINT)
    optimizer: str = setting('rmsprop', 'optimizer; sgd has momentum 0.9',
                             choices=('rmsprop', 'adam', 'sgd'), needs=JOINT)
    rmsprop_alpha: float = setting(.9, 'decay of the running mean of squared gradients',
                                   between=(0, 1 - 1e-9), needs=RMSPROP)
    epsilon: float = setting(1e-6, 'constant added to the root of the mean squared gradient',
                             between=(0, 1), needs=ADAPTIVE)
    learning_rate: float = setting(1e-4, 'initial learning rate', between=(1e-12, 100), needs=JOINT)
    lr_schedule: str = setting('steps', 'how the learning rate falls: in steps, or along half a '
                               'cosine', choices=('steps', 'cosine'), needs=JOINT)
    lr_factor: float = setting(.1, 'factor by which the learning rate is multiplied after each '
                               'epoch in training.lr_epochs', between=(0, 1), needs=STEPS)
    lr_epochs: list[int] = setting([20, 40], 'epochs after which the learning rate drops',
                                   between=(1, 100000), needs=STEPS)
    lr_target: float = setting(0., 'lower bound of the learning rate', between=(0, 100),
                               needs=JOINT)
    lr_warmup: float = setting(0., 'number of initial epochs in which the learning rate rises '
                               'linearly from 0', between=(0, 100000), needs=JOINT)
    cnn_lr_factor: float = setting(1., 'factor on the learning rate of the CNNs; 0: the CNNs are '
                                   'frozen, including the statistics of batch normalisation',
                                   between=(0, 1000), needs=JOINT)
    views: int = setting(0, 'number of views of each training image whose ConvMaps are computed '
                         'once and kept on disk: the image as in a test, then its mirror image if '
                         'data.flip, then random views; 0: the CNNs compute ConvMaps in every step',
                         between=(0, 1000), needs=FROZEN)
    freeze_batch_norm: bool = setting(False, 'whether batch normalisation keeps and uses its '
                                      'pre-trained statistics while the CNNs learn, which small '
                                      'batches need; it takes a lower learning rate',
                                      needs=LEARNED_CNNS)
    update_size: int = setting(64, 'number of images per weight update', between=(1, 100000),
                               needs=JOINT)
    batch_size: int = setting(8, 'number of images per forward pass; gradients are accumulated up '
                              'to training.update_size', between=(1, 100000), needs=JOINT)
    dtype: str = setting('float32', 'floating-point type of the CNNs; mixed16: float16 with loss '
                         'scaling', choices=('float32', 'mixed16'), needs=JOINT)
    recompute: bool = setting(False, 'recomputation of CNN activations in the backward pass: less '
                              'memory, more time, same results', needs=RECOMPUTING)
    label_smoothing: float = setting(.1, 'share of the target probability that is spread over all '
                                     'classes', between=(0, .999), needs=JOINT)
    weight_decay: float = setting(5e-4, 'L2 penalty on all weights', between=(0, 100), needs=JOINT)
    workers: int = setting(0, 'number of threads that load images beside the computation; no '
                           'effect on results', between=(0, 256))
    gpu: int = setting(-1, 'device id of the GPU; -1: CPU', between=(-1, 64))
    seed: int = setting(0, 'random seed of weights, mixture, augmentation, image order and part '
                        'order', between=(0, 2 ** 31 - 1))
    sync_batch_norm: bool = setting(False, 'whether batch normalisation uses the statistics of '
                                    'all MPI processes; false: each process uses its own, as in '
                                    'the original', needs=BATCH_STATISTICS)
    evaluate_every: int = setting(1, 'number of epochs between evaluations on the test images; '
                                  'the last epoch is always evaluated', between=(1, 100000),
                                  needs=JOINT)
    keep_best: bool = setting(False, 'whether the weights with the best test accuracy are also '
                              'kept, as best.npz', needs=JOINT)
    patience: int = setting(0, 'early stopping: number of epochs without a higher accuracy on the '
                            'held-out images after which training stops; the weights are those '
                            'of the best epoch; 0: off', between=(0, 100000),
                            needs=JOINT & VALIDATION)
    tensorboard: bool = setting(False, 'whether the log is also written for TensorBoard (needs '
                                'the package tensorboardX)', needs=JOINT)

    @property
    def is_joint(self) -> bool:
        """Whether CNN and mixture are trained together."""
        return self.method == 'joint'

    @property
    def keeps_conv_maps(self) -> bool:
        """Whether the CNNs are frozen and their ConvMaps are kept on disk."""
        return self.is_joint and self.cnn_lr_factor == 0 and self.views > 0


@dataclass
class Config:
    """All settings of an experiment."""

    data: Data = field(default_factory=Data)
    detector: Detector = field(default_factory=Detector)
    model: Model = field(default_factory=Model)
    training: Training = field(default_factory=Training)
    expect: str = ''                # expected result, printed beside the run's own
    expect_of_seeds: dict = field(default_factory=dict)     # per cent, by seed
    expect_elsewhere: dict = field(default_factory=dict)    # with other CPUs and pre-trainings
    file: str = field(default='', compare=False)    # the YAML, as it was given
    replaced: dict = field(default_factory=dict)    # what the file has for settings given by --set
    project = HERE      # paths are relative to it; without annotation it is no setting

    @property
    def headline(self):
        """The stream whose accuracy is the result; the conventional pipeline uses parts only."""
        return 'both' if self.training.is_joint else 'parts'
