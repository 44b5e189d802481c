"""What studies that compare share: arms, each tuned with the same budget on validation examples,
then run with seeds.

Round 0 tries every arm at the points of a quasi-random search, with one seed. Where the best point
lies on the edge of what was tried, the space grows beyond that edge by rounds of its own. Then each
arm runs at its best point with fresh seeds: what is reported was not selected on, and the test set
was looked at once.
"""

import json
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from lbexp import config as configs
from lbexp import results
from lbexp.config import lookup
from lbexp.config.search import search
from lbexp.errors import Refusal

TUNING_SEED = 0  # of the trials that tune; those that are reported have the seeds 1, 2, ...
# where each point is tried with several seeds: those after the first begin here
_MORE_SEEDS = 2**31


class Arm(NamedTuple):
    """One of the things compared."""

    name: str
    overrides: dict[str, Any]  # what makes it, over the study's configuration
    # what is tuned: path -> (scale, low, high), as in lbexp.config.search; {}: nothing
    space: dict[str, tuple]
    like: str | None = None  # nothing is tuned: the best point of the arm of this name serves


class Tuning(NamedTuple):
    """How arms are tuned."""

    budget: int  # points tried for each arm
    seeds: int  # trials reported for each arm
    score: Callable  # (workdir) -> {trial: number to be lowest; inf where there is none}
    # seeds with which each point is tried; its score is their median. One lucky run is soon the
    # lowest
    tries: int = 1
    #   of many, where scores are noisy
    extensions: int = 2  # times a space may grow beyond an edge, by half the budget each time


class Found(NamedTuple):
    """What tuning found for an arm."""

    points: list[dict]  # tried, in the order of trying
    scores: np.ndarray  # of each; inf: diverged, or never reached
    best: dict | None  # point; None: no point has a score
    edges: dict[str, str]  # path -> 'low' or 'high', where the best is the outermost tried
    next: list[dict]  # points beyond an edge that are not tried yet
    tried: list  # trial of each point, with the first of the tuning's seeds; None: not there yet
    trials: list[int]  # those reported, in the order of seeds


def wanted(arms: Sequence[Arm], tuning: Tuning) -> list[dict]:
    """The overrides of the first round's trials."""
    return _trials(arms, {arm.name: _points(arm, tuning.budget) for arm in arms}, tuning)


def more(workdir, arms: Sequence[Arm], tuning: Tuning) -> list[dict]:
    """The overrides of what the results so far ask for: points beyond an edge, or the trials to be
    reported."""
    found = outcome(workdir, arms, tuning)
    beyond = _trials(arms, {name: one.next for name, one in found.items()}, tuning)
    if beyond:
        return beyond
    tuned = [arm for arm in arms if found[arm.name].best is not None]
    return [
        _trial(arm, found[arm.name].best, s) for arm in tuned for s in range(1, tuning.seeds + 1)
    ]


def outcome(workdir, arms: Sequence[Arm], tuning: Tuning) -> dict[str, Found]:
    """By arm, what was tried and found, as far as the workdir has it."""
    entries = results.entries(workdir)
    there = {_key(entry['overrides']): entry['trial'] for entry in entries}
    scores = tuning.score(workdir)
    found = {}
    for arm in sorted(arms, key=lambda arm: arm.like is not None):
        own = arm.like is None
        mine = _tuned(arm, tuning, there, scores) if own else found[arm.like]._replace(next=[])
        trials = [
            there.get(_key(_trial(arm, mine.best or {}, s))) for s in range(1, tuning.seeds + 1)
        ]
        found[arm.name] = mine._replace(trials=[trial for trial in trials if trial is not None])
    return {arm.name: found[arm.name] for arm in arms}


def validate(arms: Sequence[Arm], tuning: Tuning):
    """ValueError for what cannot be tuned: nothing to try, nobody to report, an arm that leans on
    none."""
    if tuning.budget < 1 or tuning.seeds < 1 or tuning.extensions < 0:
        raise Refusal(
            f'budget, seeds, extensions: found {tuning.budget}, {tuning.seeds}, '
            f'{tuning.extensions}; '
            'allowed: at least 1, 1, 0'
        )
    if tuning.tries < 1:
        raise Refusal(f'tries: found {tuning.tries}; allowed: at least 1 seed for each point')
    own = {arm.name for arm in arms if arm.like is None}
    for arm in arms:
        _points(arm, 1)
        if arm.like is not None and arm.like not in own:
            raise Refusal(f'arm {arm.name!r}: like {arm.like!r}; allowed: {", ".join(sorted(own))}')


def learning_rate(optimizer: dict) -> str:
    """The path of the learning rate of an optimizer's configuration, or of the optimizer inside
    it."""
    path = 'optimizer'
    while 'learning_rate' not in optimizer and isinstance(optimizer.get('inner'), dict):
        optimizer, path = optimizer['inner'], f'{path}.inner'
    return f'{path}.learning_rate'


def validation_error(workdir) -> dict[int, float]:
    """1 - accuracy on the validation examples at the end of each trial; inf where it diverged."""
    finals = results.final(workdir)
    accuracy = finals.get('validation_accuracy', np.full(len(finals['trial']), np.nan))
    sound = np.isfinite(accuracy) & (finals['status'] == 'done')
    return {
        int(t): 1 - float(a) if ok else math.inf
        for t, a, ok in zip(finals['trial'], accuracy, sound, strict=True)
    }


def final_error(workdir, trials: Sequence[int], part: str = 'test') -> np.ndarray:
    """1 - accuracy on the `part` at the end of each of the trials; NaN where it diverged or is not
    done."""
    finals = results.final(workdir)
    accuracy = finals.get(f'{part}_accuracy', np.full(len(finals['trial']), np.nan))
    error = np.where(finals['status'] == 'done', 1 - accuracy, np.nan)
    return np.array(
        [error[int(np.flatnonzero(finals['trial'] == trial)[0])] for trial in trials], np.float64
    )


def require_validation(config):
    """ValueError where the workload holds no examples out to tune on, or nobody looks at them."""
    if lookup.build('workload', configs.plain(config.workload)).validation is None:
        raise Refusal(
            'workload.validation: found none; allowed: at least 1 example held out, to tune on'
        )
    if config.num_evaluations < 1:
        raise Refusal(
            f'num_evaluations: found {config.num_evaluations}; allowed: at least 1, '
            'what is tuned on is an evaluation'
        )


def _tuned(arm, tuning, there, scores):
    space, points = arm.space, _points(arm, tuning.budget)
    for number in range(tuning.extensions + 1):
        tried = [
            [there.get(_key(_trial(arm, point, seed))) for seed in _seeds(tuning)]
            for point in points
        ]
        values = np.array(
            [sorted(scores.get(trial, math.inf) for trial in own)[len(own) // 2] for own in tried]
        )
        best = points[int(values.argmin())] if np.isfinite(values).any() else None
        edges = _edges(space, points, best)
        fresh = []
        if edges and number < tuning.extensions:
            beyond = {path: _beyond(space[path], side) for path, side in edges.items()}
            fresh = search({**space, **beyond}, max(tuning.budget // 2, 1), seed=number + 1)
        if not fresh or _key(_trial(arm, fresh[0], TUNING_SEED)) not in there:
            return Found(points, values, best, edges, fresh, [own[0] for own in tried], [])
        points = points + fresh
        space = {path: _joined(given, beyond.get(path, given)) for path, given in space.items()}


def _seeds(tuning):
    return [TUNING_SEED, *range(_MORE_SEEDS, _MORE_SEEDS + tuning.tries - 1)]


def _trials(arms, points, tuning):
    return [
        _trial(arm, point, seed)
        for arm in arms
        for point in points[arm.name]
        for seed in _seeds(tuning)
    ]


def _trial(arm, point, seed):
    return {**arm.overrides, **point, 'seed': seed}


def _key(overrides):
    return json.dumps(overrides, sort_keys=True, default=list)


def _points(arm, budget):
    """The first points of an arm."""
    if arm.like is not None:
        return []
    return search(arm.space, budget) if arm.space else [{}]


def _edges(space, points, best):
    """{path: 'low' or 'high'} of the logarithmic dimensions in which the best point is the
    outermost tried."""
    found = {}
    for path, (scale, *_) in space.items():
        values = [point[path] for point in points]
        if (
            best is not None
            and scale == 'log'
            and len(set(values)) > 1
            and best[path] in (min(values), max(values))
        ):
            found[path] = 'low' if best[path] == min(values) else 'high'
    return found


def _beyond(given, side):
    """The range next to a range, half as wide."""
    scale, low, high = given
    wide = math.sqrt(high / low)
    return (scale, high, high * wide) if side == 'high' else (scale, low / wide, low)


def _joined(one, other):
    return one[0], min(one[1], other[1]), max(one[2], other[2])
