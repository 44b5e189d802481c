"""MNIST-1D with a multilayer perceptron: real generalization, hundreds of trials in minutes."""

from collections.abc import Sequence
from typing import Literal

from lbexp.data.splits import splits
from lbexp.models.classifier import classifier, logits
from lbexp.models.mlp import MLP
from lbexp.models.norm import together
from lbexp.ranges import Fraction, NonNegativeInteger, PositiveInteger
from lbexp.workloads import Workload


def mnist1d(
    hidden: Sequence[PositiveInteger] = (128, 128),
    batch_norm: bool = False,
    ghost: PositiveInteger | Literal['sync', 'replica'] | None = None,
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
    module = MLP(hidden, 10, batch_norm, ghost, dropout)
    init, loss, metrics = classifier(module, (40, 1), 1.0, label_smoothing)
    return Workload(
        init,
        loss,
        metrics,
        **splits('mnist1d', validation, replacement),
        together=together(batch_norm, ghost),
        target=('accuracy', 0.65),
        predict=logits(module, 1.0),
        inputs=('image',),
    )
