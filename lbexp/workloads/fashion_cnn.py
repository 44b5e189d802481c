"""Fashion-MNIST with a small convolutional network."""

from collections.abc import Sequence
from typing import Literal

from lbexp.data.splits import splits
from lbexp.models.classifier import classifier, logits
from lbexp.models.cnn import CNN
from lbexp.models.norm import together
from lbexp.ranges import Fraction, NonNegativeInteger, PositiveInteger
from lbexp.workloads import Workload


def fashion_cnn(
    channels: Sequence[PositiveInteger] = (16, 32),
    hidden: PositiveInteger = 128,
    batch_norm: bool = False,
    ghost: PositiveInteger | Literal['sync', 'replica'] | None = None,
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
    module = CNN(channels, hidden, 10, batch_norm, ghost, dropout)
    init, loss, metrics = classifier(module, (28, 28, 1), 1 / 255, label_smoothing)
    return Workload(
        init,
        loss,
        metrics,
        **splits('fashion_mnist', validation, replacement),
        together=together(batch_norm, ghost),
        target=('accuracy', 0.90),
        predict=logits(module, 1 / 255),
        inputs=('image',),
    )
