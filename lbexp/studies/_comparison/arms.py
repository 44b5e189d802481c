"""What studies that compare share: arms, each tuned with the same budget on validation examples,
then run with seeds.

Round 0 tries every arm at the points of a quasi-random search, with one seed. Where the best point
lies on the edge of what was tried, the space grows beyond that edge by rounds of its own. Then each
arm runs at its best point with fresh seeds: what is reported was not selected on, and the test set
was looked at once.

Trials are tagged with arm, phase ('tuning' or 'reporting') and point, by which they are found
again: 'extension' counts how often the space had grown when the point was drawn, 'point' counts the
points of that search.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lbexp import config as configs
from lbexp import results
from lbexp.config import lookup
from lbexp.config.search import search
from lbexp.errors import Refusal
from lbexp.studies import Trial

TUNING, REPORTING = 'tuning', 'reporting'  # phases
# The trials that tune have the first of the study's seeds, those that are reported the next ones.
# Where each point is tried with several seeds, those after the first begin here:
_MORE_SEEDS = 2**31


class Arm(NamedTuple):
    """One of the things compared."""

    name: str
    overrides: dict[str, Any]  # what makes it, over the study's configuration
    # what is tuned: path -> (scale, low, high), as in lbexp.config.search; {}: nothing
    space: dict[str, tuple]
    tuned_as: str | None = None  # nothing is tuned: the best point of the arm of this name serves


class Tuning(NamedTuple):
    """How arms are tuned."""

    budget: int  # points tried for each arm
    seeds: int  # trials reported for each arm
    # (workdir) -> {trial: number to be lowest; inf where there is none}
    score: Callable[[Path], Mapping[int, float]]
    # seeds with which each point is tried; its score is their median. One lucky run is soon the
    # lowest of many, where scores are noisy
    seeds_per_point: int = 1
    extensions: int = 2  # times a space may grow beyond an edge, by half the budget each time
    first_seed: int = 0  # of the study's seeds; it chooses the points of the searches, too


class Point(NamedTuple):
    """One of the settings that an arm is tried at."""

    values: dict[str, Any]  # {path: value}
    extension: int = 0  # how often the space had grown when it was drawn
    number: int = 0  # among the points of that search


class TuningResult(NamedTuple):
    """What tuning found for an arm."""

    points: list[dict[str, Any]]  # tried, in the order of trying
    scores: np.ndarray  # of each; inf: diverged, or never reached
    best: dict[str, Any] | None  # point; None: no point has a score
    edges: dict[str, str]  # path -> 'low' or 'high', where the best is the outermost tried
    best_point: Point | None
    next: list[Point]  # points beyond an edge that are not tried yet
    # trial of each point, with the first of the tuning's seeds; None: not there yet
    tried: list[int | None]
    trials: list[int]  # those reported, in the order of seeds


def first_trials(arms: Sequence[Arm], tuning: Tuning) -> list[Trial]:
    """The first round: every arm at the points of its search."""
    return [
        trial for arm in arms for trial in _tuning_trials(arm, _first_points(arm, tuning), tuning)
    ]


def next_trials(workdir: Path, arms: Sequence[Arm], tuning: Tuning) -> list[Trial]:
    """What the results so far ask for: points beyond an edge, or the trials to be reported."""
    result = tuning_results(workdir, arms, tuning)
    beyond = [trial for arm in arms for trial in _tuning_trials(arm, result[arm.name].next, tuning)]
    # nobody is reported while somebody still searches: the seeds of all arms form one cohort
    if beyond:
        return beyond
    reported = []
    for arm in arms:
        best = result[arm.name].best_point
        if best is not None:
            reported += [_trial(arm, REPORTING, best, seed) for seed in _reported_seeds(tuning)]
    return reported


def tuning_results(workdir: Path, arms: Sequence[Arm], tuning: Tuning) -> dict[str, TuningResult]:
    """By arm, what was tried and found, as far as the workdir has it."""
    trial_of = _tagged_trials(workdir)
    scores = tuning.score(workdir)
    result = {}
    # an arm that is tuned as another comes after it
    for arm in sorted(arms, key=lambda arm: arm.tuned_as is not None):
        if arm.tuned_as is None:
            tuned = _tuned(arm, tuning, trial_of, scores)
        else:
            tuned = result[arm.tuned_as]._replace(next=[])
        best = tuned.best_point or Point({})
        keys = [_key(_trial(arm, REPORTING, best, seed)) for seed in _reported_seeds(tuning)]
        trials = [trial_of[key] for key in keys if key in trial_of]
        result[arm.name] = tuned._replace(trials=trials)
    return {arm.name: result[arm.name] for arm in arms}


def validate(arms: Sequence[Arm], tuning: Tuning):
    """Refuses what cannot be tuned: nothing to try, nobody to report, an arm that leans on none."""
    if tuning.budget < 1 or tuning.seeds < 1 or tuning.extensions < 0:
        raise Refusal(
            f'budget, seeds, extensions: found {tuning.budget}, {tuning.seeds}, '
            f'{tuning.extensions}; allowed: at least 1, 1, 0'
        )
    if tuning.seeds_per_point < 1:
        raise Refusal(
            f'seeds_per_point: found {tuning.seeds_per_point}; '
            'allowed: at least 1 seed for each point'
        )
    tuned = {arm.name for arm in arms if arm.tuned_as is None}
    for arm in arms:
        _first_points(arm, tuning)
        if arm.tuned_as is not None and arm.tuned_as not in tuned:
            allowed = ', '.join(sorted(tuned))
            raise Refusal(f'arm {arm.name!r}: tuned as {arm.tuned_as!r}; allowed: {allowed}')


def learning_rate(optimizer: Mapping[str, Any]) -> str:
    """The path of the learning rate of an optimizer's configuration, or of the optimizer inside
    it."""
    path = 'optimizer'
    while 'learning_rate' not in optimizer and isinstance(optimizer.get('inner'), dict):
        optimizer, path = optimizer['inner'], f'{path}.inner'
    return f'{path}.learning_rate'


def validation_error(workdir: Path) -> dict[int, float]:
    """1 - accuracy on the validation examples at the end of each trial; inf where it diverged."""
    finals = results.final(workdir)
    accuracy = finals.get('validation_accuracy', np.full(len(finals['trial']), np.nan))
    sound = np.isfinite(accuracy) & (finals['status'] == 'done')
    errors = np.where(sound, 1 - accuracy, math.inf)
    return {int(trial): float(e) for trial, e in zip(finals['trial'], errors, strict=True)}


def final_error(workdir: Path, trials: Sequence[int | None], part: str = 'test') -> np.ndarray:
    """1 - accuracy on the `part` at the end of each of the trials; NaN where it diverged or is not
    done, or not there."""
    finals = results.final(workdir)
    accuracy = finals.get(f'{part}_accuracy', np.full(len(finals['trial']), np.nan))
    error = np.where(finals['status'] == 'done', 1 - accuracy, np.nan)
    place = {int(trial): row for row, trial in enumerate(finals['trial'])}
    known = [error[place[trial]] if trial in place else np.nan for trial in trials]
    return np.array(known, np.float64)


def require_validation(config: Any):
    """Refuses a workload that holds no examples out to tune on, or where nobody looks at them."""
    if lookup.build('workload', configs.plain(config.workload)).validation is None:
        raise Refusal(
            'workload.validation: found none; allowed: at least 1 example held out, to tune on'
        )
    if config.num_evaluations < 1:
        raise Refusal(
            f'num_evaluations: found {config.num_evaluations}; allowed: at least 1, '
            'what is tuned on is an evaluation'
        )


def _tuned(arm, tuning, trial_of, scores):
    """Follows the searches as they were asked for: each is drawn from the edges of the one before,
    so what was tried is known without being recorded."""
    space, points, extension = arm.space, _first_points(arm, tuning), 0
    seed = _tuning_seeds(tuning)[0]
    while True:
        values = np.array([_score(arm, point, tuning, trial_of, scores) for point in points])
        best = points[int(values.argmin())] if np.isfinite(values).any() else None
        edges = _edges(space, points, best)
        fresh, beyond = [], {}
        if edges and extension < tuning.extensions:
            beyond = {path: _beyond(space[path], side) for path, side in edges.items()}
            fresh = _drawn({**space, **beyond}, max(tuning.budget // 2, 1), extension + 1, tuning)
        if not fresh or _key(_trial(arm, TUNING, fresh[0], seed)) not in trial_of:
            break
        points = points + fresh
        space = {path: _joined(axis, beyond.get(path, axis)) for path, axis in space.items()}
        extension += 1
    tried = [trial_of.get(_key(_trial(arm, TUNING, point, seed))) for point in points]
    best_values = None if best is None else best.values
    return TuningResult(
        [point.values for point in points], values, best_values, edges, best, fresh, tried, []
    )


def _score(arm, point, tuning, trial_of, scores):
    """Median over the seeds of a point; inf where it is not there, or has none."""
    keys = [_key(_trial(arm, TUNING, point, seed)) for seed in _tuning_seeds(tuning)]
    # the upper middle of an even number: a mean with inf would be inf
    each = sorted(scores.get(trial_of.get(key), math.inf) for key in keys)
    return each[len(each) // 2]


def _tuning_seeds(tuning):
    others = range(tuning.seeds_per_point - 1)
    return [tuning.first_seed, *(_MORE_SEEDS + tuning.first_seed + number for number in others)]


def _reported_seeds(tuning):
    return range(tuning.first_seed + 1, tuning.first_seed + tuning.seeds + 1)


def _tuning_trials(arm, points, tuning):
    return [_trial(arm, TUNING, point, seed) for point in points for seed in _tuning_seeds(tuning)]


def _trial(arm, phase, point, seed):
    # A reported trial bears its point as well: where other results choose another one, it is no
    # longer asked for under the same tags.
    tags = dict(arm=arm.name, phase=phase, extension=point.extension, point=point.number)
    return Trial({**arm.overrides, **point.values, 'seed': seed}, tags)


def _key(trial):
    return _tag_key(trial.tags, trial.overrides['seed'])


def _tag_key(tags, seed):
    return (tags['arm'], tags['phase'], tags.get('extension'), tags.get('point'), seed)


def _tagged_trials(workdir):
    """{arm, phase, extension, point, seed: trial}."""
    seeds = {entry['trial']: entry['overrides'].get('seed') for entry in results.entries(workdir)}
    return {
        _tag_key(tags, seeds[trial]): trial
        for trial, tags in results.roles(workdir)
        if 'arm' in tags and 'phase' in tags
    }


def _first_points(arm, tuning):
    if arm.tuned_as is not None:
        return []
    return _drawn(arm.space, tuning.budget, 0, tuning) if arm.space else [Point({})]


def _drawn(space, count, extension, tuning):
    """Points of a search of its own: another seed for each extension."""
    drawn = search(space, count, seed=tuning.first_seed + extension)
    return [Point(values, extension, number) for number, values in enumerate(drawn)]


def _edges(space, points, best):
    """{path: 'low' or 'high'} of the logarithmic dimensions in which the best point is the
    outermost tried."""
    edges = {}
    if best is None:
        return edges
    for path, (scale, *_) in space.items():
        tried = [point.values[path] for point in points]
        lowest, highest, value = min(tried), max(tried), best.values[path]
        if scale == 'log' and lowest < highest and value in (lowest, highest):
            edges[path] = 'low' if value == lowest else 'high'
    return edges


def _beyond(axis, side):
    """The range next to a range, half as wide."""
    scale, low, high = axis
    # half as wide in the logarithm, so that points lie as densely as half the budget allows
    ratio = math.sqrt(high / low)
    return (scale, high, high * ratio) if side == 'high' else (scale, low / ratio, low)


def _joined(axis, other):
    return axis[0], min(axis[1], other[1]), max(axis[2], other[2])
