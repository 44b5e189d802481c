"""Synthetic y = w x + b + noise: the classic exercise of batch gradient descent."""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from lbexp.data.source import memory
from lbexp.ranges import ArrayLength, NonNegative, NonNegativeInteger
from lbexp.workloads import Workload


def linear_regression(
    size: ArrayLength = 1000,
    weights: Sequence[float] = (3.0,),
    bias: float = 2.0,
    noise: NonNegative = 0.5,
    seed: NonNegativeInteger = 0,
) -> Workload:
    """loss_n = (w . x_n + b - y_n)^2 / 2, y_n = weights . x_n + bias + noise e_n, x_n and e_n
    standard normal.

    The least achievable mean loss is about noise^2 / 2. As many test examples are drawn as training
    examples.

    Args:
        size: training examples.
        weights: the w that made the data.
        bias: the b that made the data.
        noise: standard deviation of y around the line, >= 0 [units of y]; may be traced.
        seed: of the data, not of the trial.

    Raises:
        ValueError: a size that is no integer >= 1, or a negative noise.
    """
    if not isinstance(size, int) or size < 1:
        raise ValueError(f'size: found {size!r}; allowed: an integer (examples) >= 1')
    if isinstance(noise, (int, float)) and noise < 0:  # traced, it cannot be looked at
        raise ValueError(f'noise: found {noise}; allowed: a standard deviation >= 0')
    model = nn.Dense(1)
    generator = np.random.default_rng(seed)
    x = generator.standard_normal((2 * size, len(weights)), dtype=np.float32)
    e = generator.standard_normal(2 * size, dtype=np.float32)
    slope = np.asarray(weights, np.float32)
    line = (x @ slope + np.float32(bias)).astype(np.float32)
    # Not y itself: the noise may be traced, and data may not.
    examples = {'x': x, 'line': line, 'e': e}

    def init(key):
        return model.init(key, jnp.zeros((1, len(weights))))['params'], {}

    def predict(params, model_state, examples):
        return jnp.asarray(model.apply({'params': params}, examples['x']))[:, 0]

    def errors(params, examples):
        error = predict(params, {}, examples) - examples['line'] - noise * examples['e']
        return {'loss': jnp.square(error) / 2}

    def loss(params, model_state, examples, key):
        return errors(params, examples), model_state

    def metrics(params, model_state, examples):
        return errors(params, examples)

    train = memory({name: values[:size] for name, values in examples.items()})
    test = memory({name: values[size:] for name, values in examples.items()})
    return Workload(init, loss, metrics, train, test, predict=predict, inputs=('x',))
