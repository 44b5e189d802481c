"""A network that knows a million photographs learns from 350 others: its head first, then its last
blocks at a small rate, or those from the start?

    python -m lbexp.data.prepare tuxpaint_photos
    python -m lbexp.data.prepare efficientnet_lite0
    python -m lbexp.main --config=experiments/photos_transfer.py

EfficientNet-Lite0 at 96 pixels, trained on ImageNet; animal or not. 'head': the base is frozen, the
new head trains at 1e-3. 'blocks': blocks 11 to 15 train, too, at 1e-5. Each stage has three passes
over the training photographs. One seed decides nothing: --config.study.seeds=6. Measured with that,
6 minutes on 2 CPU cores: test error 0.052 [0.042, 0.063] with the head first, 0.073 [0.052, 0.073]
without; the difference, 0.016 [0, 0.031], is undecided.

`:folds` trains the head alone, six passes, with each fifth of the photographs as the test set and
six seeds: every photograph is tested once. Measured: 0.943 of the 439 are told right, 0.936 to
0.954 by seed, with a standard error of 0.011 over the photographs; 0.708 of them are no animals.
The AUC within a fold is 0.98. Some ten minutes on 2 CPU cores.

`:vgg16` takes VGG16's convolutions after edge training (python -m lbexp.data.prepare vgg16), of
which block 5 trains in the second stage; at 64 pixels, as a photograph of 96 takes 5.6 GFLOP
instead of 2.5. Measured with one seed, five minutes of CPU time on a busy machine: test error 0.271
and AUC 0.79 with the head first, 0.333 and 0.78 without. Of these 96 photographs 0.344 are animals:
three passes at these rates, which nobody tuned for it, are few. `:vgg16_folds` trains its head over
the folds with one seed (not run yet). Logistic regression on the same means, standardised, tells
0.76 to 0.80 right over the folds at 48 to 96 pixels, with an AUC of 0.82 to 0.85.
"""

from typing import NamedTuple

from lbexp import config
from lbexp.data.packages import examples_file
from lbexp.errors import Refusal


class Base(NamedTuple):
    """A pretrained network."""

    parameters: tuple[str, ...]  # all but those of its last layer
    early: tuple[str, ...]  # those that stay frozen in the second stage
    size: int  # of a picture's side [pixels]
    seeds: int  # of each fold


BASES = {
    'efficientnet_lite0': Base(
        ('stem', 'block_', 'head'), ('stem', 'block_([0-9]|10)/'), size=96, seeds=6
    ),
    'vgg16': Base(('block',), ('block[1-4]/',), size=64, seeds=1),
}
# (base, whether over all folds)
KINDS = {
    '': ('efficientnet_lite0', False),
    'folds': ('efficientnet_lite0', True),
    'vgg16': ('vgg16', False),
    'vgg16_folds': ('vgg16', True),
}


def get_config(kind: str = ''):
    if kind not in KINDS:
        raise Refusal(f"kind: found {kind!r}; allowed: none, 'folds', 'vgg16', 'vgg16_folds'")
    name, over_folds = KINDS[kind]
    base = BASES[name]
    c = config.base()
    c.workload = dict(name='photos_transfer', base=name, size=base.size)
    c.init_from.weights = str(examples_file(name))
    c.init_from.take = base.parameters
    c.optimizer = dict(name='adamw', learning_rate=1e-3, weight_decay=0.0)
    slow = dict(name='adamw', learning_rate=1e-5, weight_decay=0.0)
    c.study = dict(
        name='two_stages',
        names=('head', 'blocks'),
        first=dict(freeze=base.parameters),
        second=dict(freeze=base.early, optimizer=slow),
        seeds=1,
        reverse=False,
    )
    c.batch_size, c.epochs = 16, 3.0
    if over_folds:
        c.epochs, c.freeze, c.study = 6.0, base.parameters, dict(name='training')
        c.sweep = (('workload.fold', (0, 1, 2, 3, 4)), ('seed', tuple(range(base.seeds))))
    c.num_evaluations, c.num_checkpoints = 3, 1
    return c
