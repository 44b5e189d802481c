"""Curvature of what an evaluation probe sees."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from lbexp.curvature import operators
from lbexp.probes import Subject

_CHUNK = 256  # examples at once in a Gauss-Newton product


class Block(NamedTuple):
    """A matrix over some of the parameters."""

    params: Any
    product: Callable


def block(subject: Subject, matrix: str, patterns: Sequence[str]) -> Block:
    """The Hessian or Gauss-Newton matrix over the parameters that the patterns find; none: all.

    Raises:
        ValueError: a pattern that finds nothing; of 'gauss_newton' a workload that gives no logits
            and labels.
    """
    params, merge = subject.params, _unchanged
    if patterns:
        params, merge = operators.select(subject.params, patterns)
    if matrix == 'hessian':
        loss = functools.partial(_composed, subject.loss, merge)
        return Block(params, operators.hessian_product(loss, params))
    if subject.predict is None or 'label' not in subject.examples:
        raise ValueError(
            "matrix: found 'gauss_newton' of a workload without logits and labels; allowed: "
            "'hessian'"
        )
    outputs = functools.partial(_composed, subject.predict, merge)
    product = operators.gauss_newton_product(
        outputs, operators.softmax_curvature, params, subject.examples, _CHUNK
    )
    return Block(params, product)


def some(tree: Any, patterns: Sequence[str]) -> Any:
    """The leaves of a tree like the parameters that belong to a block."""
    if not patterns:
        return tree
    return operators.select(tree, patterns)[0]


def _composed(function, merge, params, *arguments):
    return function(merge(params), *arguments)


def _unchanged(params):
    return params
