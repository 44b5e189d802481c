"""How the trust ratios of a layerwise optimizer are distributed over time."""

from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
from annotated_types import Ge

from lbexp import optimizers
from lbexp.errors import Refusal
from lbexp.probes import Probe
from lbexp.ranges import PositiveCount

_QUANTILES = {'p10': 0.1, 'median': 0.5, 'p90': 0.9}


class TrustRatiosState(NamedTuple):
    count: Any  # int32, updates measured since the last row
    stride: Any  # int32, of which each so-many-th is in the sample
    sample: Any  # [size, layers]; the first count / stride, rounded up, are filled
    least: Any  # [layers]
    largest: Any  # [layers]
    clipped: Any  # int32 [layers], updates in which the ratio met a bound
    is_over: Any  # bool: a row is written: the next update begins anew


def trust_ratios(every: PositiveCount = 1, size: Annotated[int, Ge(4)] = 64) -> Probe:
    """Quantiles of each layer's trust ratio over the updates between two rows, and how often it met
    a bound. For lars, larc, lamb and novograd, also inside a lookahead or behind transforms.

    Ratios vary by factors, so that a mean says little. Minimum and maximum are those of all updates
    measured. The other quantiles are exact for fewer than `size` of them; beyond, of a systematic
    sample of half of it to all of it: when it is full every other value goes, and every other
    update is taken from then on. The quantile q of a sample of n is a quantile q +- sqrt(q (1 - q)
    / n) of all, where they are independent, and nearer to q where they are smooth in time: within
    0.06 for the median of 64.

    Cost: a few numbers a layer at each update, which the optimizer has measured already.

    Args:
        every: from one update measured to the next, >= 1; may be traced.
        size: even, >= 4: of the sample.

    Columns, vectors [layers] over the layers in the order of optimizers.diagnostics:
    trust_ratio_min, trust_ratio_p10, trust_ratio_median, trust_ratio_p90, trust_ratio_max,
    trust_ratio_clipped (share of the updates). NaN before an update is measured.

    Raises:
        ValueError: size odd or < 4.
        Refusal: the optimizer has no trust ratios.
    """
    if size < 4 or size % 2:
        raise ValueError(f'size: found {size}; allowed: an even number >= 4, as every other goes')

    def init(info):
        ratios = _ratios(info.opt_state)
        layers = ratios['trust_ratio'].shape
        return _empty(layers, size)

    def update(state, info):
        fresh = _empty(state.least.shape, size)
        # The columns of a row are of its own updates: after one that was logged all begins anew.
        begun = jax.tree.map(lambda new, old: jnp.where(state.is_over, new, old), fresh, state)
        state = jax.lax.cond(
            info.step % every == 0,
            lambda: _measured(begun, _ratios(info.opt_state)),
            lambda: begun,
        )
        return state._replace(is_over=info.logging)

    return Probe(init, update, _summary)


def _ratios(opt_state):
    report = optimizers.diagnostics(opt_state)
    if 'trust_ratio' not in report:
        raise Refusal(
            'probe trust_ratios: found an optimizer without trust ratios; allowed: lars, larc, '
            'lamb, novograd'
        )
    return report


def _empty(layers, size):
    zero = jnp.zeros((), jnp.int32)
    return TrustRatiosState(
        count=zero,
        stride=zero + 1,
        sample=jnp.zeros((size, *layers)),
        least=jnp.full(layers, jnp.inf),
        largest=jnp.full(layers, -jnp.inf),
        clipped=jnp.zeros(layers, jnp.int32),
        is_over=jnp.zeros((), bool),
    )


def _measured(state, report):
    ratio = report['trust_ratio'].astype(jnp.float32)
    size = state.sample.shape[0]
    place = state.count // state.stride
    is_taken = state.count % state.stride == 0
    row = jnp.where(is_taken, ratio, state.sample[place])
    sample = state.sample.at[place].set(row)
    count = state.count + 1
    is_full = count == size * state.stride

    # A full sample gives up every other entry, and from now on every other update is taken: it
    # stays evenly spaced, whatever the number of updates between two rows.
    def halved():
        return jnp.concatenate([sample[0::2], jnp.zeros_like(sample[0::2])])

    return state._replace(
        count=count,
        stride=jnp.where(is_full, 2 * state.stride, state.stride),
        sample=jax.lax.cond(is_full, halved, lambda: sample),
        least=jnp.minimum(state.least, ratio),
        largest=jnp.maximum(state.largest, ratio),
        clipped=state.clipped + report['clipped'],
    )


def _summary(state):
    filled = -(-state.count // state.stride)
    is_filled = jnp.arange(state.sample.shape[0])[:, None] < filled
    # Infinity sorts behind all that was measured.
    values = jnp.sort(jnp.where(is_filled, state.sample, jnp.inf), axis=0)
    columns = {'min': state.least}
    for name, q in _QUANTILES.items():
        columns[name] = _quantile(values, q, filled)
    columns['max'] = state.largest
    columns['clipped'] = state.clipped * (1 / jnp.maximum(state.count, 1))
    measured = {}
    for name, value in columns.items():
        measured[f'trust_ratio_{name}'] = jnp.where(state.count > 0, value, jnp.nan)
    return measured


def _quantile(values, q, count):
    """Of the first `count` of sorted values, interpolated linearly, as np.quantile has it."""
    place = q * (count - 1)
    low = jnp.clip(jnp.floor(place).astype(jnp.int32), 0, values.shape[0] - 1)
    high = jnp.minimum(low + 1, jnp.maximum(count - 1, 0))
    share = place - low
    return (1 - share) * values[low] + share * values[high]
