"""Adam for models with tables of embeddings, whose rows' gradients are clipped by their own length
and count."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from lbexp.optimizers._layerwise.leaves import at_step, safe_sqrt
from lbexp.optimizers._layerwise.masks import Mask, masks
from lbexp.optimizers._layerwise.prefixes import paths
from lbexp.optimizers.adamw import adamw
from lbexp.precision import upcast
from lbexp.ranges import Fraction, NonNegative, NonNegativeSchedule, Positive, checked


@checked
def cowclip(
    learning_rate: NonNegativeSchedule,
    tables: Mask,
    table_learning_rate: NonNegativeSchedule | None = None,
    r: NonNegative = 1.0,
    zeta: NonNegative = 1e-5,
    l2: NonNegative = 0.0,
    batch_ratio: Positive = 1.0,
    b1: Fraction = 0.9,
    b2: Fraction = 0.999,
    eps: NonNegative = 1e-8,
) -> optax.GradientTransformationExtraArgs:
    """Adaptive column-wise clipping and its scaling rule (Zheng et al. 2022, arXiv:2204.06240), for
    click models at batches of thousands.

    An id of one example in a thousand has the gradient of a few examples in one batch and none in
    the next: no rule for the learning rate serves such rows and dense weights alike. So the
    gradient of row i of a table is limited by the length of the row, once for each of the n_i
    times that the batch reads it:

        g_i <- g_i + batch_ratio l2 w_i
        g_i <- g_i min(1, max(n_i, 1) max(r |w_i|, zeta) / |g_i|)
        w_i <- w_i - table_learning_rate Adam(g_i);  dense w <- w - sqrt(batch_ratio) learning_rate
               Adam(g)

    g is the gradient of the mean loss. The scaling rule is in it: between batches of b and b
    batch_ratio the rate of tables stays, their l2 grows by the ratio, the dense rate by its root.
    The paper warms the dense rate up and keeps the tables' constant: give `learning_rate` alone as
    a schedule. Its rate of both is 1e-4 at 1,024 examples, or 8e-4 for dense weights (Criteo).

    In the released code n_i of a row that is not read is 1, as here: it may still decay. Its
    penalty is lambda w^2, lambda 1e-5 at 1,024 examples, so l2 = 2 lambda; and zeta = bound
    sqrt(width) at r = 1, bound 1e-5 on Criteo, 1e-4 or 1e-3 on Avazu. Rows begin at a deviation of
    0.01.

    `update` needs the extra argument row_counts, {path of a table: how often the batch of the
    update reads each of its rows [rows]}; of more tables than are named is no matter. The engine
    gives them where the workload has `row_counts`. In your own loop:

        counts = {'embedding': jnp.bincount(ids.reshape(-1), length=rows)}
        updates, state = tx.update(gradients, state, params, row_counts=counts)

    Args:
        learning_rate: of dense weights, >= 0, or a function of the updates done.
        tables: which parameters are tables [rows, ...], such as 'categories' (see masks.masks).
        table_learning_rate: of tables, >= 0, or a function; None: as dense weights have, without
            the root.
        r: of a row's length, >= 0 [1 / loss].
        zeta: what limits a row that is shorter than zeta / r, >= 0 [gradient units].
        l2: of tables, >= 0 [loss / weight^2].
        batch_ratio: examples of a global batch over those at which rates and l2 were chosen. The
            engine's batch_scaling does the same to the learning rate, and should then be off.
        b1, b2, eps: as in adamw.

    Raises:
        ValueError: a number out of its range, a table that is no parameter; in update, no
            parameters, no row_counts, or none of a table.
    """
    if table_learning_rate is None:
        table_learning_rate = learning_rate
    root = jnp.sqrt(batch_ratio)
    return optax.chain(
        _clip_rows(tables, r, zeta, batch_ratio * l2),
        adamw(1.0, b1, b2, eps, weight_decay=0.0, decay='none'),
        _scale_by_kind(
            tables,
            lambda count: at_step(table_learning_rate, count),
            lambda count: root * at_step(learning_rate, count),
        ),
    )


def _scale_by_kind(tables, table_rate, dense_rate):
    """Updates times the rate of tables, or of dense weights. One Adam serves both: optax.partition
    would give its state another structure than the parameters have."""

    def update(updates, state, params=None, **extra):
        del extra
        rates = {True: table_rate(state.count), False: dense_rate(state.count)}

        def scaled(change, is_table):
            return (upcast(change) * rates[is_table]).astype(change.dtype)

        marks = masks(tables, params, argument='tables')
        count = optax.safe_increment(state.count)
        return jax.tree.map(scaled, updates, marks), optax.ScaleByScheduleState(count)

    def init(params):
        masks(tables, params, argument='tables')  # refuses what does not fit
        return optax.ScaleByScheduleState(jnp.zeros((), jnp.int32))

    return optax.GradientTransformationExtraArgs(init, update)


def _clip_rows(tables, r, zeta, l2):
    """(gradients, parameters, counts of rows) -> gradients, those of tables decayed and clipped."""

    def clip(gradient, weights, count):
        w = upcast(weights)
        g = upcast(gradient) + l2 * w
        limit = jnp.maximum(upcast(count), 1) * jnp.maximum(r * _lengths(w), zeta)
        length = _lengths(g)
        # Where a gradient is 0 so is what is left of it.
        factor = jnp.minimum(limit / jnp.where(length > 0, length, 1), 1)
        return (g * _by_row(factor, g)).astype(gradient.dtype)

    def update(updates, state, params=None, row_counts: Mapping[str, Any] | None = None, **extra):
        del extra
        if params is None:
            raise ValueError(
                'cowclip needs the parameters: call update(gradients, state, params, '
                'row_counts=...)'
            )
        marks = masks(tables, params, argument='tables')
        counts = _counts(row_counts or {}, params, marks)

        def of_parameter(name, gradient, weights):
            if name not in counts:
                return gradient
            return clip(gradient, weights, counts[name])

        return jax.tree.map(of_parameter, paths(params), updates, params), state

    return optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), update)


def _counts(row_counts, params, marks):
    """The counts of each table, by its path."""
    of_tables = {}
    parts = map(jax.tree.leaves, (paths(params), params, marks))
    for name, weights, is_table in zip(*parts, strict=True):
        if not is_table:
            continue
        rows = weights.shape[:1]
        counts = 'none'
        if name in row_counts:
            counts = f'shape {jnp.shape(row_counts[name])}'
        if counts != f'shape {rows}' or not rows:
            raise ValueError(
                f'row_counts: found {counts} for the table {name!r} of shape {weights.shape}; '
                f'allowed: how often the batch reads each of its rows, {{{name!r}: counts [rows]}}'
            )
        of_tables[name] = jnp.asarray(row_counts[name])
    return of_tables


def _lengths(x):
    """|x_i| of each row [rows]."""
    squares = (x * x.conj()).real
    return safe_sqrt(jnp.sum(squares, axis=tuple(range(1, x.ndim))))


def _by_row(factor, x):
    return factor.reshape(factor.shape + (1,) * (x.ndim - 1))
