"""The eigenvalues of the Hessian of the loss, as a density."""

from typing import Literal

from lbexp.curvature.spectral_density import quadrature
from lbexp.probes import EvaluationProbe, MeasureAt
from lbexp.probes._subjects import block
from lbexp.ranges import NonNegativeInteger, PositiveInteger


def spectral_density(
    products: PositiveInteger = 30,
    probes: PositiveInteger = 4,
    matrix: Literal['hessian', 'gauss_newton'] = 'hessian',
    examples: PositiveInteger = 256,
    part: Literal['train', 'test'] = 'train',
    subset: NonNegativeInteger = 0,
    measure_at: MeasureAt = 'evaluations',
    weights: Literal['evaluation', 'fast'] = 'fast',
    batch_norm: Literal['frozen'] | None = None,
) -> EvaluationProbe:
    """Stochastic Lanczos quadrature (`lbexp.curvature.spectral_density`): of each random vector a
    measure of point masses.

    Columns: 'spectral_nodes' [probes, products], eigenvalues, and 'spectral_weights' of the same
    shape, masses that add up to 1 for each probe; `lbexp.curvature.spectral_density.density`
    smooths them, with the standard error over probes. For the bulk: outliers are the probe
    `hessian`'s.

    Args:
        products: of each random vector; at most as many as there are parameters.
        probes: random vectors; the cost is products x probes products of 2 to 3 gradients.
        matrix, examples, part, subset, measure_at, weights, batch_norm: as in `hessian`.
    """

    def measure(subject):
        params, product = block(subject, matrix, ())
        measured = quadrature(product, params, subject.key, products, probes)
        return {'spectral_nodes': measured.nodes, 'spectral_weights': measured.weights}

    return EvaluationProbe(measure, examples, part, subset, measure_at, weights, batch_norm)
