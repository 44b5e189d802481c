"""Lookahead around any optimizer: plain parameters in, plain updates out."""

import functools
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from lbexp.optimizers._layerwise.lazy_cond import cond_or_select, round_to_dtype
from lbexp.optimizers._layerwise.leaves import init_second_moment
from lbexp.optimizers._layerwise.momentum_buffers import (
    MOMENTUM_FIELDS,
    momentum_mask,
    replace,
    select,
)
from lbexp.optimizers.ema import mean_of_squares, weight_of_newest
from lbexp.precision import upcast
from lbexp.ranges import Fraction, PositiveFraction, PositiveInteger, checked


class LookaheadState(NamedTuple):
    count: jax.Array  # inner steps done (int32)
    slow: Any  # slow weights, like the parameters
    inner_state: Any
    momentum: Any  # 'interpolate': the momentum buffers as the last synchronisation left them
    second_moment: Any  # 'optimal': running mean of squared gradients


@checked
def lookahead(
    inner: optax.GradientTransformation,
    k: PositiveInteger = 5,
    slow_step_size: PositiveFraction | Literal['optimal'] = 0.5,
    buffer_policy: Literal['maintain', 'reset', 'interpolate'] = 'maintain',
    alpha_low: PositiveFraction = 0.2,
    curvature_decay: Fraction | None = 0.99,
    momentum_fields: tuple[str, ...] = MOMENTUM_FIELDS,
) -> optax.GradientTransformationExtraArgs:
    """k steps forward, 1 step back.

        every step:   w <- inner(w)                                              (fast weights: the
        parameters)
        every k-th:   slow <- slow + slow_step_size (w - slow);  w <- slow

    Slow weights live in the state: read them with `evaluation_params(opt_state, params)`. The
    updates must reach the parameters as they are, so lookahead comes last in a chain; after a
    synchronisation slow and fast weights are equal to the bit. k counts inner steps: accumulation
    goes outside. slow_step_size = 1 is the inner optimizer. The synchronisation (which computes the
    inner update a second time) runs in the steps that need it, under vmap in the steps where some
    replica needs it. Derivatives, forward and reverse, compute both sides in every step.

    Args:
        inner: any optimizer; extra arguments reach it.
        k: inner steps between synchronisations, >= 1; may be traced.
        slow_step_size: in (0, 1]; may be traced. 'optimal': see below.
        buffer_policy: what a synchronisation does to the inner momentum buffers m. 'maintain':
            nothing.
            'reset': m <- 0.
            'interpolate': m <- a m + (1 - a) m_last, as the weights, m_last being the buffers after
            the last synchronisation, at first 0. Never touched: step counts, schedule positions,
            keys, copies of weights, second moments (zeroed with its step count running on, Adam's
            would make the next step 1 / sqrt(1 - b2) too long).
        alpha_low: least step size of 'optimal', in (0, 1].
        curvature_decay: decay of the second moment that 'optimal' keeps, in [0, 1). None: it keeps
            none, and every update takes an extra argument `curvature`.
        momentum_fields: the momentum buffers are the fields of the inner state with these names
            that `optax.tree.map_params` sees as parameters; optax's and lbexp's are the default.

    slow_step_size='optimal' is the minimiser along the line from slow to fast weights. For a loss
    (w - w*)' A (w - w*) / 2 and d = slow - w, its derivative at slow - a d is -d' A (slow - a d -
    w*), zero at

        a* = (slow - w*)' A d / d' A d
        (Proposition 1).

    w* is unknown; one Newton step with a diagonal curvature C from the last point v where a
    gradient g was taken (w is v plus the last inner update) estimates it as v - g / C, in which C
    cancels:

        a = clip([(slow - v)' C d + g' d] / d' C d, alpha_low, 1),

    exact where C is. The paper takes C from the running second moment of the gradients that Adam
    keeps (empirical Fisher); here lookahead keeps its own, bias-corrected, or takes the extra
    argument `curvature` (a tree like the parameters, >= 0). The mean gradient of a large batch has
    a smaller second moment than its examples have: C is then too small and a at its bounds more
        often. Give a measured curvature where it matters.

    Raises:
        ValueError: a number out of its range, an unknown buffer_policy, no params, no
            curvature, or a buffer_policy other than 'maintain' around a state that has buffers of
            the parameters' shape but none with a name in momentum_fields.

    Zhang, Lucas, Hinton, Ba 2019, arXiv:1907.08610, Algorithm 1, Proposition 1.
    """
    is_optimal = isinstance(slow_step_size, str)
    inner = optax.with_extra_args_support(inner)
    keeps_curvature = is_optimal and curvature_decay is not None

    def buffers(inner_state):
        if buffer_policy == 'maintain':
            return ()
        return select(momentum_mask(inner, inner_state, momentum_fields), inner_state)

    def init(params):
        inner_state = inner.init(params)
        # In every mode but 'maintain': a state without momentum buffers is refused here.
        last = jax.tree.map(jnp.zeros_like, buffers(inner_state))
        if buffer_policy != 'interpolate':
            last = ()
        moment = init_second_moment(params) if keeps_curvature else ()
        slow = jax.tree.map(_copy, params)
        return LookaheadState(jnp.zeros((), jnp.int32), slow, inner_state, last, moment)

    def update(updates, state, params=None, **extra_args):
        if params is None:
            raise ValueError('lookahead moves weights: call update(grads, state, params)')
        grads = updates
        count = jnp.asarray(optax.safe_increment(state.count))
        moment = state.second_moment
        if keeps_curvature:
            moment = mean_of_squares(moment, grads, weight_of_newest(curvature_decay, count))
        curvature = extra_args.get('curvature', moment if keeps_curvature else None)
        if is_optimal and curvature is None:
            raise ValueError(
                "slow_step_size='optimal' with curvature_decay=None needs "
                'update(..., curvature=...)'
            )

        def synchronise(carry, inner_state, grads, params):
            slow, last = carry
            updates, new_inner_state = inner.update(grads, inner_state, params, **extra_args)
            fast = optax.apply_updates(params, round_to_dtype(updates))
            a = slow_step_size
            if is_optimal:
                a = _optimal_step_size(slow, params, fast, grads, curvature, alpha_low)
            if buffer_policy == 'interpolate':
                new = buffers(new_inner_state)
                last = jax.tree.map(lambda m, old: _mix(a, m, old), new, last)
            mixed = jax.tree.map(lambda s, w: _mix(a, w, s), slow, fast)
            # The update that leads there, rounded as the caller will round it, twice: then it is a
            # fixed point.
            for _ in range(2):
                mixed = optax.apply_updates(params, _difference(mixed, params, updates))
            return mixed, last

        # The inner update is computed again inside: it is cheaper than to keep its result for the
        # step that needs it.
        sync = count % k == 0
        carry = (state.slow, state.momentum)
        (slow, last), inner_state, *_ = cond_or_select(
            sync, synchronise, carry, state.inner_state, grads, params
        )
        updates, inner_state = inner.update(grads, inner_state, params, **extra_args)

        def choose(new, old):
            return jnp.where(sync, new, old)

        updates = jax.tree.map(choose, _difference(slow, params, updates), updates)
        if buffer_policy != 'maintain':
            old = buffers(inner_state)
            new = last if buffer_policy == 'interpolate' else jax.tree.map(jnp.zeros_like, old)
            mask = momentum_mask(inner, inner_state, momentum_fields)
            inner_state = replace(mask, inner_state, jax.tree.map(choose, new, old))
        return updates, LookaheadState(count, slow, inner_state, last, moment)

    return optax.GradientTransformationExtraArgs(init, update)


def _optimal_step_size(slow, before, fast, grads, curvature, low):
    """The clipped step size; `before`: the weights where `grads` were taken, `fast` after the inner
    update."""

    def terms(s, v, w, g, c):
        s, v, w, g, c = (upcast(x) for x in (s, v, w, g, c))
        d = s - w
        return jnp.sum((((s - v) * c + g) * d.conj()).real), jnp.sum((c * d * d.conj()).real)

    def step(*trees):
        leaves = (jax.tree.leaves(tree) for tree in trees)
        products = [terms(*parts) for parts in zip(*leaves, strict=True)]
        numerator, denominator = (sum(part) for part in zip(*products, strict=True))
        # Weights that did not move have no line to search.
        a = jnp.where(denominator == 0, 1, numerator / jnp.where(denominator == 0, 1, denominator))
        is_safe = (denominator > 1e-25) & (denominator < 1e30) & (jnp.abs(numerator) < 1e30)
        return a, is_safe

    a, is_safe = step(slow, before, fast, grads, curvature)
    # Products beyond float32: the same of weights and curvatures in units of the largest, which the
    # quotient forgets.
    length = _unit(jax.tree.map(jnp.subtract, slow, fast))
    curve = _unit(curvature)
    weights = [
        jax.tree.map(lambda x: upcast(x) * (1 / length), tree) for tree in (slow, before, fast)
    ]
    slopes = jax.tree.map(lambda g: upcast(g) * (1 / curve) * (1 / length), grads)
    scaled, _ = step(*weights, slopes, jax.tree.map(lambda c: upcast(c) * (1 / curve), curvature))
    return jnp.clip(jnp.where(is_safe, a, scaled), low, 1)


def _unit(tree):
    """The largest element, 1 where all are 0, so that 1 / unit is a number too."""
    peaks = [jnp.max(jnp.abs(upcast(x)), initial=0) for x in jax.tree.leaves(tree)]
    largest = functools.reduce(jnp.maximum, peaks)
    return jnp.clip(jnp.where(largest > 0, largest, 1), 1e-37, 1e37)


def _copy(p):
    """A copy: parameters and state may both be donated. What is abstract stays so."""
    return p if isinstance(p, jax.ShapeDtypeStruct) else jnp.copy(p)


def _mix(a, new, old):
    return (upcast(old) + a * (upcast(new) - upcast(old))).astype(old.dtype)


def _difference(new, old, like):
    """new - old in the dtypes of `like`."""
    return jax.tree.map(lambda n, o, u: (upcast(n) - upcast(o)).astype(u.dtype), new, old, like)
