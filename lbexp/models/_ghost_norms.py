"""The square of each example's gradient by one pass over all of them, without the gradients.

Of a dense layer, whose gradient is the product of its inputs a and of the gradient d at its
outputs, |dL/dW|^2 = |a|^2 |d|^2; with several rows of each example, sum_ij (a_i . a_j)(d_i . d_j)
(Goodfellow 2015, arXiv:1510.01799; Li et al. 2022, arXiv:2110.05679, Section 4).
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.extend import core as jax_core

from lbexp.precision import upcast

_AT_ONCE = 8  # examples whose gradients are held, of the parameters of other layers


def gradient_and_squares(losses: Callable, params: Any, count: int, alone: Callable) -> tuple:
    """(the gradient of the mean of `losses`, the mean over the examples of the square of each
    example's gradient: a number in the place of each parameter).

    `flax.linen.Dense`, `Embed` and modules with a method `product_rows` need their inputs alone,
    where they are called once on all examples. Of other parameters the gradients of _AT_ONCE
    examples at a time are computed.

    Args:
        losses: params -> [count], of Linen modules whose arrays have the examples first; the loss
            of an example depends on no other.
        alone: (params, place of an example) -> its loss, of the example alone.
    """
    leaves, structure = jax.tree.flatten(params)
    layers = _layers(losses, params, count)
    slots = {}
    for path, layer in layers.items():
        slots[path] = {name: jnp.zeros(count) for name in layer}

    def total(params, slots):
        with nn.intercept_methods(_tapping(layers, slots)):
            return losses(params).sum()

    gradient, by_slot = jax.grad(total, (0, 1))(params, slots)
    squares: dict[int, Any] = {}
    for path, layer in layers.items():
        for name, place in layer.items():
            squares[place] = by_slot[path][name].mean()
    others = [place for place in range(len(leaves)) if place not in squares]
    if others:
        squares |= dict(zip(others, _apart(alone, leaves, structure, others, count), strict=True))
    mean = jax.tree.map(lambda leaf: leaf * (1 / count), gradient)
    return mean, jax.tree.unflatten(structure, [squares[place] for place in range(len(leaves))])


def _apart(alone, leaves, structure, others, count):
    """Mean squares of the parameters at the places `others`, from gradients of single examples."""

    def loss(chosen, example):
        values = list(leaves)
        for place, leaf in zip(others, chosen, strict=True):
            values[place] = leaf
        return alone(jax.tree.unflatten(structure, values), example)

    chosen = [leaves[place] for place in others]

    def squares(example):
        grads = jax.grad(loss)(chosen, example)
        return [jnp.sum(jnp.square(upcast(leaf))) for leaf in grads]

    examples = jnp.arange(count, dtype=jnp.uint32)
    of_examples = jax.lax.map(squares, examples, batch_size=min(_AT_ONCE, count))
    return [values.mean() for values in of_examples]


def _layers(losses, params, count):
    """{path of a module: {'kernel', 'bias' or 'embedding': its place among the parameters}}, of
    those that are called once, on all examples."""
    layers, calls = {}, {}

    def look(params):
        outside = _trace_state()
        places = {id(leaf): place for place, leaf in enumerate(jax.tree.leaves(params))}

        def interceptor(call, args, kwargs, context):
            output = call(*args, **kwargs)
            if not _is_seen(context):
                return output
            path = context.module.path
            calls[path] = calls.get(path, 0) + 1
            parameters = context.module.variables.get('params', {})
            # Another array under this name is a copy: cast, cut from a stack or computed again.
            direct = all(id(leaf) in places for leaf in parameters.values())
            # Within a scan or a vmap the first axis may be another.
            direct = direct and _trace_state() == outside
            if direct and len(output) == count and len(args[0]) == count:
                layers[path] = {name: places[id(leaf)] for name, leaf in parameters.items()}
            return output

        with nn.intercept_methods(interceptor):
            return losses(params)

    jax.eval_shape(look, params)
    once = {path: layer for path, layer in layers.items() if calls[path] == 1}
    used = _used_without(once, losses, params)
    return {path: layer for path, layer in once.items() if used.isdisjoint(layer.values())}


def _used_without(layers, losses, params):
    """Places of the parameters that are used although these layers are not called, as those of an
    embedding are that is the output layer, too."""

    def interceptor(call, args, kwargs, context):
        if _is_seen(context) and context.module.path in layers:
            return jax.tree.map(jnp.zeros_like, jax.eval_shape(call, *args, **kwargs))
        return call(*args, **kwargs)

    def blind(params):
        with nn.intercept_methods(interceptor):
            return losses(params)

    program = jax.make_jaxpr(blind)(params).jaxpr
    read = set()
    for equation in program.eqns:
        read |= {id(variable) for variable in equation.invars}
    return {place for place, leaf in enumerate(program.invars) if id(leaf) in read}


def _is_seen(context):
    module = context.module
    known = type(module) in (nn.Dense, nn.Embed) or hasattr(module, 'product_rows')
    return known and context.method_name == '__call__'


def _trace_state():
    return jax_core.get_opaque_trace_state(convention='flax')


def _tapping(layers, slots):
    """An interceptor whose layers leave the squares of their gradients as those of their slots."""

    def interceptor(call, args, kwargs, context):
        output, module = call(*args, **kwargs), context.module
        if not _is_seen(context) or module.path not in layers:
            return output
        rows = args[0]
        if hasattr(module, 'product_rows'):
            rows = module.product_rows(rows)
        rows = jax.lax.stop_gradient(rows)
        if type(module) is nn.Embed:
            return _tap_embedding(output, rows.astype(jnp.float32), slots[module.path])
        return _tap_product(output, rows, slots[module.path])

    return interceptor


@jax.custom_vjp
def _tap_product(output, rows, slots):
    """`output` [n, ..., o] of a product of `rows` [n, ..., i] with a kernel."""
    return output


def _tap_product_backward(residuals, gradient):
    rows, slots = residuals
    a = upcast(rows).reshape(len(rows), -1, rows.shape[-1])
    d = upcast(gradient).reshape(len(rows), a.shape[1], -1)
    squares = {'kernel': _square_of_product(a, d)}
    if 'bias' in slots:
        squares['bias'] = jnp.square(d.sum(1)).sum(1)
    return gradient, jnp.zeros_like(rows), squares


def _keep(output, rows, slots):
    return output, (rows, slots)


_tap_product.defvjp(_keep, _tap_product_backward)


@jax.custom_vjp
def _tap_embedding(output, ids, slots):
    """`output` [n, ..., e]: the rows of a table at `ids` [n, ...]."""
    return output


def _tap_embedding_backward(residuals, gradient):
    ids, _ = residuals
    places = ids.reshape(len(ids), -1)
    d = upcast(gradient).reshape(*places.shape, -1)
    # Rows that are drawn several times add their gradients.
    is_same = places[:, :, None] == places[:, None, :]
    products = jnp.einsum('nie,nje->nij', d, d)
    squares = jnp.where(is_same, products, 0).sum((1, 2))
    return gradient, jnp.zeros_like(ids), {'embedding': squares}


_tap_embedding.defvjp(_keep, _tap_embedding_backward)


def _square_of_product(a, d):
    """|sum_l a_l d_l^T|^2 of each example: by the inner products of rows or by the matrix, of which
    the smaller is made."""
    rows, entries = a.shape[1], a.shape[2] * d.shape[2]
    if rows == 1:
        return jnp.square(a).sum((1, 2)) * jnp.square(d).sum((1, 2))
    if rows**2 < entries:
        of_inputs, of_outputs = jnp.einsum('nli,nmi->nlm', a, a), jnp.einsum('nlo,nmo->nlm', d, d)
        return (of_inputs * of_outputs).sum((1, 2))
    return jnp.square(jnp.einsum('nli,nlo->nio', a, d)).sum((1, 2))
