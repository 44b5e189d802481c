"""CIFAR-10 with residual networks: the usual size between digits and ImageNet, for accelerators."""

from typing import Literal

from lbexp.datasets.cifar10 import cifar10
from lbexp.models.norm import Ghost
from lbexp.models.resnet import resnet
from lbexp.ranges import ClosedFraction, Fraction, NonNegativeInteger
from lbexp.workloads import Workload
from lbexp.workloads.classification import classification

# published test accuracy, by depth
_TARGETS = {18: 0.9528, 20: 0.9125, 32: 0.9249, 44: 0.9283, 56: 0.9303}


def cifar10_resnet(
    path: str,
    depth: Literal[18, 20, 32, 44, 56] = 20,
    ghost: Ghost = None,
    flip: ClosedFraction = 0.5,
    crop: NonNegativeInteger = 4,
    label_smoothing: Fraction = 0.0,
    rematerialise: bool = False,
    replacement: bool = False,
    validation: NonNegativeInteger = 0,
) -> Workload:
    """Pictures that are mirrored and cropped at random, a ResNet, softmax cross-entropy [nats].

    Target: the published test accuracy, .9125, .9249, .9283 and .9303 of depth 20, 32, 44 and 56
    (He et al. 2016, arXiv:1512.03385, Table 6), .9528 of depth 18 (DeVries and Taylor 2017,
    arXiv:1708.04552, Table 1, without cutout). A picture is padded and cut as there; its bytes
    are divided by 255, where there its mean is subtracted, too.

    Args:
        path: folder of the files, as of the data set `cifar10`.
        depth, ghost, rematerialise: as of the model `resnet`.
        flip: probability that a picture is mirrored left to right, in [0, 1].
        crop: largest shift, up and down, left and right [pixels]; 0: none.
        label_smoothing, replacement, validation: as in digits_mlp.
    """
    augment = {'flip': flip, 'crop': crop}
    return classification(
        data=cifar10(path, validation, replacement, augment=augment),
        model=resnet(depth, ghost, rematerialise),
        label_smoothing=label_smoothing,
        target=_TARGETS[depth],
    )
