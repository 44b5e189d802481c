"""Is it an animal? A few hundred photographs, for a network that has learned from others."""

from lbexp.datasets.tuxpaint_photos import tuxpaint_photos
from lbexp.models.efficientnet_lite0 import efficientnet_lite0
from lbexp.ranges import NonNegativeInteger, Number, PositiveInteger
from lbexp.workloads import Workload
from lbexp.workloads.binary import binary


def photos_transfer(
    size: PositiveInteger = 96,
    fold: NonNegativeInteger = 0,
    folds: PositiveInteger = 5,
    augment: dict[str, Number] | None = None,
    replacement: bool = False,
    validation: NonNegativeInteger = 0,
) -> Workload:
    """EfficientNet-Lite0 with one output on cut-out photographs of animals and of other things.

    For `init_from` with the weights of `python -m lbexp.data.prepare efficientnet_lite0`, taking
    ('stem', 'block_', 'head'); from random weights it learns little. Batch norm is frozen.

    Args:
        size: of a picture's side [pixels].
        fold, folds, augment, replacement, validation: as of the data set `tuxpaint_photos`.
    """
    data = tuxpaint_photos(size, fold, folds, validation, replacement, augment)
    return binary(data=data, model=efficientnet_lite0())
