"""Does stopping the losers early find as good a configuration for the same number of updates?"""

import math
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from lbexp import results
from lbexp.analysis import Analysis, Figure, Series, Table
from lbexp.config.search import search
from lbexp.errors import Refusal
from lbexp.ranges import PositiveInteger
from lbexp.results.metrics import deciding, is_lower_better
from lbexp.studies import Study, Trial
from lbexp.studies._finals import final_metric, row_of_trial
from lbexp.studies._seeds import first_seed

_HALVING, _SEARCH = 'successive halving', 'search'
_CAPTION = (
    'A rung trains its configurations from the beginning, with a schedule of its own length; the '
    'best share of them goes on. The search trains the first configurations of the same sequence '
    'at full length, as many as the updates of all rungs pay for. One draw of each: no claim.'
)


def successive_halving(
    space: Sequence[Sequence[Any]],
    configurations: PositiveInteger = 27,
    factor: PositiveInteger = 3,
) -> Study:
    """Successive halving, beside a search that spends as many updates.

    With n configurations and the factor f, rung k of K = floor(log_f n) trains floor(n / f^k) of
    them for f^(k - K) of the configured length, and the best by what decides
    (`metrics.deciding`: of validation examples, where there are some) go to the next. Weights are
    not taken on: a schedule that has decayed for a short run is none to go on from. All rungs cost
    about K + 1 full runs, where n of them would have cost n.

    Args:
        space: ((path, 'log', 'linear' or 'whole', low, high), ...), as `search.space` has it.
        configurations: n, at least `factor`.
        factor: f, at least 2.

    Jamieson and Talwalkar 2016, arXiv:1502.07943, figure 3 (with f = 2, and weights taken on).
    """
    if factor < 2 or configurations < factor:
        raise Refusal(
            f'factor, configurations: found {factor}, {configurations}; allowed: 2 <= factor <= '
            'configurations'
        )
    points = search({path: tuple(axis) for path, *axis in space}, configurations)
    rungs = _rungs(configurations, factor)

    def trials(config):
        asked = _of_rung(config, points, rungs[0], range(configurations))
        full = {'seed': first_seed(config.seed)}
        for place in range(_searched(rungs)):
            tags = {'arm': _SEARCH, 'configuration': place}
            asked.append(Trial({**full, **points[place]}, tags))
        return asked

    def more(config, workdir):
        standings = _standings(workdir, len(rungs))
        for rung in rungs[1:]:
            before = standings[rung.number - 1]
            asked = _of_rung(config, points, rung, _best(before, rung.count))
            if len(standings[rung.number]) < rung.count:
                return asked
        return []

    return Study(trials, lambda workdir: _analyse(workdir, rungs, points), more)


class _Rung(NamedTuple):
    number: int
    count: int  # configurations
    share: float  # of the configured length


class _Standing(NamedTuple):
    """A configuration on a rung, or of the search."""

    configuration: int
    cost: float  # the lower the better; inf: it diverged
    value: float  # of the metric
    updates: int  # that it trained


def _rungs(count, factor):
    # The quotient of two rounded logarithms: log_3 243 comes out as 4.999999999999999.
    last = int(math.log(count, factor) + 1e-9)
    rungs = []
    for number in range(last + 1):
        rungs.append(_Rung(number, count // factor**number, factor ** (number - last)))
    return rungs


def _searched(rungs):
    """Full runs that the updates of all rungs pay for."""
    # The shares are rounded: a whole number may come out just below itself.
    return int(sum(rung.count * rung.share for rung in rungs) + 1e-9)


def _of_rung(config, points, rung, places):
    name = 'epochs' if config.steps is None else 'steps'
    length = config[name] * rung.share
    if name == 'steps':
        length = max(1, round(length))
    asked = []
    for place in places:
        tags = {'arm': _HALVING, 'rung': rung.number, 'configuration': place}
        fields = {'seed': first_seed(config.seed), **points[place]}
        if rung.share < 1:  # at full length it is the search's trial, where that has it too
            fields[name] = length
        asked.append(Trial(fields, tags))
    return asked


def _best(standings, count):
    """The configurations with the lowest cost, in their order."""
    ranked = sorted(standings, key=lambda each: each.cost)
    return sorted(each.configuration for each in ranked[:count])


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
        row = row_of[trial]
        numbers = float(costs[row]), float(values[row]), int(finals['step'][row])
        place = tags['rung'] if tags['arm'] == _HALVING else rungs
        standings[place].append(_Standing(tags['configuration'], *numbers))
    return standings


def _analyse(workdir: pathlib.Path, rungs, points) -> Analysis:
    results.roles(workdir)  # refuses a workdir that is no study's
    *of_rungs, searched = _standings(workdir, len(rungs))
    metric = deciding(results.numeric(results.final(workdir))) or 'loss'
    words = metric.replace('_', ' ')
    rows, total = [], 0
    for rung, standings in zip(rungs, of_rungs, strict=True):
        total += sum(each.updates for each in standings)
        rows.append([f'rung {rung.number}, {rung.share:.3g} of the length', *_row(standings)])
    rows.append(['all rungs', len(points), total, '', ''])
    rows.append(['search', *_row(searched)])
    columns = ['', 'configurations', 'updates', f'best {words}', 'of configuration']
    table = Table('What was spent and found', columns, rows, _CAPTION)
    verdict = 'Not all rungs are through.'
    if of_rungs[-1] and searched:
        best = min(of_rungs[-1], key=lambda each: each.cost)
        other = min(searched, key=lambda each: each.cost)
        verdict = (
            f'Successive halving ends with a {words} of {best.value:.4g} ({_words(points, best)}) '
            f'after {total} updates, the search with {other.value:.4g} ({_words(points, other)}) '
            f'after {sum(each.updates for each in searched)}.'
        )
    figure = _figure(of_rungs, words)
    return Analysis('Successive halving', verdict, [table], [figure])


def _row(standings):
    """Configurations, updates, the best value and whose it is."""
    if not standings:
        return [0, 0, '', '']
    best = min(standings, key=lambda each: each.cost)
    updates = sum(each.updates for each in standings)
    return [len(standings), updates, best.value, best.configuration]


def _words(points, standing):
    values = points[standing.configuration].items()
    return ', '.join(f'{path.rpartition(".")[2]} {value:.3g}' for path, value in values)


def _figure(of_rungs, words):
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
    return Figure('rungs', 'Configurations by rung', *labels, series, 'log', caption=_CAPTION)
