"""The update and the microbatch at which trials begin: 0, or those at which a trial before them
ended, of which they are the continuation.

Examples, random numbers and rates are functions of these counts, so what is trained is, to the bit,
what the trial before them would have gone on with.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from lbexp.engine import initial_weights
from lbexp.engine.accumulation import AccumulationSchedule
from lbexp.engine.initial_weights import POSITION
from lbexp.errors import Refusal


class Start(NamedTuple):
    """Where a trial begins; may be traced."""

    step: Any = 0  # updates done
    tick: Any = 0  # microbatches consumed


def position(settings: Mapping[str, Any]) -> Start:
    """Where a trial begins, as numbers.

    Args:
        settings: 'init_from' of a resolved configuration.

    Raises:
        Refusal: no source, or a file of weights, which says nothing of it.
    """
    if not initial_weights.takes_position(settings):
        return Start()
    if settings['weights'] is None:
        raise Refusal('init_from.position: found no init_from.weights; allowed: a workdir')
    arrays = initial_weights.arrays(settings)
    if f'{POSITION}/step' not in arrays:
        described = initial_weights.described(settings)
        raise Refusal(f'init_from.position: found none in {described}; allowed: a workdir')
    return Start(*[int(arrays[f'{POSITION}/{name}']) for name in Start._fields])


def stacked(settings: Mapping[str, Any], trials: list[int]) -> dict[str, Any]:
    """Where each of these trials of one source ended, as arguments of a program: {'trials': [S],
    'step': [S], 'tick': [S]}."""
    distinct = sorted(set(map(int, trials)))
    starts = [position({**settings, 'trial': trial}) for trial in distinct]
    columns = np.asarray(starts, np.int32).T
    return {'trials': np.asarray(distinct, np.int32), **dict(zip(Start._fields, columns))}


def start(ends: Mapping[str, Any], trial: Any) -> Start:
    """Where a trial begins in its program.

    Args:
        ends: as `stacked` gives them.
        trial: of the source; may be traced.
    """
    place = jnp.argmax(ends['trials'] == trial)
    return Start(*[jnp.asarray(ends[name])[place] for name in Start._fields])


def check(settings: Mapping[str, Any], end: int, accumulation: AccumulationSchedule) -> None:
    """Raises Refusal where a trial cannot go on at the update of its source: it ends before, or its
    batches are others.

    Args:
        settings: 'init_from' of a resolved configuration.
        end: updates after which the trial ends.
        accumulation: its microbatches.
    """
    begins = position(settings)
    if not begins.step:
        return
    problems = []
    if begins.step >= end:
        problems.append(f'found {begins.step} updates there, {end} here; allowed: a longer run')
    ticks = int(accumulation.position(begins.step))
    if ticks != begins.tick:
        problems.append(
            f'found {begins.step} updates of {begins.tick} microbatches there, of {ticks} here; '
            'allowed: the batches of the source'
        )
    if problems:
        raise Refusal(f'init_from.position: {"; ".join(problems)}')
