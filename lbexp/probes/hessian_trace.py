"""The trace of the Hessian of the loss."""

from typing import Literal

import jax.numpy as jnp

from lbexp.curvature import trace
from lbexp.probes import EvaluationProbe, MeasureAt
from lbexp.probes._subjects import block
from lbexp.ranges import NonNegativeInteger, PositiveInteger


def hessian_trace(
    samples: PositiveInteger = 15,
    method: Literal['xtrace', 'hutchinson'] = 'xtrace',
    matrix: Literal['hessian', 'gauss_newton'] = 'hessian',
    examples: PositiveInteger = 256,
    part: Literal['train', 'test'] = 'train',
    subset: NonNegativeInteger = 0,
    measure_at: MeasureAt = 'evaluations',
    weights: Literal['evaluation', 'fast'] = 'fast',
    batch_norm: Literal['frozen'] | None = None,
) -> EvaluationProbe:
    """tr H with its standard error (`lbexp.curvature.trace`): mean curvature times the number of
    parameters.

    Columns, which begin with `matrix`: '_trace' [loss per squared unit of weight], '_trace_error',
    '_trace_products'. The truth lies within 3 errors; the error is that of the random vectors, for
    the subset as it is.

    Args:
        samples: random vectors, >= 2. 'xtrace': 2 products each and 3 x samples x parameters of
            memory; 'hutchinson': one product each, no memory, three times the error.
        method: see above.
        matrix, examples, part, subset, measure_at, weights, batch_norm: as in `hessian`.
    """
    estimate = {'xtrace': trace.xtrace, 'hutchinson': trace.hutchinson}[method]

    def measure(subject):
        params, product = block(subject, matrix, ())
        measured = estimate(product, params, subject.key, samples)
        return {
            f'{matrix}_trace': measured.value,
            f'{matrix}_trace_error': measured.standard_error,
            f'{matrix}_trace_products': jnp.asarray(measured.products, jnp.int32),
        }

    return EvaluationProbe(measure, examples, part, subset, measure_at, weights, batch_norm)
