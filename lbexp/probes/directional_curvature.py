"""Curvature of the loss along its gradient: what decides whether the next step of gradient descent
goes too far."""

from typing import Literal

import jax
import jax.numpy as jnp
import optax

from lbexp.probes import EvaluationProbe, MeasureAt
from lbexp.ranges import NonNegativeInteger, PositiveInteger


def directional_curvature(
    examples: PositiveInteger = 256,
    part: Literal['train', 'test'] = 'train',
    subset: NonNegativeInteger = 0,
    measure_at: MeasureAt = 'evaluations',
    weights: Literal['evaluation', 'fast'] = 'evaluation',
    batch_norm: Literal['frozen'] | None = None,
) -> EvaluationProbe:
    """c = u^T H u with u = g / |g|, g the gradient and H the Hessian of the loss over a subset.

    A step of gradient descent with rate a changes the loss by -a |g|^2 (1 - a c / 2) to second
    order: above c = 2 / a the loss rises (Pan and Li 2023, arXiv:2306.00204, "directional
    sharpness", of the gradient's direction). c is a lower bound of the largest eigenvalue of H.

    Columns: 'directional_curvature', c [loss per squared unit of weight], and
    'directional_curvature_residual', r = |H u - c u|: H has an eigenvalue within r of c (Parlett
    1998, The Symmetric Eigenvalue Problem, theorem 4.5.1). Both are NaN where the gradient is zero.
    Error bars over other subsets are not among them: measure with another `subset`.

    Costs a gradient and a Hessian-vector product of the subset, about four gradients of it, and the
    memory of three copies of the parameters. See `EvaluationProbe` for the arguments.
    """

    def measure(subject):
        gradient = jax.grad(subject.loss)
        g = gradient(subject.params)
        inverse_length = 1 / optax.tree.norm(g)
        u = optax.tree.scale(inverse_length, g)
        _, product = jax.jvp(gradient, (subject.params,), (u,))
        curvature = jnp.asarray(optax.tree.vdot(u, product))
        residual = optax.tree.add_scale(product, -curvature, u)
        return {
            'directional_curvature': curvature,
            'directional_curvature_residual': optax.tree.norm(residual),
        }

    return EvaluationProbe(measure, examples, part, subset, measure_at, weights, batch_norm)
