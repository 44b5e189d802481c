"""The 8x8 digits with a multilayer perceptron: the smallest real workload, embedded in the
package."""

from collections.abc import Sequence

from lbexp.datasets.digits import digits
from lbexp.models.mlp import mlp
from lbexp.models.norm import Ghost
from lbexp.ranges import Fraction, NonNegativeInteger, PositiveInteger
from lbexp.workloads import Workload
from lbexp.workloads.classification import classification


def digits_mlp(
    hidden: Sequence[PositiveInteger] = (128, 128),
    batch_norm: bool = False,
    ghost: Ghost = None,
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
            'replica': what one device has of it; 'frozen': no examples do, the running statistics
            normalize in training, too, and stay as they are.
        dropout: probability in [0, 1); None: no dropout.
        label_smoothing: in [0, 1).
        replacement: draw training examples with replacement.
        validation: examples of the training set held out for tuning; 0: none.
    """
    return classification(
        data=digits(validation, replacement),
        model=mlp(hidden, batch_norm, ghost, dropout),
        label_smoothing=label_smoothing,
        target=0.96,
    )
