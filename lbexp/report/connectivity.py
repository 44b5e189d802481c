"""The loss on paths between two trained networks as a table and a figure."""

import functools
from typing import Any

import jax
import numpy as np
import optax

from lbexp.analysis import Figure, Series, Table
from lbexp.curvature import landscape
from lbexp.curvature.match_units import dense_layers, match_units
from lbexp.report.measured import Measured, Settings, evenly, of_one_network, sample

_ROUNDING = 1e-3  # of losses whose units are added up in another order, at most [nats, or relative]


def connectivity(first: Any, last: Any, settings: Settings) -> Measured:
    """Loss from one trial's weights (0) to another's (1) over training and test examples, and how
    far it rises between them: on the straight line, on the straight line to the other network with
    its units in the order of the first one's, where the layers are dense ones that feed one
    another, and on a quadratic Bezier curve whose middle is trained on the training examples
    (Garipov et al. 2018, arXiv:1802.10026).

    A barrier on the line alone says little: two networks of one function may have a high one. A low
    curve shows that they lie in one valley; that none was found does not show that there is none.

    Raises:
        Refusal: trials of other shapes, or batch norm with running averages.
    """
    of_one_network(first, last, settings)
    samples = {part: sample(first, part, settings) for part in ('train', 'test')}
    points = evenly(0, 1, settings)
    line = functools.partial(_on_line, points, first.params)
    paths = {'line': functools.partial(line, last.params)}
    matched, notes = _matched(first.params, last.params, samples['train'])
    if matched is not None:
        paths['line, units matched'] = functools.partial(line, matched)
    middle = _bend(samples['train'].loss, first.params, last.params, settings)
    paths['curve'] = functools.partial(_on_curve, points, first.params, middle, last.params)
    series, rows = [], []
    for part, objective in samples.items():
        for name, path in paths.items():
            losses, barrier = jax.device_get(path(objective.loss))
            series.append(Series(f'{part}: {name}', points.tolist(), losses.tolist()))
            ends = losses[0], losses[-1]
            rows.append([part, name, *map(float, (*ends, barrier.height, barrier.place))])
    return _drawn(first, last, _caption(first, samples, settings), series, rows, notes)


@functools.partial(jax.jit, static_argnums=3)
def _on_line(points, first, last, loss):
    losses = landscape.interpolation(loss, first, last, points)
    return losses, landscape.barrier(losses, points)


@functools.partial(jax.jit, static_argnums=4)
def _on_curve(points, first, middle, last, loss):
    losses = landscape.curve(loss, first, middle, last, points)
    return losses, landscape.barrier(losses, points)


def _bend(loss, first, last, settings):
    """The middle of the curve, trained."""
    rate = optax.cosine_decay_schedule(settings.learning_rate, settings.updates)

    @jax.jit
    def train(first, last, key):
        return landscape.connect(loss, first, last, optax.adam(rate), key, settings.updates)

    return train(first, last, jax.random.key(settings.seed))


def _matched(first, last, objective):
    """(the last network with its units in the order of the first one's, notes), or (None, why)."""
    try:
        matched = match_units(first, last, dense_layers(first))
    except ValueError as error:
        return None, (f'Units are not matched: {error}.',)
    losses = jax.jit(objective.losses)
    before, after = (losses(params, objective.examples) for params in (last, matched))
    # names and shapes do not say how layers are connected
    if not np.allclose(before, after, rtol=_ROUNDING, atol=_ROUNDING):
        return None, ('Units are not matched: in another order they are another function.',)
    return matched, ()


def _caption(first, samples, settings):
    measured = ', '.join(objective.description for objective in samples.values())
    return (
        f'Loss of trial {first.number}: {measured}. Curve: (1 - t)^2 w1 + 2 t (1 - t) theta + '
        f't^2 w2; theta from the middle of the line by {settings.updates} updates of Adam at '
        f'{settings.learning_rate:g}, by a cosine to 0, each with one t of seed {settings.seed} '
        'and all of these training examples; no weight decay. Barrier: above the line between the '
        'losses of the ends, at its highest point.'
    )


def _drawn(first, last, caption, series, rows, notes):
    name = f'connectivity_{first.number}_{last.number}'
    title = f'Between trial {first.number} and trial {last.number}'
    label = f't from trial {first.number} (0) to trial {last.number} (1)'
    figure = Figure(name, title, label, 'loss', series, caption=caption)
    columns = ['set', 'path', 'loss at 0', 'loss at 1', 'barrier', 'at']
    table = Table(title, columns, rows, caption)
    return Measured(table, [figure], [], f'{name}_barriers', notes)
