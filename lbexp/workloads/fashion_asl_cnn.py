"""Fashion-MNIST with the recipe that is common for letters of sign language."""

from lbexp.datasets.fashion_mnist import fashion_mnist
from lbexp.models.cnn import cnn
from lbexp.models.norm import Ghost
from lbexp.ranges import Fraction, NonNegativeInteger, Number
from lbexp.workloads import Workload
from lbexp.workloads.classification import classification


def fashion_asl_cnn(
    rotation: Number = 10.0,
    zoom: Fraction = 0.1,
    shift: Fraction = 0.1,
    flip: Fraction = 0.0,
    dropout: Fraction | None = 0.3,
    ghost: Ghost = None,
    label_smoothing: Fraction = 0.0,
    replacement: bool = False,
    validation: NonNegativeInteger = 0,
    block_dropout: Fraction | None = 0.2,
) -> Workload:
    """Three 3x3 convolutions with batch norm, pooling and dropout, a dense layer of 512 with
    dropout, on pictures that are turned, zoomed and shifted at random. Letters must not be
    mirrored, clothes may be (`flip`). Target: 0.91 test accuracy.

    Args:
        rotation: largest angle [degrees].
        zoom, shift, flip: of lbexp.data.augmentation.
        dropout: of the dense layer's units, in [0, 1); None: no dropout.
        block_dropout: of what each pooling gives, in [0, 1); None: no dropout.
        ghost, label_smoothing, replacement, validation: as in digits_mlp.
    """
    augment = {'rotation': rotation, 'zoom': zoom, 'shift': shift, 'flip': flip}
    return classification(
        data=fashion_mnist(validation, replacement, augment=augment),
        model=cnn((32, 64, 128), 512, True, ghost, dropout, block_dropout),
        label_smoothing=label_smoothing,
        target=0.91,
    )
