"""Optimizers as plain optax gradient transformations; imports jax and optax alone."""

from lbexp.optimizers._inspection.diagnostics import diagnostics
from lbexp.optimizers._inspection.evaluation import evaluation_params, slow_params
from lbexp.optimizers._layerwise.layers import layers
from lbexp.optimizers._layerwise.masks import masks
from lbexp.optimizers.accumulate import accumulate
from lbexp.optimizers.adamw import adamw
from lbexp.optimizers.balanced_weights import balanced_weights
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
