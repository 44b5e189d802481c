"""Optimizers as plain optax gradient transformations; imports jax and optax, and nothing of the
trainer.

For the engine an optimizer is a function that returns an optax.GradientTransformation: updates have
the structure and the shapes of the gradients, the state keeps its structure, shapes and dtypes.
`learning_rate` arrives as a function of the updates done (an optax.Schedule), also under a constant
schedule; an optimizer whose annotation says `float` gets a number, and the schedule must then be
constant. One with an argument `tables` is given row_counts at each update, as `cowclip` needs
them. Other numbers may be traced arrays: an optimizer that looks at one in Python (`if clip >
0`) splits programs by it.

    import jax
    import jax.numpy as jnp
    import optax

    def descent(
        learning_rate: optax.ScalarOrSchedule, damping: float = 0.0
    ) -> optax.GradientTransformation:
        def update(gradients, count, params=None):
            rate = learning_rate(count) if callable(learning_rate) else learning_rate
            return jax.tree.map(lambda g: -rate * (1 - damping) * g, gradients), count + 1

        return optax.GradientTransformation(lambda params: jnp.zeros((), jnp.int32), update)
"""

from lbexp.optimizers._inspection.diagnostics import diagnostics
from lbexp.optimizers._inspection.evaluation import evaluation_params, slow_params
from lbexp.optimizers._layerwise.layers import layers
from lbexp.optimizers._layerwise.masks import masks
from lbexp.optimizers.accumulate import accumulate
from lbexp.optimizers.adamw import adamw
from lbexp.optimizers.balanced_weights import balanced_weights
from lbexp.optimizers.cowclip import cowclip
from lbexp.optimizers.ema import ema
from lbexp.optimizers.example_weights import example_weights
from lbexp.optimizers.gradient_noise import gradient_noise
from lbexp.optimizers.lamb import lamb
from lbexp.optimizers.larc import larc
from lbexp.optimizers.lars import lars
from lbexp.optimizers.lookahead import lookahead
from lbexp.optimizers.momentum import momentum
from lbexp.optimizers.novograd import novograd
from lbexp.optimizers.sgd import sgd

__all__ = [
    'accumulate',
    'adamw',
    'balanced_weights',
    'cowclip',
    'diagnostics',
    'ema',
    'evaluation_params',
    'example_weights',
    'gradient_noise',
    'lamb',
    'larc',
    'lars',
    'layers',
    'lookahead',
    'masks',
    'momentum',
    'novograd',
    'sgd',
    'slow_params',
]
