"""Is it an animal? A few hundred photographs, for a network that has learned from others."""

from typing import Literal

from lbexp.datasets.tuxpaint_photos import tuxpaint_photos
from lbexp.models.efficientnet_lite0 import efficientnet_lite0
from lbexp.models.vgg16 import vgg16
from lbexp.ranges import NonNegativeInteger, Number, PositiveInteger
from lbexp.workloads import Workload
from lbexp.workloads.binary import binary

_MODELS = {'efficientnet_lite0': efficientnet_lite0, 'vgg16': vgg16}


def photos_transfer(
    size: PositiveInteger = 96,
    fold: NonNegativeInteger = 0,
    folds: PositiveInteger = 5,
    augment: dict[str, Number] | None = None,
    replacement: bool = False,
    validation: NonNegativeInteger = 0,
    base: Literal['efficientnet_lite0', 'vgg16'] = 'efficientnet_lite0',
) -> Workload:
    """A pretrained network with one output on cut-out photographs of animals and of other things.

    For `init_from` with the weights of `python -m lbexp.data.prepare` and the base's name, taking
    ('stem', 'block_', 'head') of efficientnet_lite0, whose batch norm is frozen, or ('block',) of
    vgg16; from random weights they learn little.

    Args:
        size: of a picture's side [pixels].
        fold, folds, augment, replacement, validation: as of the data set `tuxpaint_photos`.
        base: the network.
    """
    data = tuxpaint_photos(size, fold, folds, validation, replacement, augment)
    return binary(data=data, model=_MODELS[base]())
