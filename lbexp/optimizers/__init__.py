"""Optimizers as plain optax gradient transformations; imports jax and optax alone."""

from lbexp.optimizers.accumulate import accumulate
from lbexp.optimizers.ema import ema
from lbexp.optimizers.evaluation import evaluation_params, slow_params
from lbexp.optimizers.example_weights import example_weights
from lbexp.optimizers.gradient_noise import gradient_noise
from lbexp.optimizers.lookahead import lookahead

__all__ = [
    'accumulate',
    'ema',
    'evaluation_params',
    'example_weights',
    'gradient_noise',
    'lookahead',
    'slow_params',
]
