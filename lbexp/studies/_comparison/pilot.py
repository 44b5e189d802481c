"""The variances of a finished comparison, from which the next one is planned."""

import collections
from pathlib import Path

import numpy as np

from lbexp import crossed, results
from lbexp.power_analysis import Budget, Spread, spread_of
from lbexp.studies._comparison.arms import REPORTING
from lbexp.studies._comparison.verdicts import Mistakes, read_mistakes
from lbexp.studies._finals import final_metric, row_of_trial

# by tuning and seed, the trial that is reported
Reported = dict[int, dict[int, int]]


def reported(workdir: Path) -> dict[str, Reported]:
    """By arm, its reported trials."""
    seeds = {}
    for entry in results.entries(workdir):
        seeds[entry['trial']] = entry['overrides'].get('seed')
    trials = collections.defaultdict(lambda: collections.defaultdict(dict))
    for trial, tags in results.roles(workdir):
        if tags.get('phase') == REPORTING:
            # of two points with one seed the later was asked for last
            trials[tags['arm']][tags.get('tuning', 0)][seeds[trial]] = trial
    return {arm: dict(tunings) for arm, tunings in trials.items()}


def pilot(workdir: Path, arm: Reported, other: Reported) -> tuple[Spread, Budget]:
    """Variances of the test error of one arm less that of another, paired by seed, and what was
    spent on them."""
    finals = results.final(workdir)
    errors, row_of = 1 - final_metric(finals, 'test_accuracy'), row_of_trial(finals)
    mistakes = read_mistakes(workdir)
    differences, of_examples = [], []
    for tuning in sorted(arm.keys() & other.keys()):
        seeds = sorted(arm[tuning].keys() & other[tuning].keys())
        pairs = [(arm[tuning][seed], other[tuning][seed]) for seed in seeds]
        rows = np.array([[row_of[one], row_of[two]] for one, two in pairs]).reshape(-1, 2)
        differences.append(errors[rows[:, 0]] - errors[rows[:, 1]])
        of_examples += _paired(mistakes, pairs)
    example, examples = float('nan'), 0
    if of_examples:
        effects = np.stack(of_examples)
        example, examples = crossed.components(effects).example, effects.shape[1]
    seeds = min(map(len, differences), default=0)
    return spread_of(differences, example), Budget(len(differences), seeds, examples)


def _paired(mistakes: Mistakes | None, pairs):
    """Of each pair the differences on each example."""
    if mistakes is None:
        return
    for one, two in pairs:
        if one in mistakes.row_of and two in mistakes.row_of:
            yield mistakes.values[mistakes.row_of[one]] - mistakes.values[mistakes.row_of[two]]
