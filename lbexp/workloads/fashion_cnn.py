"""Fashion-MNIST with a small convolutional network."""

from collections.abc import Sequence

from lbexp.datasets.fashion_mnist import fashion_mnist
from lbexp.models.cnn import cnn
from lbexp.models.norm import Ghost
from lbexp.ranges import Fraction, NonNegativeInteger, PositiveInteger
from lbexp.workloads import Workload
from lbexp.workloads.classification import classification


def fashion_cnn(
    channels: Sequence[PositiveInteger] = (16, 32),
    hidden: PositiveInteger = 128,
    batch_norm: bool = False,
    ghost: Ghost = None,
    dropout: Fraction | None = None,
    label_smoothing: Fraction = 0.0,
    replacement: bool = False,
    validation: NonNegativeInteger = 0,
) -> Workload:
    """Two 3x3 convolutions with pooling, a dense layer, softmax cross-entropy [nats]. Target: 0.90
    test accuracy.

    Args:
        channels: output channels of each convolution.
        hidden: width of the dense layer [units].
        batch_norm, ghost, dropout, label_smoothing, replacement, validation: as in digits_mlp.
    """
    return classification(
        data=fashion_mnist(validation, replacement),
        model=cnn(channels, hidden, batch_norm, ghost, dropout),
        label_smoothing=label_smoothing,
        target=0.90,
    )
