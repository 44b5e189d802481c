"""Products of curvature matrices with vectors, which are trees like the parameters.

A product is a function vector -> vector, linear and symmetric; no matrix is formed. Products are
computed in full float32 on every device: fewer digits in them would be taken for curvature.
"""

import functools
import re
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from lbexp.shapes import Params

Product = Callable[[Any], Any]  # a tree like the parameters -> another


def sample_loss(losses: Callable, examples: Any, chunk: int | None = None) -> Callable:
    """The mean loss over a set, as a function of the parameters alone; chunk by chunk.

        L(w) = 1/n sum_i l_i(w)

    Whatever is derived from it is chunked too: memory is that of one chunk, and a gradient costs
    one more forward pass, as activations are computed again. Values are added chunk after chunk
    in stored order, gradients in the reverse of it. Only for losses of which each depends on its
    own example: batch norm in training mode is none.

    Args:
        losses: (params, examples) -> [n].
        examples: tree of arrays [n, ...].
        chunk: examples at once, >= 1; None, or n and more: all, in one call, and bitwise what
            `losses(params, examples).sum() / n` gives.
    """
    share = 1 / _count(examples)

    def loss(params):
        total = chunked_sum(functools.partial(_sum_of_losses, losses, params), examples, chunk)
        return total * share

    return loss


def chunked_sum(function: Callable, examples: Any, chunk: int | None = None) -> Any:
    """Sum of function(examples) over chunks, in stored order; the rest that fills no chunk comes
    last.

    Args:
        function: examples -> tree of sums over them.
        chunk: examples at once; None, or as many as there are: one call.

    Raises:
        ValueError: a chunk below 1.
    """
    count = _count(examples)
    if chunk is not None and chunk < 1:
        raise ValueError(f'chunk: found {chunk}; allowed: an integer >= 1, or None')
    if chunk is None or chunk >= count:
        return function(examples)
    whole = count - count % chunk

    def stacked(values):
        return values[:whole].reshape(whole // chunk, chunk, *values.shape[1:])

    # Computed again in the backward pass: kept, all chunks' activations would be held at once.
    @jax.checkpoint
    def add(total, part):
        return jax.tree.map(jnp.add, total, function(part)), None

    parts = jax.tree.map(stacked, examples)
    shapes = jax.eval_shape(function, jax.tree.map(lambda values: values[0], parts))
    start = jax.tree.map(lambda like: jnp.zeros(like.shape, like.dtype), shapes)
    total, _ = jax.lax.scan(add, start, parts)
    if whole < count:
        rest = jax.tree.map(lambda values: values[whole:], examples)
        total = jax.tree.map(jnp.add, total, function(rest))
    return total


def hessian_product(loss: Callable, params: Params) -> Product:
    """v -> H v, H = d2 L / dw dw at `params`: forward over reverse (Pearlmutter 1994).

    Cost: 2 to 3 gradients, and the memory of two.
    """
    gradient = jax.grad(loss)

    def product(vector):
        with jax.default_matmul_precision('float32'):
            tangent = jax.tree.map(lambda leaf, v: v.astype(leaf.dtype), params, vector)
            return jax.jvp(gradient, (params,), (tangent,))[1]

    return product


def gauss_newton_product(
    outputs: Callable,
    output_curvature: Callable,
    params: Params,
    examples: Any,
    chunk: int | None = None,
) -> Product:
    """v -> G v, G = 1/n sum_i J_i^T A_i J_i with J_i = d outputs_i / dw and A_i the Hessian of the
    loss of example i in its outputs (Schraudolph 2002): positive semi-definite where A is.

    For softmax cross-entropy it is the Fisher matrix with labels drawn from the model, not that of
    the data's labels. It is H where outputs are linear in the parameters.

    Args:
        outputs: (params, examples) -> [n, ...].
        output_curvature: (outputs, examples, tangent) -> A tangent: `softmax_curvature`, or
            `curvature_of(output_loss)`.
        chunk: as in `chunked_sum`. Cost: a forward pass with its derivative and a backward pass,
            about 2 gradients.
    """
    share = 1 / _count(examples)

    def product(vector):
        with jax.default_matmul_precision('float32'):
            part = functools.partial(_gauss_newton_sum, outputs, output_curvature, params, vector)
            return jax.tree.map(lambda leaf: leaf * share, chunked_sum(part, examples, chunk))

    return product


def softmax_curvature(logits: jax.Array, examples: Any, tangent: jax.Array) -> jax.Array:
    """(diag p - p p^T) tangent, p = softmax(logits) over the last axis: the Hessian of the
    cross-entropy with any labels, smoothed ones among them [n, classes]."""
    del examples
    p = jax.nn.softmax(logits)
    weighted = p * tangent
    return weighted - p * weighted.sum(axis=-1, keepdims=True)


def curvature_of(output_loss: Callable) -> Callable:
    """(outputs, examples, tangent) -> A tangent of any loss of the outputs, by one derivative more.

    Args:
        output_loss: (outputs, examples) -> losses [n], each of its own outputs.
    """

    def curvature(outputs, examples, tangent):
        gradient = jax.grad(lambda values: output_loss(values, examples).sum())
        return jax.jvp(gradient, (outputs,), (tangent,))[1]

    return curvature


def select(params: Params, patterns: Sequence[str]) -> tuple[dict[str, Any], Callable]:
    """Some of the parameters: ({path: leaf}, a function that puts such leaves back among the rest).

    What is measured on the chosen leaves alone is a diagonal block of the whole matrix, of its
    size and in its memory.

    Args:
        patterns: regular expressions, searched in paths such as 'Dense_0/kernel'.

    Raises:
        ValueError: a pattern that matches no parameter.
    """
    leaves, structure = jax.tree_util.tree_flatten_with_path(params)
    names = [jax.tree_util.keystr(path, simple=True, separator='/') for path, _ in leaves]
    unmatched = [p for p in patterns if not any(re.search(p, name) for name in names)]
    if unmatched:
        shown = ', '.join(map(repr, unmatched))
        raise ValueError(f'layers: found {shown}; allowed: what is found in {", ".join(names)}')
    whole = dict(zip(names, (leaf for _, leaf in leaves), strict=True))
    chosen = {n: leaf for n, leaf in whole.items() if any(re.search(p, n) for p in patterns)}

    def merge(chosen):
        replaced = {**whole, **chosen}
        return jax.tree.unflatten(structure, [replaced[name] for name in names])

    return chosen, merge


def restricted(
    loss: Callable, params: Params, patterns: Sequence[str]
) -> tuple[Callable, dict[str, Any]]:
    """(loss of the chosen parameters, those): the others are constants in it. As in `select`."""
    chosen, merge = select(params, patterns)
    return lambda some: loss(merge(some)), chosen


def preconditioned(product: Product, preconditioner: Params) -> Product:
    """v -> P^-1/2 A P^-1/2 v, whose eigenvalues are those of P^-1 A: what an optimizer that steps
    along P^-1 g meets (Cohen et al. 2022, arXiv:2207.14484, section 3).

    Args:
        preconditioner: the diagonal of P > 0, a tree like the parameters; see `preconditioner`.
    """
    root = jax.tree.map(lambda p: jax.lax.rsqrt(p), preconditioner)

    def product_between(vector):
        inner = jax.tree.map(jnp.multiply, root, vector)
        return jax.tree.map(jnp.multiply, root, product(inner))

    return product_between


def _count(examples):
    lengths = {leaf.shape[0] for leaf in jax.tree.leaves(examples)}
    if len(lengths) != 1:
        raise ValueError(f'examples: found lengths {sorted(lengths)}; allowed: one')
    return lengths.pop()


def _sum_of_losses(losses, params, examples):
    return losses(params, examples).sum()


def _gauss_newton_sum(outputs, output_curvature, params, vector, examples):
    """sum_i J_i^T A_i J_i v over some examples."""

    def of_params(weights):
        return outputs(weights, examples)

    tangent = jax.tree.map(lambda leaf, v: v.astype(leaf.dtype), params, vector)
    values, change = jax.jvp(of_params, (params,), (tangent,))
    _, transposed = jax.vjp(of_params, params)
    return transposed(output_curvature(values, examples, change))[0]
