"""The settings of images, parts and the detector of parts: see :mod:`finetune.config.settings`."""
from dataclasses import dataclass

from finetune.config.catalogue import DATA_SETS, PARTS
from finetune.config.conditions import (
    AUGMENTED, BOXES, CROPS, DETECTED, DRAWN, GRID, JOINT, LEFT_OUT, POINTS, SPLIT, SQUARE,
    VALIDATION, WITH_CLASSES)
from finetune.config.schema import setting


@dataclass
class Data:
    """Images and parts."""

    dataset: str = setting('cub200', 'name of the data set; minibirds and digits are generated on '
                           'first use, animals is unpacked', choices=DATA_SETS)
    split: str = setting('', 'images to train and test on; empty: the training and test images; '
                         'validation: a fifth of the training images is held out and replaces the '
                         'test images; pretraining: other classes, which minibirds and animals '
                         'have for pre-training', choices=('', 'validation', 'pretraining'))
    fold: int = setting(0, 'which of the five fifths is held out', between=(0, 4),
                        needs=VALIDATION)
    root: str = setting('', 'folder of the data set, or CSV file of your own pictures; empty: the '
                        'folder in data/ that has the name of the data set')
    test_share: float = setting(.3, 'share of the pictures held out for testing if the data come '
                                'without a split', between=(.01, .99), needs=SPLIT)
    split_seed: int = setting(0, 'random seed of the split made by data.test_share',
                              between=(0, 2 ** 31 - 1), needs=SPLIT)
    drawing: dict = setting({}, 'options for generating minibirds and digits and for selecting '
                            'animals (below)', needs=DRAWN)
    train_per_class: int = setting(0, 'number of training images used per class, the first ones; '
                                   '0: all', between=(0, 10 ** 6))
    parts: str = setting('GT', 'kind of parts; ' + '; '.join(
        f'{name}: {kind.meaning}' for name, kind in PARTS.items()), choices=PARTS)
    grid: list[int] = setting([2, 2], 'rows and columns of tiles, 1 to 16 each', needs=GRID)
    n_parts: int = setting(0, 'number of parts used, the first ones of the data set; 0: all',
                           between=(0, 1000), needs=CROPS)
    part_ratio: float = setting(.31, 'width and height of the crop around a point, as a share of '
                                "the image's", between=(.01, 1), needs=POINTS)
    boxes: str = setting('CS_parts', 'folder of the part boxes, in the folder of the data set; '
                         'boxes found in your own pictures, or by a validation split alone, are '
                         'in parts/, beside their runs', needs=BOXES)
    box_frame: int = setting(427, 'side in pixels of the square whose coordinates the boxes are '
                             'in; 0: boxes are in pixels of the image', between=(0, 100000),
                             needs=BOXES)
    box_frame_fit: str = setting('crop', 'how images were fitted to that square; crop: shorter '
                                 'side scaled, centre cropped; squash: both sides scaled',
                                 choices=('crop', 'squash'), needs=SQUARE)
    missing: str = setting('zero', 'how hidden parts are treated; zero: their features are zero; '
                           'mask: they are ignored; centre: they are replaced by a crop of the '
                           'image centre', choices=('zero', 'mask', 'centre'), needs=CROPS)
    order: str = setting('ordered', 'order of the parts; shuffled: a new random order per image '
                         'and epoch; shuffled_once: one random order per image for the whole run',
                         choices=('ordered', 'shuffled', 'shuffled_once'), needs=CROPS)
    input_size: int = setting(299, 'side of the global image given to the CNN, in pixels',
                              between=(16, 4096))
    part_input_size: int = setting(299, 'side of the part crops given to the CNN, in pixels',
                                   between=(16, 4096), needs=CROPS)
    interpolation: str = setting('bilinear', 'how images and crops are scaled for the CNNs; '
                                 'EfficientNet-Lite was trained with bicubic',
                                 choices=('bilinear', 'bicubic'))
    flip: bool = setting(True, 'random horizontal flips in training', needs=JOINT)
    colour_jitter: float = setting(.3, 'largest random change of brightness, contrast and '
                                   'saturation in training', between=(0, 1), needs=AUGMENTED)
    random_crop: float = setting(0., 'smallest area of a random crop of the image in training, as '
                                 'a share of the largest square in it; 0: a square of 7/8 of the '
                                 'shorter side', between=(0, 1), needs=AUGMENTED)
    part_jitter: float = setting(0., 'largest random shift of the box of a part, and change of its '
                                 "width and height, in training, as a share of the box's; it "
                                 'stays in the image', between=(0, .5), needs=CROPS & AUGMENTED)
    part_dropout: float = setting(0., 'probability that a visible part is left out in training, '
                                  'as if it were hidden; never all parts of an image',
                                  between=(0, 1), needs=CROPS & LEFT_OUT)
    test_flip: bool = setting(False, 'whether scores of test images, and of pictures to predict, '
                              'are means over the image and its mirror image', needs=JOINT)

    @property
    def has_parts(self):
        """Whether there is a part stream."""
        return PARTS[self.parts].has_crops

    @property
    def upright(self):
        """Whether images are rotated by their EXIF data; annotated positions forbid it."""
        return DATA_SETS[self.dataset].upright


@dataclass
class Detector:
    """How parts are found if the folder data.boxes does not exist (CS-Parts)."""

    cnn: str = setting('', 'YAML of the run whose whole-image CNN finds the parts, or weights as '
                       'for model.pretrained; empty: the boxes are read from files', needs=BOXES)
    n_parts: int = setting(4, 'number of parts per image', between=(1, 64), needs=DETECTED)
    input_size: int = setting(427, 'side of the square images in which parts are found, in pixels',
                              between=(16, 4096), needs=DETECTED)
    svm_c: float = setting(.1, 'C of the sparse SVM that selects features', between=(1e-9, 1e9),
                           needs=WITH_CLASSES)
    folds: int = setting(0, 'number of folds of the training images; the parts of a fold are '
                         'found by an SVM that has not seen it; 0: by one that has seen all',
                         between=(0, 20), needs=WITH_CLASSES)
    features: str = setting('selected', 'features whose gradient is the saliency; selected: those '
                            'with a nonzero SVM coefficient for the predicted class; positive: '
                            'those with a positive one; score: the SVM score of the class instead '
                            'of features; all: all features, without classes and SVM',
                            choices=('selected', 'positive', 'score', 'all'), needs=DETECTED)
    sigma: float = setting(5., 'blur of the saliency (standard deviation), in pixels',
                           between=(0, 1000), needs=DETECTED)
    gamma: float = setting(.7, 'exponent that compresses the saliency', between=(.01, 100),
                           needs=DETECTED)
    columns: str = setting('position_saliency_colour', 'properties by which pixels are grouped '
                           'into parts',
                           choices=('position', 'position_saliency', 'position_saliency_colour'),
                           needs=DETECTED)
    smallest_box: int = setting(64, 'smallest height and width of a box, in pixels',
                                between=(1, 4096), needs=DETECTED)
