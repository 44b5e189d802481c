"""What the tests of layerwise optimizers share: each beside optax's, updates and their lengths."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from lbexp import optimizers

LAYERWISE = {
    'lars': (lambda **more: optimizers.lars(0.5, 1e-2, trust_coefficient=0.1, **more), optax.lars),
    'larc': (lambda **more: optimizers.larc(0.5, 1e-2, **more), None),
    'lamb': (lambda **more: optimizers.lamb(0.1, **more), optax.lamb),
    'novograd': (
        lambda **more: optimizers.novograd(0.1, weight_decay=1e-2, **more),
        optax.novograd,
    ),
}


def updates(tx, slope, params, steps=1):
    """The last of `steps` updates with the same gradients."""
    state = tx.init(params)
    for _ in range(steps):
        found, state = jax.jit(tx.update)(slope, state, params)
    return found


def length(x):
    return float(np.linalg.norm(np.asarray(x, np.float64)))


def normal(*shape, scale=1.0, seed=0):
    return jnp.asarray(scale * np.random.default_rng(seed).standard_normal(shape), jnp.float32)
