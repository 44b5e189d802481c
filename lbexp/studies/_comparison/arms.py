"""What studies that compare share: arms, each tuned with the same budget on validation examples,
then run with seeds.

The first round tries every arm at half of its budget, at the points of a quasi-random search with
one seed. The rest is spent in further rounds: beyond the edge on which the best point lies, or
around that point. So every arm is tried at as many points, wherever its optimum is. Then each arm
runs at its optimum with fresh seeds: what is reported was not selected on, and the test set was
looked at once. Where one number is tuned, the optimum is that of a parabola through the points
around the best (`optima`), where there is one: the best of a few noisy points lies where they
happened to be.

Trials are tagged with arm, phase ('tuning' or 'reporting') and point, by which they are found again
(`tagged`).

The same may be done several times over, each time with other points and other seeds: what a tuning
finds is a draw, too, and often a wider one than that of the seeds.
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from lbexp import results
from lbexp.errors import Refusal
from lbexp.studies import Trial
from lbexp.studies._comparison import optima, searches
from lbexp.studies._comparison.searches import Point
from lbexp.studies._comparison.tagged import key_of, tagged_trial, tagged_trials
from lbexp.studies._finals import final_of_set, metric_of_trials
from lbexp.studies._seeds import STRIDE

TUNING, REPORTING = 'tuning', 'reporting'  # phases
# The trials that tune have the first of the study's seeds, those that are reported the next ones.
# Where each point is tried with several seeds, those after the first begin here:
_MORE_SEEDS = 2**31
_SEEDS_OF_TUNING = 128  # of which no other tuning of the study has any
_MOST_TUNINGS = STRIDE // _SEEDS_OF_TUNING


# (workdir) -> {trial: number to be lowest; inf where there is none}
Score = Callable[[Path], Mapping[int, float]]


class Arm(NamedTuple):
    """One of the things compared."""

    name: str
    overrides: dict[str, Any]  # what makes it, over the study's configuration
    # what is tuned: path -> (scale, low, high), as in lbexp.config.search; {}: nothing
    space: dict[str, tuple]
    tuned_as: str | None = None  # nothing is tuned: the best point of the arm of this name serves


class Tuning(NamedTuple):
    """How arms are tuned."""

    budget: int  # points tried for each arm, in all rounds together
    seeds: int  # trials reported for each arm
    score: Score
    # seeds with which each point is tried; its score is their median. One lucky run is soon the
    # lowest of many, where scores are noisy
    seeds_per_point: int = 1
    # rounds of the search after the first, which share half of the budget
    extensions: int = 2
    first_seed: int = 0  # of the study's seeds; it chooses the points of the searches, too
    # how often each arm is tuned and reported; with several, intervals are over tunings
    tunings: int = 1
    number: int = 0  # of this one, among the tunings
    # where trials are reported: at the best point, or at the vertex of a parabola where one number
    # is tuned and there is such a vertex. Of noisy scores the vertex has a lower true one: on the
    # surfaces of the tests the regret falls to between a tenth and a half from budget 8 on
    optimum: Literal['best', 'fitted'] = 'fitted'
    # of what more are drawn until the claims are decided (`stopping`); None: nothing
    grows: Literal['seeds', 'tunings'] | None = None
    metric: str = 'error'  # of the test set, by which arms are compared; less of it is better


class TuningResult(NamedTuple):
    """What tuning found for an arm."""

    points: list[dict[str, Any]]  # tried, in the order of trying
    scores: np.ndarray  # of each; inf: diverged, or never reached
    edges: dict[str, str]  # path -> 'low' or 'high', where the best is the outermost tried
    best_point: Point | None  # where trials are reported; None: no point has a score
    next: list[Point]  # points of the next round, not tried yet
    # trial of each point, with the first of the tuning's seeds; None: not there yet
    tried: list[int | None]
    trials: list[int]  # those reported, in the order of seeds
    # by how much the optimum may miss the true one (`optima.grid_error`) [score]
    grid_error: float = math.nan
    fit: optima.Parabola | None = None  # through the points around the best; None: has no vertex

    @property
    def best(self) -> dict[str, Any] | None:
        """The values of the best point."""
        return None if self.best_point is None else self.best_point.values


def each_tuning(tuning: Tuning) -> list[Tuning]:
    """The tunings, which share no seed."""
    tunings = []
    for number in range(tuning.tunings):
        seed = tuning.first_seed + number * _SEEDS_OF_TUNING
        tunings.append(tuning._replace(first_seed=seed, number=number))
    return tunings


def first_trials(arms: Sequence[Arm], tuning: Tuning) -> list[Trial]:
    """The first round: every arm at the points of its search."""
    trials = []
    for each, arm in itertools.product(each_tuning(tuning), arms):
        trials += _tuning_trials(arm, _first_points(arm, each), each)
    return trials


def next_trials(workdir: Path, arms: Sequence[Arm], tuning: Tuning) -> list[Trial]:
    """What the results so far ask for: the points of a further round, or the trials to be
    reported."""
    tried, reported = [], []
    for each in each_tuning(tuning):
        tuned = tuning_results(workdir, arms, each)
        for arm in arms:
            result = tuned[arm.name]
            tried += _tuning_trials(arm, result.next, each)
            if result.best_point is not None:
                reported += _reported_trials(arm, result.best_point, each)
    # nobody is reported while somebody still searches: the seeds of all arms form one cohort
    return tried or reported


def tuning_results(workdir: Path, arms: Sequence[Arm], tuning: Tuning) -> dict[str, TuningResult]:
    """By arm, what one tuning tried and found, as far as the workdir has it."""
    trial_of = tagged_trials(workdir)
    scores = tuning.score(workdir)
    result = {}
    # an arm that is tuned as another comes after it
    for arm in sorted(arms, key=lambda arm: arm.tuned_as is not None):
        if arm.tuned_as is None:
            tuned = _tuned(arm, tuning, trial_of, scores)
        else:
            # tuned on nothing of its own, so its own optimum is missed by nothing
            tuned = result[arm.tuned_as]._replace(next=[], grid_error=0.0)
        best = tuned.best_point or Point({})
        keys = map(key_of, _reported_trials(arm, best, tuning))
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
    if not 1 <= tuning.tunings <= _MOST_TUNINGS:
        raise Refusal(f'tunings: found {tuning.tunings}; allowed: 1 to {_MOST_TUNINGS}')
    if tuning.tunings > 1 and tuning.seeds >= _SEEDS_OF_TUNING:
        raise Refusal(
            f'seeds: found {tuning.seeds} with {tuning.tunings} tunings; '
            f'allowed: less than {_SEEDS_OF_TUNING}'
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


def validation_error(workdir: Path, metric: str = 'error') -> dict[int, float]:
    """1 - accuracy, or another metric, of the validation examples at the end of each trial; inf
    where it diverged."""
    finals = results.final(workdir)
    errors = final_of_set(finals, 'validation', metric)
    errors = np.where(np.isfinite(errors), errors, math.inf)
    trials = finals['trial'].tolist()
    return dict(zip(trials, errors.tolist(), strict=True))


def final_error(workdir: Path, trials: Sequence[int | None], part: str = 'test') -> np.ndarray:
    """1 - accuracy on the `part` at the end of each of the trials; NaN where it diverged or is not
    done, or not there."""
    return 1 - metric_of_trials(results.final(workdir), f'{part}_accuracy', trials)


def _tuned(arm, tuning, trial_of, scores):
    """Follows the rounds as they were asked for: each is drawn from the results of those before,
    so what was tried is known without being recorded."""
    space, points = arm.space, _first_points(arm, tuning)

    def trial_at(point):
        return trial_of.get(key_of(_trial(arm, TUNING, point, tuning.first_seed, tuning)))

    fresh, counts = [], searches.shares(tuning.budget, tuning.extensions)
    values = _scores(arm, points, tuning, trial_of, scores)
    for extension, count in enumerate(counts[1:], 1):
        if not count or not space:
            continue
        ranges = searches.onward(space, points, _best(points, values))
        fresh = searches.points(ranges, count, extension, tuning.first_seed)
        # a round is recorded whole: where its first point is not there, it was not asked for yet
        if trial_at(fresh[0]) is None:
            break
        points, fresh = points + fresh, []
        space = searches.joined(space, ranges)
        values = _scores(arm, points, tuning, trial_of, scores)
    best, fit = _best(points, values), optima.fitted(arm.space, points, values)
    edges = searches.edges(space, points, best)
    if best is not None and fit is not None and tuning.optimum == 'fitted':
        # a vertex lies inside what was tried
        best, edges = optima.vertex_point(arm.space, fit, best), {}
    return TuningResult(
        points=[point.values for point in points],
        scores=values,
        edges=edges,
        best_point=best,
        next=fresh,
        tried=list(map(trial_at, points)),
        trials=[],
        grid_error=optima.grid_error(arm.space, points, values, best),
        fit=fit,
    )


def _scores(arm, points, tuning, trial_of, scores):
    return np.array([_score(arm, point, tuning, trial_of, scores) for point in points])


def _best(points, values):
    """The point with the lowest score; None: none has one."""
    return points[int(values.argmin())] if np.isfinite(values).any() else None


def _score(arm, point, tuning, trial_of, scores):
    """Median over the seeds of a point; inf where it is not there, or has none."""
    of_seeds = []
    for trial in _tuning_trials(arm, [point], tuning):
        number = trial_of.get(key_of(trial))
        of_seeds.append(scores.get(number, math.inf))
    # the upper middle of an even number: a mean with inf would be inf
    return sorted(of_seeds)[len(of_seeds) // 2]


def _first_points(arm, tuning):
    if arm.tuned_as is not None:
        return []
    if not arm.space:
        return [Point({})]
    count, *_ = searches.shares(tuning.budget, tuning.extensions)
    return searches.points(arm.space, count, 0, tuning.first_seed)


def _tuning_trials(arm, points, tuning):
    more = _MORE_SEEDS + tuning.first_seed
    seeds = [tuning.first_seed, *range(more, more + tuning.seeds_per_point - 1)]
    settings = itertools.product(points, seeds)
    return [_trial(arm, TUNING, point, seed, tuning) for point, seed in settings]


def _reported_trials(arm, best, tuning):
    first = tuning.first_seed + 1
    seeds = range(first, first + tuning.seeds)
    return [_trial(arm, REPORTING, best, seed, tuning) for seed in seeds]


def _trial(arm, phase, point, seed, tuning):
    return tagged_trial(arm.name, arm.overrides, phase, point, seed, tuning.number)
