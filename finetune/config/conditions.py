"""When settings are read: the conditions that settings need."""
from finetune.config.catalogue import ARCHITECTURES, DATA_SETS, ENCODINGS, PARTS
from finetune.config.schema import Needs

CLASS_FREE = 'all',     # values of detector.features that need no labels

DRAWN = Needs('a data set that is drawn', lambda config: DATA_SETS[config.data.dataset].prepare)
CROPS = Needs('data.parts other than ' + ' or '.join(
    name for name, kind in PARTS.items() if not kind.has_crops),
    lambda config: config.data.has_parts)
SPLIT = Needs('data.dataset folder',
              lambda config: 'test_share' in DATA_SETS[config.data.dataset].settings)
VALIDATION = Needs('data.split validation', lambda config: config.data.split == 'validation')


def of_parts(name):
    """Needs of a setting in the section ``data`` that only some kinds of parts read."""
    kinds = [key for key, kind in PARTS.items() if name in kind.settings]
    return Needs('data.parts ' + ' or '.join(kinds),
                 lambda config: config.data.parts in kinds)


GRID, BOXES, AROUND_POINTS = (of_parts(name) for name in ('grid', 'boxes', 'part_ratio'))
POINTS = Needs(f'boxes around points ({AROUND_POINTS.text}, or data.missing centre)',
               lambda config: AROUND_POINTS.holds(config)
               or config.data.has_parts and config.data.missing == 'centre')
SQUARE = Needs(f'{BOXES.text} and a data.box_frame',
               lambda config: BOXES.holds(config) and config.data.box_frame > 0)
ADAPTIVE = Needs('training.method joint and training.optimizer rmsprop or adam', lambda config:
                 config.training.is_joint and config.training.optimizer != 'sgd')
RMSPROP = Needs('training.method joint and training.optimizer rmsprop', lambda config:
                config.training.is_joint and config.training.optimizer == 'rmsprop')
JOINT = Needs('training.method joint', lambda config: config.training.is_joint)
STEPS = Needs('training.method joint and training.lr_schedule steps', lambda config:
              config.training.is_joint and config.training.lr_schedule == 'steps')
AUGMENTED = JOINT & Needs(
    'random views of images (training.views 0, or more than the image and its mirror image)',
    lambda config: not config.training.keeps_conv_maps
    or config.training.views > (2 if config.data.flip else 1))
LEFT_OUT = JOINT & Needs('data.missing zero or mask',
                         lambda config: config.data.missing != 'centre')
LEARNED_CNNS = JOINT & Needs('a training.cnn_lr_factor above 0',
                             lambda config: config.training.cnn_lr_factor > 0)
FROZEN = JOINT & Needs('training.cnn_lr_factor 0',
                       lambda config: config.training.cnn_lr_factor == 0)
BATCH_STATISTICS = JOINT & Needs('training.freeze_batch_norm false',
                                 lambda config: not config.training.freeze_batch_norm)
NEW = Needs('an empty model.checkpoint', lambda config: not config.model.checkpoint)
RECOMPUTING = Needs(
    'training.method joint and an architecture that supports it', lambda config: JOINT.holds(config)
    and ARCHITECTURES[config.model.architecture].bytes_recomputing is not None)
DETECTED = Needs(f'{BOXES.text} and a detector.cnn',
                 lambda config: BOXES.holds(config) and config.detector.cnn)
WITH_CLASSES = DETECTED & Needs('another detector.features than all',
                                lambda config: config.detector.features not in CLASS_FREE)
SOFT = JOINT & Needs('another model.ablation than hard_assignment',
                     lambda config: config.model.ablation != 'hard_assignment')
SEPARATE = Needs('training.method conventional', lambda config: not config.training.is_joint)


def of_encodings(holds):
    """Needs of a setting that is read with the encodings whose rows satisfy ``holds``."""
    names = [name for name, encoding in ENCODINGS.items() if holds(encoding)]
    return Needs('model.encoding ' + ' or '.join(names),
                 lambda config: holds(ENCODINGS[config.model.encoding]))


def of_layer(setting):
    """Needs of a setting that only the layers of some encodings take."""
    return of_encodings(lambda encoding: setting in encoding.settings)


VECTORS = of_encodings(lambda encoding: encoding.has_steps)
STEP = VECTORS & JOINT
SCALED = STEP & Needs('model.scaling', lambda config: config.model.scaling)
AUXILIARY = STEP & Needs('model.aux_lambda above 0', lambda config: config.model.aux_lambda > 0)
