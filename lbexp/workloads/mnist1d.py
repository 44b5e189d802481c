"""MNIST-1D with a multilayer perceptron: real generalization, hundreds of trials in minutes."""

from collections.abc import Sequence

from lbexp.datasets.mnist1d import mnist1d as signals
from lbexp.models.mlp import mlp
from lbexp.models.norm import Ghost
from lbexp.ranges import Fraction, NonNegativeInteger, PositiveInteger
from lbexp.workloads import Workload
from lbexp.workloads.classification import classification


def mnist1d(
    hidden: Sequence[PositiveInteger] = (128, 128),
    batch_norm: bool = False,
    ghost: Ghost = None,
    dropout: Fraction | None = None,
    label_smoothing: Fraction = 0.0,
    replacement: bool = False,
    validation: NonNegativeInteger = 0,
) -> Workload:
    """40 - hidden - 10, ReLU, softmax cross-entropy [nats] (Greydanus and Kobak 2024,
    arXiv:2011.14439). Target: 0.65.

    Args:
        hidden: widths of the hidden layers [units].
        batch_norm, ghost, dropout, label_smoothing, replacement, validation: as in digits_mlp.
    """
    return classification(
        data=signals(validation, replacement),
        model=mlp(hidden, batch_norm, ghost, dropout),
        label_smoothing=label_smoothing,
        target=0.65,
    )
