"""Mean and variance of weights and loss once a run has come to rest, with honest error bars."""

import functools
from typing import Annotated, Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from annotated_types import Ge

from lbexp import moments, optimizers
from lbexp.precision import upcast
from lbexp.probes import Probe, _at_rest
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
    their errors take the coordinates of one run as dependent), _stationarity_z, _loss_mean,
    _loss_mean_error, _loss_variance, _loss_variance_error, _loss_stationarity_z; where coordinates
    are few also _coordinate_mean, _coordinate_mean_error, _coordinate_variance,
    _coordinate_variance_error; with `latest` also _burn_in. NaN where there is too little to tell.

    Raises:
        ValueError: an unknown `weights`, every < 1, burn_in < 0, latest <= burn_in or without a
            burn-in, batches odd or < 4.
    """
    _check(burn_in, latest, every, offset)
    name = weights if prefix is None else prefix
    columns_of = _at_rest.population if population else _at_rest.one_run
    features_of = functools.partial(_features, population, coordinates)
    start = functools.partial(_start, _reader(weights), features_of, burn_in, batches)
    measure = functools.partial(_measured, _reader(weights), features_of)

    def test(state, info):
        drifts = _drifts(columns_of(state, coordinates), _at_rest.of_loss(state))
        anew = start(info)._replace(begin=info.step)
        state = jax.tree.map(lambda new, old: jnp.where(drifts, new, old), anew, state)
        # The next stretch is as long as all before it: half of the updates at most are thrown away.
        return state._replace(tested=2 * info.step)

    def update(state, info):
        if latest is not None:
            due = (info.step == state.tested) & (info.step <= latest)
            state = jax.lax.cond(due, lambda: test(state, info), lambda: state)
        # After the test: a stretch that begins anew has this update as its first.
        due = (info.step >= state.begin) & ((info.step - offset) % every == 0)
        return jax.lax.cond(due, lambda: measure(state, info), lambda: state)

    def summary(state):
        columns = {}
        if latest is not None:
            columns['burn_in'] = state.begin
        columns |= columns_of(state, coordinates)
        columns |= _at_rest.of_loss(state)
        return {f'{name}_{key}': value for key, value in columns.items()}

    return Probe(start, update, summary)


def _start(read, features_of, burn_in, batches, info) -> StationaryState:
    """Nothing measured yet, from update `burn_in` on.

    Args:
        read: info -> the weights that are looked at.
        features_of: (moments before, after, values) -> the series.
    """
    values = jax.eval_shape(functools.partial(_values, read), info)
    weights, loss = empty = tuple(map(moments.zeros, values))
    features = jax.eval_shape(functools.partial(features_of, empty, empty), values)
    begin = jnp.asarray(burn_in, jnp.int32)
    means = moments.batch_means(features, batches)
    return StationaryState(weights, loss, means, begin, 2 * begin)


def _measured(read, features_of, state, info) -> StationaryState:
    """With this update; arguments as of `_start`."""
    values = _values(read, info)
    old = state.weights, state.loss
    weights, loss = new = tuple(map(moments.update, old, values))
    series = moments.push(state.series, features_of(old, new, values))
    return StationaryState(weights, loss, series, state.begin, state.tested)


def _values(read, info):
    """Weights and loss."""
    return read(info), jnp.asarray(info.loss)


def _drifts(columns, loss_columns):
    """Whether weights or loss moved on; NaN, too little to tell, is no drift."""
    z, loss_z = columns['stationarity_z'], loss_columns['loss_stationarity_z']
    return jnp.any(jnp.abs(jnp.stack((z, loss_z))) > _DRIFT)


def _check(burn_in, latest, every, offset):
    """ValueError: a number of updates that is out of range. Arrays, which may be traced, are not
    looked at."""
    for name, value, low in (('burn_in', burn_in, 0), ('every', every, 1), ('offset', offset, 0)):
        if not isinstance(value, jax.Array) and value < low:
            raise ValueError(f'{name}: found {value}; allowed: a number of updates >= {low}')
    if latest is None or isinstance(latest, jax.Array):
        return
    if not 1 <= burn_in < latest:
        raise ValueError(
            f'latest: found {latest} with burn_in {burn_in}; allowed: updates > burn_in >= 1'
        )


def _reader(weights):
    readers = {
        'fast': lambda info: info.params,
        'slow': lambda info: optimizers.slow_params(info.opt_state, info.params),
        'evaluation': lambda info: optimizers.evaluation_params(info.opt_state, info.params),
    }
    if weights not in readers:
        raise ValueError(f'weights: found {weights!r}; allowed: {", ".join(readers)}')
    return readers[weights]


def _features(population, coordinates, old, new, values):
    """The series whose batch means give the errors: vectors over coordinates, or over leaves where
    they are many.

    Args:
        old, new: Moments of weights and of loss, before and after this update.
        values: weights and loss at this update.
    """
    params, loss = values
    (old_weights, old_loss), (new_weights, new_loss) = old, new
    one_by_one = not population and _at_rest.are_few(jax.tree.leaves(params), coordinates)

    def vector(tree):
        wide = jax.tree.map(upcast, tree)
        if one_by_one:
            return _at_rest.flat(wide)
        return jnp.concatenate([x.mean()[None] for x in jax.tree.leaves(wide)])

    if population:
        # the variance over replicas at this very update
        square = jax.tree.map(lambda x: jnp.var(x, axis=0, ddof=1), params)
    else:
        square = moments.increments(old_weights, new_weights.mean, params)
    return {
        'mean': vector(params),
        'square': vector(square),
        'loss': loss,
        'loss_square': moments.increments(old_loss, new_loss.mean, loss),
    }
