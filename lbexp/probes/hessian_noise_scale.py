"""The noise scale that knows of curvature."""

from typing import Literal

import jax.numpy as jnp

from lbexp.curvature import noise_covariance as noise
from lbexp.probes import EvaluationProbe, MeasureAt
from lbexp.probes._subjects import block
from lbexp.ranges import NonNegativeInteger, PositiveInteger


def hessian_noise_scale(
    groups: PositiveInteger = 16,
    examples: PositiveInteger = 256,
    part: Literal['train', 'test'] = 'train',
    subset: NonNegativeInteger = 0,
    measure_at: MeasureAt = 'evaluations',
    weights: Literal['evaluation', 'fast'] = 'fast',
    batch_norm: Literal['frozen'] | None = None,
) -> EvaluationProbe:
    """B_noise = tr(H Sigma) / (G^T H G) [examples]: the batch size at which the noise costs a step
    as much as it gains (McCandlish et al. 2018, arXiv:1812.06162, equation 2.7).

    Columns: 'hessian_noise_scale', NaN where G^T H G is not told from 0; its 95 % interval by
    Fieller, 'hessian_noise_scale_low' and '_high': a high end of inf (null in a row) says "at least
    low", a low end of -inf (null too) that the subset says nothing; 'hessian_noise' tr(H Sigma) and
    'hessian_signal' G^T H G, both unbiased, so that the second may be negative. Near convergence it
    does not resolve: more examples help, more groups hardly. G is the mean gradient of the training
    set; with part='test' that of the distribution that the test set is a sample of.

    Args:
        groups: K >= 3 of the subset; K products of 2 to 3 gradients, 2 K x parameters of memory.
        examples, part, subset, measure_at, weights, batch_norm: as in `hessian`.
    """

    def measure(subject):
        losses, params = subject.per_example, subject.params
        gradients = noise.group_gradients(losses, params, subject.examples, groups)
        _, product = block(subject, 'hessian', ())
        population = None
        if part == 'train':
            population = subject.population
        size = examples // groups
        measured = noise.hessian_noise_scale(product, gradients, size, population)
        ratio = measured.ratio
        return {
            'hessian_noise_scale': jnp.where(ratio.resolved, ratio.value, jnp.nan),
            'hessian_noise_scale_low': ratio.low,
            'hessian_noise_scale_high': ratio.high,
            'hessian_noise': measured.numerator,
            'hessian_signal': measured.denominator,
        }

    return EvaluationProbe(measure, examples, part, subset, measure_at, weights, batch_norm)
