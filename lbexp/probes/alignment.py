"""Whether gradients and updates point where the ones before them did."""

from typing import Annotated

import jax
import jax.numpy as jnp
import optax
from annotated_types import Ge

from lbexp import moments, noise_scale
from lbexp.precision import upcast
from lbexp.probes import Groups, Probe, _window
from lbexp.probes._layers import square
from lbexp.ranges import PositiveCount, PositiveInteger


def alignment(
    groups: PositiveInteger | None = None,
    every: PositiveCount = 1,
    batches: Annotated[int, Ge(4)] = 16,
) -> Probe:
    """Cosines, over the updates between two rows.

        alignment_updates    mean cos(u_t, u_(t-1)) of successive updates
        alignment_gradient   mean cos(u_t, -g_t) of an update and the descent of its batch
        alignment_halves     E[g_A . g_B] / E[|g_A|^2] of the gradients of two halves of a batch

    Successive updates of opposite directions tell of oscillation, at the edge of stability or in a
    narrow valley; small positive ones of momentum, whose updates share their past. The last is how
    much of a half batch's gradient is signal:

        |G|^2 / (|G|^2 + 2 tr Sigma / M) = 1 / (1 + 2 B_simple / M)

    with means over the window of |G|^2 and tr Sigma, unbiased from groups, in place of one split:
    that is the mean over all ways to halve the groups. Its interval is Fieller's of noise to
    signal, 95 %, which ends at 0 where the gradient is not resolved; the others have standard
    errors, by batch means.

    Cost: two passes over updates and gradients at each update measured, and a copy of the updates
    in memory; with groups also theirs (see `gradient_noise_scale`).

    Args:
        groups: equal pieces of each microbatch, 1: the microbatches themselves; None: nothing is
            said of halves.
        every: from one update measured to the next, >= 1; may be traced. Successive updates are
            successive all the same.
        batches: even, >= 4, of the batch means.

    Columns: alignment_updates, alignment_updates_error, alignment_gradient,
    alignment_gradient_error; with groups alignment_halves, alignment_halves_low,
    alignment_halves_high. NaN in the row of the first update: it has none before it.

    Raises:
        ValueError: groups < 1, batches odd or < 4.

    Source: McCandlish et al. 2018, arXiv:1812.06162, Appendix A.1, for the halves.
    """
    if groups is not None and groups < 1:
        raise ValueError(f'groups: found {groups}; allowed: an integer >= 1, or None')
    asked = None
    like = {'cosines': jnp.zeros(2)}
    if groups is not None:
        asked = Groups(_square, groups, every)
        like['halves'] = jnp.zeros(2)

    def init(info):
        last = jax.tree.map(jnp.zeros_like, info.updates)
        return last, _window.window(like, batches)

    def update(state, info):
        last, window = state

        def values():
            of_updates = _cosine(info.updates, last)
            of_gradient = -_cosine(info.updates, info.grads)
            measured = {'cosines': jnp.stack([of_updates, of_gradient])}
            if groups is not None:
                of_half = 2 * info.noise.trace * (1 / info.noise.batch_size)
                measured['halves'] = jnp.stack([of_half, info.noise.square])
            return measured

        due = (info.step % every == 0) & (info.step > 1)
        return info.updates, _window.add(window, due, _window.computed(due, values), info.logging)

    return Probe(init, update, _summary, asked)


def _summary(state):
    _, window = state
    mean, error = _window.mean(window.series), moments.standard_error(window.series)
    columns = {}
    for i, name in enumerate(('updates', 'gradient')):
        columns[f'alignment_{name}'] = mean['cosines'][i]
        columns[f'alignment_{name}_error'] = error['cosines'][i]
    if 'halves' not in mean:
        return columns
    covariance = _window.covariance(window.series, window.series.means['halves'])
    quantile = _window.quantile(window.series)
    # of noise to signal; what is not resolved from above reaches down to 0
    interval = noise_scale.ratio_interval(mean['halves'], covariance, quantile)
    of_half, signal = mean['halves']
    columns['alignment_halves'] = signal / (signal + of_half)
    columns['alignment_halves_low'] = 1 / (1 + interval.high)
    columns['alignment_halves_high'] = 1 / (1 + interval.low)
    return columns


def _square(gradient, params, opt_state):
    return square(gradient)


def _dot(a, b):
    return optax.tree.vdot(jax.tree.map(upcast, a), jax.tree.map(upcast, b))


def _cosine(a, b):
    """0 where one of them is 0."""
    length = jnp.sqrt(square(a)) * jnp.sqrt(square(b))
    return jnp.where(length > 0, _dot(a, b) / jnp.where(length > 0, length, 1), 0)
