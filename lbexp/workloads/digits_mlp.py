"""The 8x8 digits with a multilayer perceptron: the smallest real workload, embedded in the
package."""

from collections.abc import Sequence
from typing import Literal

from lbexp.data.splits import splits
from lbexp.models.classifier import classifier, logits
from lbexp.models.mlp import MLP
from lbexp.models.norm import together
from lbexp.ranges import Fraction, NonNegativeInteger, PositiveInteger
from lbexp.workloads import Workload


def digits_mlp(
    hidden: Sequence[PositiveInteger] = (128, 128),
    batch_norm: bool = False,
    ghost: PositiveInteger | Literal['sync', 'replica'] | None = None,
    dropout: Fraction | None = None,
    label_smoothing: Fraction = 0.0,
    replacement: bool = False,
    validation: NonNegativeInteger = 0,
) -> Workload:
    """64 - hidden - 10, ReLU, softmax cross-entropy [nats], on the UCI handwritten digits. Target:
    0.96 test accuracy.

    Args:
        hidden: widths of the hidden layers [units].
        batch_norm: normalize before each ReLU.
        ghost: examples that share batch-norm statistics; must divide the microbatch. None or
            'sync': the microbatch;
            'replica': what one device has of it.
        dropout: probability in [0, 1); None: no dropout.
        label_smoothing: in [0, 1).
        replacement: draw training examples with replacement.
        validation: examples of the training set held out for tuning; 0: none.
    """
    module = MLP(hidden, 10, batch_norm, ghost, dropout)
    init, loss, metrics = classifier(module, (8, 8, 1), 1 / 16, label_smoothing)
    return Workload(
        init,
        loss,
        metrics,
        **splits('digits', validation, replacement),
        together=together(batch_norm, ghost),
        target=('accuracy', 0.96),
        predict=logits(module, 1 / 16),
        inputs=('image',),
    )
