"""The 8x8 digits with squared loss and a smooth network: what full-batch gradient descent sharpens
until the edge of stability, and keeps there."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from lbexp.data.load import load
from lbexp.data.source import memory
from lbexp.ranges import PositiveInteger
from lbexp.workloads import Workload


class TanhMLP(nn.Module):
    """Dense layers with tanh, then a linear layer."""

    hidden: Sequence[int]

    @nn.compact
    def __call__(self, x):
        for width in self.hidden:
            x = nn.tanh(nn.Dense(width)(x))
        return nn.Dense(10)(x)


def digits_squared(hidden: Sequence[PositiveInteger] = (24,), examples: int = 512) -> Workload:
    """64 - hidden - 10, tanh, |f(x) - onehot(label)|^2 / 2 (Cohen et al. 2021, arXiv:2103.00065,
    section 3), on the first examples of the UCI handwritten digits. With cross-entropy curvature
    falls again as the network becomes sure of itself; with this it stays.

    Args:
        hidden: widths of the hidden layers [units].
        examples: of the training set; so few that one batch has all of them.

    Raises:
        ValueError: more examples than there are.
    """
    stored = load('digits', 'train')
    size = len(stored['label'])
    if not 1 <= examples <= size:
        raise ValueError(f'examples: found {examples}; allowed: 1 .. {size}')
    module = TanhMLP(hidden)

    def predict(params, model_state, some) -> Any:
        del model_state
        pixels = some['image'].reshape(len(some['image']), -1).astype(jnp.float32) / 16
        return module.apply({'params': params}, pixels)

    def metrics(params, model_state, some):
        outputs = predict(params, model_state, some)
        apart = outputs - jax.nn.one_hot(some['label'], 10)
        is_right = outputs.argmax(axis=1) == some['label']
        return {'loss': jnp.sum(apart**2, axis=1) / 2, 'accuracy': is_right.astype(jnp.float32)}

    def loss(params, model_state, some, key):
        del key
        return metrics(params, model_state, some), model_state

    def init(key):
        return module.init(key, jnp.zeros((1, 64)))['params'], {}

    return Workload(
        init,
        loss,
        metrics,
        memory({name: values[:examples] for name, values in stored.items()}),
        memory(load('digits', 'test')),
        predict=predict,
        inputs=('image',),
    )
