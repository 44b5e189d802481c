"""Mean and variance of weights and loss once a run has come to rest, with honest error bars."""

import math
from typing import Annotated, Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from annotated_types import Ge

from lbexp import moments, optimizers
from lbexp.precision import upcast
from lbexp.probes import Probe
from lbexp.ranges import NonNegativeCount, NonNegativeInteger, PositiveCount

_DRIFT = 3  # |z| beyond which a stretch is not taken for one at rest


class StationaryState(NamedTuple):
    weights: moments.Moments  # of each coordinate, over the updates measured
    loss: moments.Moments
    # per coordinate or per leaf: x, its increment to m2; the same of the loss
    series: moments.BatchMeans
    begin: Any  # int32, the update from which on it measures
    tested: Any  # int32, the update at which this stretch is tested next


def stationary_moments(
    burn_in: NonNegativeCount = 0,
    latest: PositiveCount | None = None,
    weights: Literal['fast', 'slow', 'evaluation'] = 'fast',
    population: bool = False,
    every: PositiveCount = 1,
    offset: NonNegativeCount = 0,
    batches: Annotated[int, Ge(4)] = 32,
    coordinates: NonNegativeInteger = 64,
    prefix: str | None = None,
) -> Probe:
    """Time-averages over the updates t >= burn_in with t = offset modulo `every`.

    One run (population=False). Welford per coordinate; variance = m2 / T + se(mean)^2, where the
    second term restores what autocorrelation takes from m2 / T: its bias is then that of the batch
    means, a fraction tau / b of itself (tau: autocorrelation time, b: batch length). With more than
    `coordinates` of them only leaf means have an error bar, the second term is left out, and the
    variance is low by a fraction tau / T. Errors: batch means (moments.standard_error) of x and of
    the increments (x - old mean)(x - new mean), whose mean is m2 / T; Student's t with batches / 2
    .. batches - 1 degrees of freedom. Where a run drifts, `stationarity_z` (of the increments,
    second quarter against last half of the measured stretch, Geweke) or `loss_stationarity_z`
    (first quarter against last half) tells: |z| > 4 means a longer burn-in.

    With `latest` the burn-in is chosen by that test: at updates 2 b, 4 b, .. <= latest (b: burn_in)
    what has been measured is thrown away where the loss or the variance drifted, |z| > 3, and
    measuring begins anew. So the start is forgotten at the cost of at most half of the stretch, and
    a run that never comes to rest is measured from some update in (latest / 2, latest] on. Where
    batches are short against the autocorrelation time |z| is large at rest too, and measuring
    begins later than it must. `burn_in` of the summary says when it did.

    Population (population=True). The first axis of every leaf counts independent replicas. With
    w_r, x_r the variance and mean over time of replica r: variance = mean_r w_r + var_r x_r,
    unbiased for any autocorrelation and any T >= 1 (law of total variance), its error the spread
    over replicas of w_r + (x_r - x)^2, over sqrt(R). The loss, a mean over replicas already, has
    batch means as above. `stationarity_z` is that of the variance over replicas, first quarter
    against last half.

    Args:
        burn_in: updates before measuring starts, >= 0; may be traced. For a quadratic:
            theory.autocorrelation.burn_in.
        latest: > burn_in >= 1: the latest update at which measuring may begin; may be traced. None:
            it begins at burn_in.
        weights: 'fast' (the parameters), 'slow' (lookahead's), 'evaluation' (slow, averaged, or
            fast).
        population: see above.
        every: updates from one measurement to the next, >= 1; may be traced.
        offset: 0 .. every - 1: with every = k, offset = j, lookahead's weights j updates after a
            synchronisation.
        batches: even, >= 4. Complete batches: between half and all of it.
        coordinates: up to so many coordinates (per replica) are reported one by one, as small
            arrays.
        prefix: of the names in the summary; None: the value of `weights`.

    Summary: {prefix}_count, _mean, _mean_error, _variance, _variance_error (means over coordinates;
        their errors take
    the coordinates of one run as dependent), _stationarity_z, _loss_mean, _loss_mean_error,
    _loss_variance, _loss_variance_error, _loss_stationarity_z; where coordinates are few also
    _coordinate_mean, _coordinate_mean_error, _coordinate_variance, _coordinate_variance_error; with
    `latest` also _burn_in. NaN where there is too little to tell.

    Raises:
        ValueError: an unknown `weights`, every < 1, burn_in < 0, latest <= burn_in or without a
            burn-in, batches odd or < 4.
    """
    read = _reader(weights)
    for name, value, low in (('burn_in', burn_in, 0), ('every', every, 1), ('offset', offset, 0)):
        if not isinstance(value, jax.Array) and value < low:
            raise ValueError(f'{name}: found {value}; allowed: a number of updates >= {low}')
    if latest is not None and not isinstance(latest, jax.Array) and not 1 <= burn_in < latest:
        raise ValueError(
            f'latest: found {latest} with burn_in {burn_in}; allowed: updates > burn_in >= 1'
        )
    name = weights if prefix is None else prefix
    columns_of = _population if population else _one_run

    def init(info):
        params, loss = jax.eval_shape(lambda f: (read(f), jnp.asarray(f.loss)), info)
        empty = moments.zeros(params), moments.zeros(loss)

        def series(params, loss):
            return _features(*empty, *empty, params, loss, population, coordinates)

        begin, empty_series = (
            jnp.asarray(burn_in, jnp.int32),
            moments.batch_means(jax.eval_shape(series, params, loss), batches),
        )
        return StationaryState(*empty, empty_series, begin, 2 * begin)

    def measure(state, info):
        params, loss = read(info), jnp.asarray(info.loss)
        new = moments.update(state.weights, params), moments.update(state.loss, loss)
        old = state.weights, state.loss
        features = _features(*old, *new, params, loss, population, coordinates)
        return StationaryState(
            *new, moments.push(state.series, features), state.begin, state.tested
        )

    def test(state, info):
        scores = (
            columns_of(state, coordinates)['stationarity_z'],
            _loss(state)['loss_stationarity_z'],
        )
        drifts = jnp.any(jnp.abs(jnp.stack(scores)) > _DRIFT)  # NaN, too little to tell, is none
        anew = init(info)._replace(begin=info.step)
        state = jax.tree.map(lambda new, old: jnp.where(drifts, new, old), anew, state)
        return state._replace(tested=2 * info.step)

    def update(state, info):
        if latest is not None:
            due = (info.step == state.tested) & (info.step <= latest)
            state = jax.lax.cond(due, lambda: test(state, info), lambda: state)
        due = (info.step >= state.begin) & ((info.step - offset) % every == 0)
        return jax.lax.cond(due, lambda: measure(state, info), lambda: state)

    def summary(state):
        columns = {
            **({} if latest is None else {'burn_in': state.begin}),
            **columns_of(state, coordinates),
        }
        return {f'{name}_{key}': value for key, value in {**columns, **_loss(state)}.items()}

    return Probe(init, update, summary)


def _reader(weights):
    readers = {
        'fast': lambda info: info.params,
        'slow': lambda info: optimizers.slow_params(info.opt_state, info.params),
        'evaluation': lambda info: optimizers.evaluation_params(info.opt_state, info.params),
    }
    if weights not in readers:
        raise ValueError(f'weights: found {weights!r}; allowed: {", ".join(readers)}')
    return readers[weights]


def _few(params, population, coordinates):
    """Whether coordinates (per replica) are reported one by one."""
    return (
        sum(math.prod(x.shape[1:] if population else x.shape) for x in jax.tree.leaves(params))
        <= coordinates
    )


def _features(old, old_loss, new, new_loss, params, loss, population, coordinates):
    """The series whose batch means give the errors: vectors over coordinates, or over leaves where
    they are many."""
    each = not population and _few(params, population, coordinates)

    def flat(tree):
        return jnp.concatenate(
            [x.reshape(-1) if each else x.mean()[None] for x in map(upcast, jax.tree.leaves(tree))]
        )

    if population:  # the variance over replicas at this very update
        square = jax.tree.map(lambda x: jnp.var(x, axis=0, ddof=1), params)
    else:
        square = moments.increments(old, new.mean, params)
    return {
        'mean': flat(params),
        'square': flat(square),
        'loss': loss,
        'loss_square': moments.increments(old_loss, new_loss.mean, loss),
    }


def _one_run(state, coordinates):
    leaves = jax.tree.leaves(state.weights.m2)
    few = _few(leaves, False, coordinates)
    # Each entry of the series stands for so many coordinates.
    sizes = [1] * sum(x.size for x in leaves) if few else [x.size for x in leaves]
    share = jnp.asarray(sizes, leaves[0].dtype) / sum(sizes)
    pooled = {
        key: jnp.sum(state.series.means[key] * share[None], axis=-1) for key in ('mean', 'square')
    }
    errors, pooled_errors = (
        moments.standard_error(state.series, of) for of in (state.series.means, pooled)
    )
    variances = jnp.concatenate(
        [x.reshape(-1) for x in jax.tree.leaves(moments.variance(state.weights, 0))]
    )
    means = jnp.concatenate([x.reshape(-1) for x in jax.tree.leaves(state.weights.mean)])
    missing = errors['mean'] ** 2 if few else jnp.zeros_like(errors['mean'])
    complete = state.series.count // state.series.length
    # `missing` is itself an estimate, with n - 1 degrees of freedom.
    doubt = missing * jnp.sqrt(2 / jnp.maximum(complete - 1, 1)).astype(missing.dtype)
    seen = state.weights.count > 0
    columns = {
        'count': state.weights.count,
        'mean': jnp.where(seen, means.mean(), jnp.nan),
        'mean_error': pooled_errors['mean'],
        'variance': variances.mean() + missing.mean(),
        'variance_error': jnp.hypot(pooled_errors['square'], doubt.mean()),
        'stationarity_z': moments.stationarity(state.series, pooled['square'], early=(0.25, 0.5)),
    }
    if few:
        columns |= {
            'coordinate_mean': jnp.where(seen, means, jnp.nan),
            'coordinate_mean_error': errors['mean'],
            'coordinate_variance': variances + missing,
            'coordinate_variance_error': jnp.hypot(errors['square'], doubt),
        }
    return columns


def _population(state, coordinates):
    def by_replica(tree):
        return jnp.concatenate([x.reshape(x.shape[0], -1) for x in jax.tree.leaves(tree)], axis=1)

    within, means = by_replica(moments.variance(state.weights, 0)), by_replica(state.weights.mean)
    replicas = means.shape[0]
    centre = means.mean(0)
    between = jnp.sum((means - centre[None]) ** 2, axis=0) / (replicas - 1)
    each = within + (means - centre[None]) ** 2 * (replicas / (replicas - 1))

    def error(values):
        return jnp.std(values, axis=0, ddof=1) / math.sqrt(replicas)

    square = jnp.mean(state.series.means['square'], axis=-1)
    columns = {
        'count': state.weights.count,
        'mean': jnp.where(state.weights.count > 0, centre.mean(), jnp.nan),
        'mean_error': error(means.mean(1)),
        'variance': jnp.mean(within.mean(0) + between),
        'variance_error': error(each.mean(1)),
        'stationarity_z': moments.stationarity(state.series, square),
    }
    if means.shape[1] <= coordinates:
        columns |= {
            'coordinate_mean': centre,
            'coordinate_mean_error': error(means),
            'coordinate_variance': within.mean(0) + between,
            'coordinate_variance_error': error(each),
        }
    return columns


def _loss(state):
    series = {key: state.series.means[key] for key in ('loss', 'loss_square')}
    errors, z = (
        moments.standard_error(state.series, series),
        moments.stationarity(state.series, series),
    )
    return {
        'loss_mean': jnp.where(state.loss.count > 0, state.loss.mean, jnp.nan),
        'loss_mean_error': errors['loss'],
        'loss_variance': moments.variance(state.loss, 0) + errors['loss'] ** 2,
        'loss_variance_error': errors['loss_square'],
        'loss_stationarity_z': z['loss'],
    }
