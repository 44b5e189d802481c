"""How much the loss rises near the weights."""

from typing import Any, Literal

import jax
import jax.numpy as jnp

from lbexp.curvature import lanczos, operators
from lbexp.curvature import sharpness as measures
from lbexp.probes import EvaluationProbe, MeasureAt, Subject
from lbexp.ranges import NonNegativeInteger, Positive, PositiveInteger


def sharpness(
    kind: Literal['sam', 'adaptive', 'keskar', 'average'] = 'sam',
    radius: Positive = 0.05,
    steps: PositiveInteger = 20,
    products: PositiveInteger = 10,
    examples: PositiveInteger = 256,
    part: Literal['train', 'test'] = 'train',
    subset: NonNegativeInteger = 0,
    measure_at: MeasureAt = 'evaluations',
    weights: Literal['evaluation', 'fast'] = 'fast',
    batch_norm: Literal['frozen'] | None = None,
) -> EvaluationProbe:
    """The largest rise of the loss within a distance (`lbexp.curvature.sharpness`), by ascent from
    the weights themselves and from both sides along the direction of largest curvature; or the mean
    rise over random directions.

    Columns: '{kind}_sharpness', a lower bound of the maximum [loss; of 'keskar' percent], and
    '{kind}_one_step', the rise of one gradient step, which near a minimum is radius x |gradient|
    and no maximum. Of 'average': 'average_sharpness' and 'average_sharpness_error', over pairs.

    Args:
        kind: 'sam', |e| <= radius; 'adaptive', |e / |w|| <= radius, unchanged where ReLU layers are
            rescaled; 'keskar', |e_i| <= radius (|w_i| + 1), which is not; 'average', normal
            directions of standard deviation `radius`.
        radius: sam, adaptive: 0.05; keskar: 0.001.
        steps: of each of three ascents, a gradient each; of 'average' the number of pairs, >= 2,
            two losses each.
        products: for the direction, 2 to 3 gradients each.
        examples, part, subset, measure_at, weights, batch_norm: as in `hessian`.
    """

    def measure(subject):
        if kind == 'average':
            mean = measures.average(subject.loss, subject.params, radius, subject.key, steps)
            return {
                'average_sharpness': mean.value,
                'average_sharpness_error': mean.standard_error,
            }
        find = {'sam': measures.sam, 'adaptive': measures.adaptive, 'keskar': measures.keskar}
        start = steepest(subject, kind, products)
        rise = find[kind](subject.loss, subject.params, radius, steps, [start])
        return {f'{kind}_sharpness': rise.value, f'{kind}_one_step': rise.one_step}

    return EvaluationProbe(measure, examples, part, subset, measure_at, weights, batch_norm)


def steepest(subject: Subject, kind: str, products: int) -> Any:
    """The direction of largest curvature, in the units in which perturbations are bounded."""
    scales = {
        'sam': jnp.ones_like,
        'adaptive': jnp.abs,
        'keskar': lambda leaf: jnp.abs(leaf) + 1,
    }
    # P^-1/2 is the scale.
    diagonal = jax.tree.map(lambda leaf: 1 / scales[kind](leaf) ** 2, subject.params)
    product = operators.hessian_product(subject.loss, subject.params)
    product = operators.preconditioned(product, diagonal)
    top = lanczos.extremes(product, subject.params, subject.key, products, 1).vectors
    return jax.tree.map(lambda rows: rows[0], top)
