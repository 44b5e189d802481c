"""Fashion-MNIST with a multilayer perceptron."""

from collections.abc import Sequence
from typing import Literal

from lbexp.data.splits import splits
from lbexp.models.classifier import classifier, logits
from lbexp.models.mlp import MLP
from lbexp.models.norm import together
from lbexp.ranges import Fraction, NonNegativeInteger, PositiveInteger
from lbexp.workloads import Workload


def fashion_mlp(
    hidden: Sequence[PositiveInteger] = (512, 512),
    batch_norm: bool = False,
    ghost: PositiveInteger | Literal['sync', 'replica'] | None = None,
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
    module = MLP(hidden, 10, batch_norm, ghost, dropout)
    init, loss, metrics = classifier(module, (28, 28, 1), 1 / 255, label_smoothing)
    return Workload(
        init,
        loss,
        metrics,
        **splits('fashion_mnist', validation, replacement),
        together=together(batch_norm, ghost),
        target=('accuracy', 0.87),
        predict=logits(module, 1 / 255),
        inputs=('image',),
    )
