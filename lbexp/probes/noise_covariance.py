"""The covariance of gradients, beside the curvature."""

from typing import Literal

from lbexp.curvature import lanczos
from lbexp.curvature import noise_covariance as noise
from lbexp.probes import EvaluationProbe, MeasureAt
from lbexp.probes._subjects import block
from lbexp.ranges import NonNegativeInteger, PositiveInteger


def noise_covariance(
    groups: PositiveInteger = 32,
    eigenvalues: PositiveInteger = 4,
    products: PositiveInteger = 20,
    examples: PositiveInteger = 256,
    part: Literal['train', 'test'] = 'train',
    subset: NonNegativeInteger = 0,
    measure_at: MeasureAt = 'evaluations',
    weights: Literal['evaluation', 'fast'] = 'fast',
    batch_norm: Literal['frozen'] | None = None,
) -> EvaluationProbe:
    """Largest eigenvalues of Sigma, the covariance of the gradient of one example, and the share of
    the noise that lies in the space of the Hessian's top eigenvectors
    (`lbexp.curvature.noise_covariance`).

    Columns: 'noise_trace', 'noise_trace_error'; 'noise_top' [eigenvalues] of the sample, which are
    biased up, 'noise_held_out' and 'noise_held_out_error', the variances along such directions of
    groups that did not choose them, which are biased down: the truth lies between;
    'noise_in_top_space' and 'noise_in_top_space_error', tr(P Sigma) / tr Sigma with P on the
    `eigenvalues` top eigenvectors of the same subset's Hessian.

    Args:
        groups: of the subset, K >= 2 eigenvalues + 2; K x parameters of memory, one gradient.
        eigenvalues: how many; >= 1.
        products: for the Hessian's eigenvectors, 2 to 3 gradients each.
        examples, part, subset, measure_at, weights, batch_norm: as in `hessian`.
    """

    def measure(subject):
        losses, params = subject.per_example, subject.params
        gradients = noise.group_gradients(losses, params, subject.examples, groups)
        covariance = noise.covariance(noise.gram(gradients), examples // groups, eigenvalues)
        _, product = block(subject, 'hessian', ())
        top = lanczos.extremes(product, params, subject.key, products, eigenvalues)
        share = noise.overlap(gradients, top.vectors)
        return {
            'noise_trace': covariance.trace,
            'noise_trace_error': covariance.trace_error,
            'noise_top': covariance.values,
            'noise_held_out': covariance.held_out,
            'noise_held_out_error': covariance.held_out_error,
            'noise_in_top_space': share.value,
            'noise_in_top_space_error': share.standard_error,
        }

    return EvaluationProbe(measure, examples, part, subset, measure_at, weights, batch_norm)
