"""Fashion-MNIST with a multilayer perceptron."""

from collections.abc import Sequence

from lbexp.datasets.fashion_mnist import fashion_mnist
from lbexp.models.mlp import mlp
from lbexp.models.norm import Ghost
from lbexp.ranges import Fraction, NonNegativeInteger, PositiveInteger
from lbexp.workloads import Workload
from lbexp.workloads.classification import classification


def fashion_mlp(
    hidden: Sequence[PositiveInteger] = (512, 512),
    batch_norm: bool = False,
    ghost: Ghost = None,
    dropout: Fraction | None = None,
    label_smoothing: Fraction = 0.0,
    replacement: bool = False,
    validation: NonNegativeInteger = 0,
) -> Workload:
    """784 - hidden - 10, ReLU, softmax cross-entropy [nats] (Xiao et al. 2017, arXiv:1708.07747).
    Target: 0.87.

    Args:
        hidden: widths of the hidden layers [units].
        batch_norm, ghost, dropout, label_smoothing, replacement, validation: as in digits_mlp.
    """
    return classification(
        data=fashion_mnist(validation, replacement),
        model=mlp(hidden, batch_norm, ghost, dropout),
        label_smoothing=label_smoothing,
        target=0.87,
    )
