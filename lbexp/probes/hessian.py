"""The largest and smallest eigenvalues of the Hessian of the loss."""

from collections.abc import Sequence
from typing import Any, Literal

import jax.numpy as jnp

from lbexp.curvature import lanczos, operators
from lbexp.curvature.preconditioner import preconditioner
from lbexp.probes import EvaluationProbe, MeasureAt
from lbexp.probes._subjects import block, some
from lbexp.ranges import Fraction, NonNegative, NonNegativeInteger, PositiveInteger


def hessian(
    eigenvalues: PositiveInteger = 4,
    products: PositiveInteger = 20,
    matrix: Literal['hessian', 'gauss_newton'] = 'hessian',
    layers: Sequence[str] = (),
    preconditioned: bool = False,
    b2: Fraction = 0.999,
    eps: NonNegative = 1e-8,
    examples: PositiveInteger = 256,
    part: Literal['train', 'test'] = 'train',
    subset: NonNegativeInteger = 0,
    measure_at: MeasureAt = 'evaluations',
    weights: Literal['evaluation', 'fast'] = 'fast',
    batch_norm: Literal['frozen'] | None = None,
) -> EvaluationProbe:
    """Eigenvalues by Lanczos with full reorthogonalisation (`lbexp.curvature.lanczos`), each with
    the bound of its error.

    Columns, which begin with 'hessian', 'gauss_newton' or 'preconditioned_...': '_top'
    [eigenvalues], the largest first [loss per squared unit of weight], '_top_residual',
    '_bottom', '_bottom_residual', '_products'; and '_stability', rate x top / 2: gradient descent
    is stable below 1 and settles at 1 (Cohen et al. 2021, arXiv:2103.00065); with momentum the
    limit is 1 + beta, with Adam's, preconditioned, (1 + b1) / (1 - b1). The bound is for the loss
    over the subset, whose largest eigenvalue lies above the whole set's on average.

    Args:
        eigenvalues: how many of the largest.
        products: Hessian-vector products, each 2 to 3 gradients of the subset; their number times
            the parameters is the memory. 20 serve the first few, the smallest takes more.
        matrix: 'gauss_newton' for softmax cross-entropy alone: the workload gives logits, its
            examples labels.
        layers: regular expressions; each one's parameters are measured apart too, as a diagonal
            block, in columns '..._top:EXPRESSION'.
        preconditioned: P^-1/2 H P^-1/2 with the P that AdamW, LARS or LAMB divides by; `b2` and
            `eps` are the optimizer's. NaN before the first update.
        examples, part, subset, measure_at, weights, batch_norm: see `EvaluationProbe`.
    """
    name = matrix
    if preconditioned:
        name = f'preconditioned_{matrix}'

    def measure_block(subject, patterns):
        params, product = block(subject, matrix, patterns)
        if preconditioned:
            diagonal = preconditioner(subject.opt_state, subject.params, b2, eps)
            product = operators.preconditioned(product, some(diagonal, patterns))
        return lanczos.extremes(product, params, subject.key, products, eigenvalues)

    def measure(subject):
        measured = columns(name, measure_block(subject, ()))
        top = measured[f'{name}_top'][0]
        measured[f'{name}_stability'] = subject.learning_rate * top / 2
        for pattern in layers:
            of_layer = columns(name, measure_block(subject, [pattern]))
            for column, value in of_layer.items():
                measured[f'{column}:{pattern}'] = value
        return measured

    return EvaluationProbe(measure, examples, part, subset, measure_at, weights, batch_norm)


def columns(name: str, extremes: lanczos.Extremes) -> dict[str, Any]:
    """The columns of eigenvalues."""
    return {
        f'{name}_top': extremes.top,
        f'{name}_top_residual': extremes.top_residuals,
        f'{name}_bottom': extremes.bottom,
        f'{name}_bottom_residual': extremes.bottom_residual,
        f'{name}_products': jnp.asarray(extremes.products, jnp.int32),
    }
