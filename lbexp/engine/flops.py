"""What an example costs: floating-point operations of a forward and backward pass."""

import functools
import json
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from lbexp.config import lookup
from lbexp.engine.frozen import joined, split


def flops_per_example(workload: dict, microbatch: int, freeze: Sequence[str] = ()) -> float:
    """Operations [FLOP] of the loss and its gradient, for each example of a microbatch.

    Products of matrices and convolutions are counted, an addition and a multiplication each: what
    takes the time of a network, and what 6 N for each token (Kaplan et al. 2020, arXiv:2001.08361,
    Section 2.1) and the utilisation of a device (Chowdhery et al. 2022, arXiv:2204.02311, Appendix
    B) speak of. Elementwise operations, drawing the examples and the optimizer are not; what is
    computed again for the gradient (`rematerialise`) is, and so are products with padding. A scan
    counts as often as it goes round, which XLA's own analysis does not know; another loop once.

    Nothing is compiled.

    Args:
        workload: the part of the configuration.
        microbatch: examples of a forward and backward pass.
        freeze: regular expressions of the parameters that do not train.
    """
    # As text, which a cache can have for a key.
    part = json.dumps(workload, sort_keys=True)
    return _cost(part, microbatch, tuple(freeze)) / microbatch


@functools.lru_cache(64)
def _cost(workload: str, size: int, freeze: tuple[str, ...]) -> float:
    """Operations of a microbatch of `size` examples."""
    part = lookup.build('workload', json.loads(workload))
    key = jax.eval_shape(jax.random.key, 0)
    params, model_state = jax.eval_shape(part.init, key)
    trained, frozen = split(freeze, params)
    number = jax.ShapeDtypeStruct((), jnp.uint32)
    positions = jax.ShapeDtypeStruct((size,), jnp.uint32)
    examples = jax.eval_shape(part.train.draw, part.train.arrays, number, positions)

    def loss(trained, frozen, model_state, examples, key):
        values, _ = part.loss(joined(trained, frozen), model_state, examples, key)
        return values['loss'].mean()

    traced = jax.make_jaxpr(jax.grad(loss))(trained, frozen, model_state, examples, key)
    return _operations(traced.jaxpr)


def _operations(jaxpr: Any) -> float:
    """Of a program and of those within it."""
    return float(sum(map(_of_equation, jaxpr.eqns)))


def _of_equation(equation):
    name, inputs = equation.primitive.name, [each.aval for each in equation.invars]
    if name == 'dot_general':
        (contracted, _), _ = equation.params['dimension_numbers']
        summed = math.prod(inputs[0].shape[axis] for axis in contracted)
        return 2 * equation.outvars[0].aval.size * summed
    if name == 'conv_general_dilated':
        return _of_convolution(equation, inputs[1])
    within = [_operations(each) for each in programs(equation.params.values())]
    # Which branch runs is not known before: the dearest is counted.
    if name == 'cond':
        return max(within)
    return equation.params['length'] * sum(within) if name == 'scan' else sum(within)


def _of_convolution(equation, kernel):
    """Each output is a sum over the kernel's window and the features of its group; zeros between
    the pixels of a dilated input, as the gradient of a stride has them, are not counted."""
    layout = equation.params['dimension_numbers'].rhs_spec  # (outputs, inputs, *space)
    summed = kernel.size // kernel.shape[layout[0]]
    zeros = math.prod(equation.params['lhs_dilation'])
    return 2 * equation.outvars[0].aval.size * summed / zeros


def programs(values):
    """The programs among an equation's parameters."""
    for value in values:
        if isinstance(value, (tuple, list)):
            yield from programs(value)
        elif hasattr(value, 'jaxpr'):
            yield value.jaxpr
        elif hasattr(value, 'eqns'):
            yield value
