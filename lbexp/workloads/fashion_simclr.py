"""Fashion-MNIST without its labels: a small convolutional network is pretrained by SimCLR."""

from collections.abc import Sequence

from lbexp.datasets.fashion_mnist import fashion_mnist
from lbexp.models.cnn import cnn
from lbexp.models.norm import Ghost
from lbexp.ranges import (
    ClosedFraction,
    Fraction,
    NonNegativeInteger,
    Number,
    Positive,
    PositiveInteger,
)
from lbexp.workloads import Workload
from lbexp.workloads.contrastive import contrastive


def fashion_simclr(
    channels: Sequence[PositiveInteger] = (16, 32, 64),
    hidden: PositiveInteger = 128,
    temperature: Positive = 0.5,
    projection: PositiveInteger = 128,
    zoom: Fraction = 0.35,
    shift: Fraction = 0.15,
    rotation: Number = 10.0,
    flip: ClosedFraction = 0.5,
    brightness: Fraction = 0.4,
    contrasted: PositiveInteger = 256,
    ghost: Ghost = None,
    replacement: bool = False,
    validation: NonNegativeInteger = 0,
) -> Workload:
    """Three 3x3 convolutions with batch norm and pooling and a dense layer are the encoder, two
    dense layers the projection head.

    Args:
        channels, hidden, ghost: of cnn; `hidden` is the number of features.
        temperature, projection, contrasted: of contrastive.
        zoom, shift, rotation, flip, brightness: of lbexp.data.augmentation: how the two views of a
            picture are drawn.
        replacement, validation: as in digits_mlp.
    """
    augment = {
        'zoom': zoom,
        'shift': shift,
        'rotation': rotation,
        'flip': flip,
        'brightness': brightness,
    }
    return contrastive(
        data=fashion_mnist(validation, replacement),
        model=cnn(channels, hidden, True, ghost),
        augment=augment,
        temperature=temperature,
        projection=projection,
        contrasted=contrasted,
    )
