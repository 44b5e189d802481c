"""Does stopping the losers early find as good a configuration for the same number of updates?"""

import math
import pathlib
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from lbexp import results
from lbexp.analysis import Analysis, Figure, Series, Table
from lbexp.config.search import search
from lbexp.errors import Refusal
from lbexp.ranges import PositiveInteger
from lbexp.results.metrics import deciding, is_lower_better
from lbexp.studies import Study, Trial
from lbexp.studies._finals import final_metric, row_of_trial
from lbexp.studies._rungs import (
    full_runs,
    going_on,
    refuse_lengths,
    restarted,
    rungs_of,
    stopped,
)
from lbexp.studies._seeds import first_seed

_HALVING, _SEARCH = 'successive halving', 'search'
_HOW = {
    'continue': (
        'A rung takes its configurations on from where the rung before left them, with the '
        'schedule of the full length; the best share of them goes on. '
    ),
    'restart': (
        'A rung trains its configurations from the beginning, with a schedule of its own length; '
        'the best share of them goes on. '
    ),
}
_SEARCHED = (
    'The search trains the first configurations of the same sequence at full length, as many as '
    'the updates of all rungs pay for. One draw of each: no claim.'
)


def successive_halving(
    space: Sequence[Sequence[Any]],
    configurations: PositiveInteger = 27,
    factor: PositiveInteger = 3,
    weights: Literal['continue', 'restart'] = 'continue',
) -> Study:
    """Successive halving, beside a search that spends as many updates.

    With n configurations and the factor f, rung k of K = floor(log_f n) trains floor(n / f^k) of
    them until f^(k - K) of the configured length, and the best by what decides
    (`metrics.deciding`: of validation examples, where there are some) go to the next. Those that
    lose stay as they are, and the next rung's program has no place for them.

    'continue': a survivor goes on from its own last update (`init_from.position`), with its
    optimizer state, examples, random numbers and the schedule of the full length (`stop_at`): after
    the last rung it is, to the bit, the run of full length that it would have been without rungs.
    All rungs cost about 1 + K (f - 1) / f full runs, where n of them would have cost n. It is
    judged in the middle of a schedule: configurations whose rate would still have fallen look worse
    than they end. It is the default, as it is the algorithm of the paper, and costs less.

    'restart': a rung trains from the beginning with a schedule of its own length, so that each is
    judged at the end of one; all rungs cost about K + 1 full runs.

    Args:
        space: ((path, 'log', 'linear' or 'whole', low, high), ...), as `search.space` has it.
        configurations: n, at least `factor`.
        factor: f, at least 2.
        weights: whether survivors go on or begin again.

    Jamieson and Talwalkar 2016, arXiv:1502.07943, figure 3 (with f = 2, 'continue').
    """
    if factor < 2 or configurations < factor:
        raise Refusal(
            f'factor, configurations: found {factor}, {configurations}; allowed: 2 <= factor <= '
            'configurations'
        )
    points = search({path: tuple(axis) for path, *axis in space}, configurations)
    rungs = rungs_of(configurations, factor)
    continues = weights == 'continue'

    def trials(config):
        refuse_lengths(config, points, rungs, continues)
        asked = []
        for place in range(configurations):
            asked.append(_trial(config, points, rungs[0], place, continues))
        full = {'seed': first_seed(config.seed)}
        for place in range(full_runs(rungs, continues)):
            tags = {'arm': _SEARCH, 'configuration': place}
            asked.append(Trial({**full, **points[place]}, tags))
        return asked

    def more(config, workdir):
        standings = _standings(workdir, len(rungs))
        for rung in rungs[1:]:
            best = _best(standings[rung.number - 1], rung.count)
            if len(standings[rung.number]) < len(best):
                asked = []
                for each in best:
                    source = each.trial if continues else None
                    place = each.configuration
                    asked.append(_trial(config, points, rung, place, continues, source))
                return asked
        return []

    return Study(trials, lambda workdir: _analyse(workdir, rungs, points, weights), more)


class _Standing(NamedTuple):
    """A configuration on a rung, or of the search."""

    trial: int
    configuration: int
    cost: float  # the lower the better; inf: it diverged
    value: float  # of the metric
    updates: int  # after which it stands
    trained: int  # updates, of these, on this rung


def _trial(config, points, rung, place, continues, source=None):
    """The trial of a configuration on a rung.

    Args:
        source: that of the rung before, from which it goes on; None: it begins at 0.
    """
    tags = {'arm': _HALVING, 'rung': rung.number, 'configuration': place}
    fields = {'seed': first_seed(config.seed), **points[place]}
    if continues:
        fields |= stopped(config, rung.share)
    else:
        fields |= restarted(config, rung.share)
    if source is not None:
        fields |= going_on(config, source)
        tags['source'] = source
    return Trial(fields, tags)


def _best(standings, count):
    """Those with the lowest cost, in the order of their configurations; none that diverged."""
    sound = [each for each in standings if math.isfinite(each.cost)]
    ranked = sorted(sound, key=lambda each: each.cost)
    return sorted(ranked[:count], key=lambda each: each.configuration)


def _standings(workdir, rungs):
    """The standings of each rung, then those of the search."""
    finals = results.final(workdir)
    metric = deciding(results.numeric(finals))
    row_of = row_of_trial(finals)
    if metric is None:
        metric, finals = 'loss', {**finals, 'loss': np.full(len(row_of), np.nan)}
    values = final_metric(finals, metric)
    costs = values if is_lower_better(metric) else -values
    costs = np.where(np.isfinite(costs), costs, np.inf)
    standings: list[list[_Standing]] = [[] for _ in range(rungs + 1)]
    for trial, tags in results.roles(workdir):
        if trial not in row_of:
            continue
        row, begins = row_of[trial], 0
        if 'source' in tags:
            begins = int(finals['step'][row_of[tags['source']]])
        updates = int(finals['step'][row])
        place = tags['rung'] if tags['arm'] == _HALVING else rungs
        standings[place].append(
            _Standing(
                trial=trial,
                configuration=tags['configuration'],
                cost=float(costs[row]),
                value=float(values[row]),
                updates=updates,
                trained=updates - begins,
            )
        )
    return standings


def _analyse(workdir: pathlib.Path, rungs, points, weights) -> Analysis:
    results.roles(workdir)  # refuses a workdir that is no study's
    *of_rungs, searched = _standings(workdir, len(rungs))
    metric = deciding(results.numeric(results.final(workdir))) or 'loss'
    words = metric.replace('_', ' ')
    rows, total = [], 0
    for rung, standings in zip(rungs, of_rungs, strict=True):
        total += sum(each.trained for each in standings)
        rows.append([f'rung {rung.number}, {rung.share:.3g} of the length', *_row(standings)])
    rows.append(['all rungs', len(points), total, '', ''])
    rows.append(['search', *_row(searched)])
    columns = ['', 'configurations', 'updates', f'best {words}', 'of configuration']
    table = Table('What was spent and found', columns, rows, _HOW[weights] + _SEARCHED)
    verdict = 'Not all rungs are through.'
    if of_rungs[-1] and searched:
        best = min(of_rungs[-1], key=lambda each: each.cost)
        other = min(searched, key=lambda each: each.cost)
        verdict = (
            f'Successive halving ends with a {words} of {best.value:.4g} ({_words(points, best)}) '
            f'after {total} updates, the search with {other.value:.4g} ({_words(points, other)}) '
            f'after {sum(each.trained for each in searched)}.'
        )
    figure = _figure(of_rungs, words, _HOW[weights])
    return Analysis('Successive halving', verdict, [table], [figure])


def _row(standings):
    """Configurations, updates, the best value and whose it is."""
    if not standings:
        return [0, 0, '', '']
    best = min(standings, key=lambda each: each.cost)
    updates = sum(each.trained for each in standings)
    return [len(standings), updates, best.value, best.configuration]


def _words(points, standing):
    values = points[standing.configuration].items()
    return ', '.join(f'{path.rpartition(".")[2]} {value:.3g}' for path, value in values)


def _figure(of_rungs, words, how):
    """The metric of each configuration over the updates of its rungs."""
    paths = {}
    for standings in of_rungs:
        for each in standings:
            x, y = paths.setdefault(each.configuration, ([], []))
            x.append(each.updates)
            y.append(each.value)
    series = []
    for configuration, (x, y) in sorted(paths.items()):
        group = 'stopped' if len(x) < len(of_rungs) else 'at full length'
        series.append(Series(f'configuration {configuration}', x, y, group=group))
        series.append(Series(f'configuration {configuration}', x, y, style='points', group=group))
    labels = 'updates of the run', words
    return Figure(
        'rungs', 'Configurations by rung', *labels, series, 'log', caption=how + _SEARCHED
    )
