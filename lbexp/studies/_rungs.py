"""The rungs of successive halving: how many configurations train on each, until where, and what
their trials set for it."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from lbexp import config as configs
from lbexp.engine.trial_plan import run_length
from lbexp.errors import Refusal


class Rung(NamedTuple):
    """What trains at once."""

    number: int
    count: int  # configurations
    share: float  # of the configured length, at which it ends


def rungs_of(count: int, factor: int) -> list[Rung]:
    """Each with a `factor`-th of the configurations of the one before, and `factor` times its
    length; the last has the full length."""
    # The quotient of two rounded logarithms: log_3 243 comes out as 4.999999999999999.
    last = int(math.log(count, factor) + 1e-9)
    rungs = []
    for number in range(last + 1):
        rungs.append(Rung(number, count // factor**number, factor ** (number - last)))
    return rungs


def full_runs(rungs: Sequence[Rung], continues: bool) -> int:
    """Full runs that the updates of all rungs pay for.

    Args:
        continues: a rung trains only what comes after the one before.
    """
    total, before = 0.0, 0.0
    for rung in rungs:
        total += rung.count * (rung.share - before)
        if continues:
            before = rung.share
    # The shares are rounded: a whole number may come out just below itself.
    return int(total + 1e-9)


def refuse_lengths(
    config: ConfigDict,
    points: Sequence[Mapping[str, Any]],
    rungs: Sequence[Rung],
    continues: bool,
) -> None:
    """Raises Refusal where rungs have no length, or no update of their own."""
    steps, epochs = config.steps, config.epochs
    if (steps is None) == (epochs is None):
        raise Refusal(f'steps, epochs: found {steps}, {epochs}; allowed: one set, the other None')
    if not continues:
        return
    fewest = round(1 / rungs[0].share)
    lengths = [run_length(configs.resolve(config, dict(point))) for point in points]
    if min(lengths) < fewest:
        raise Refusal(
            f'{_unit(config)}: found {config[_unit(config)]}, which is {min(lengths)} updates; '
            f'allowed: at least {fewest}, so that each rung has one'
        )


def restarted(config: ConfigDict, share: float) -> dict[str, Any]:
    """What a trial sets whose length is this share of the configured one."""
    name = _unit(config)
    length = config[name] * share
    if name == 'steps':
        length = max(1, round(length))
    # at full length it is the search's trial, where that has it too
    return {name: length} if share < 1 else {}


def stopped(config: ConfigDict, share: float) -> dict[str, Any]:
    """What a trial sets that is the beginning of one of full length."""
    return {'stop_at': share * (config.stop_at or 1.0)} if share < 1 else {}


def going_on(config: ConfigDict, source: int) -> dict[str, Any]:
    """What a trial sets that goes on from another of this run."""
    fields: dict[str, Any] = {
        'init_from.weights': 'this run',
        'init_from.trial': source,
        'init_from.position': True,
    }
    for name in ('take', 'rename'):  # what the first rung took of elsewhere
        if config.init_from[name]:
            fields[f'init_from.{name}'] = []
    return fields


def _unit(config):
    return 'epochs' if config.steps is None else 'steps'
