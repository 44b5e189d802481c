"""Does the distance from the initial weights grow like the logarithm of the updates, at constant
rate?"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lbexp import results
from lbexp.analysis import (
    REPRODUCED,
    UNDECIDED,
    Analysis,
    Figure,
    Series,
    Table,
    below,
    format_interval,
    judged,
)
from lbexp.ranges import Positive, PositiveInteger, Trials
from lbexp.studies import Study, Trial, _papers
from lbexp.studies._comparison import compare
from lbexp.studies._diffusion import curve, held_out_errors, log_spaced
from lbexp.studies._seeds import moved

_POINTS = 24  # of a path, evenly spaced in log t
_AS_GOOD = math.log(1.1)  # held-out error that counts as no higher, logarithm of the ratio
_LOG, _ROOT = 0.0, 0.5  # powers: log t, and a random walk


class _Paths(NamedTuple):
    """Of a batch size: the seeds that went to the end."""

    t: np.ndarray  # [n] updates
    distances: np.ndarray  # [seeds, n]
    lost: int  # seeds that diverged


def weight_diffusion(
    batch_sizes: Sequence[PositiveInteger] = (32, 128, 512),
    learning_rate: Positive = 0.02,
    updates: PositiveInteger = 4000,
    seeds: Trials = 8,
) -> Study:
    """Batch sizes at constant rate, which grows with the root of the batch size (Hoffer, Hubara,
    Soudry 2017, arXiv:1705.08741, section 4); the distance |w_t - w_0| (probe distance) at points
    evenly spaced in log t.

    Three curves are compared, each a straight line in log t, in t^1/2, or in t^p with p fitted: by
    how far each, fitted to the mean of all other seeds, misses a seed. Claims, of each batch size,
    the effect of a seed being the logarithm of a ratio of mean squares: log t misses by less than
    t^1/2, and by at most 10 % more than t^p.

    Args:
        batch_sizes: examples per update.
        learning_rate: of the smallest batch size.
        updates: of each trial.
        seeds: of each batch size; below 6 nothing is decided.
    """
    sizes = sorted(set(batch_sizes))

    def trials(config):
        asked = []
        for size in sizes:
            for seed in range(seeds):
                overrides = {
                    'batch_size': size,
                    'batch_scaling.rule': 'square_root',
                    'batch_scaling.reference': sizes[0],
                    'optimizer.learning_rate': learning_rate,
                    'probes': [dict(name='distance')],
                    'steps': updates,
                    'seed': seed,
                }
                asked.append(Trial(overrides, {'case': f'batch {size}'}))
        return moved(asked, config.seed)

    return Study(trials, lambda workdir: _analysis(workdir, sizes))


def _analysis(workdir, sizes):
    paths_of = _paths(workdir, sizes)
    claims, rows = [], []
    for name, paths in paths_of.items():
        # a curve through the others needs one of them
        if len(paths.distances) < 2:
            rows.append([name, 'fewer than two seeds', '', '', ''])
            continue
        claims += _claims(name, paths)
        rows.append(_row(name, paths))
    outcomes = [claim.outcome for claim in claims]
    passed = None if UNDECIDED in outcomes else set(outcomes) <= {REPRODUCED}
    words = f'{outcomes.count(REPRODUCED)} of {len(claims)} claims on log t are reproduced.'
    columns = ['', 'exponent p', 'misses by: log t', 't^1/2', 't^p']
    caption = (
        'Exponent of the best t^p of each seed, 0 being log t. Misses: root mean square distance '
        'of a seed from the curve through the mean of the others. Medians and intervals over seeds.'
    )
    table = Table('Curves through the distance', columns, rows, caption)
    return Analysis('Weight diffusion', words, [table], [_figure(paths_of)], passed, claims)


def _paths(workdir, sizes):
    rows, finals = results.read(workdir), results.final(workdir)
    done = set(finals['trial'][finals['status'] == 'done'].tolist())
    paths_of = {}
    for size in sizes:
        name = f'batch {size}'
        trials = [trial for trial, tags in results.roles(workdir) if tags.get('case') == name]
        sound = [trial for trial in trials if trial in done]
        t, distances = compare.path(rows, sound, 'step', 'distance')
        if len(t):
            places = log_spaced(t, _POINTS)
            t, distances = t[places], distances[:, places]
        paths_of[name] = _Paths(t, distances, len(trials) - len(sound))
    return paths_of


def _claims(name, paths):
    """That log t tells of a seed better than t^1/2, and no worse than t^p."""
    errors = [held_out_errors(paths.t, paths.distances, power) for power in (_LOG, _ROOT, None)]
    # a seed that diverged may have had any effect
    lost = np.full(paths.lost, np.nan)
    over_root = np.concatenate([np.log(errors[0] / errors[1]), lost])
    over_power = np.concatenate([np.log(errors[0] / errors[2]), lost])
    words = 'mean square error on a held-out seed, log t over {}, logarithm: {}'
    start = f'{name}: the distance from the initial weights'
    first = judged(
        f'{start} grows like log t rather than t^1/2 (Hoffer et al. 2017)',
        words.format('t^1/2', format_interval(over_root)),
        below,
        over_root,
    )
    second = judged(
        f'{start} is told by log t as well as by a fitted t^p, within 10% (ours)',
        words.format('t^p', format_interval(over_power)),
        below,
        over_power,
        _AS_GOOD,
    )
    return [first._replace(paper=_papers.HOFFER_DIFFUSION), second]


def _row(name, paths):
    exponents = [curve(paths.t, path).power for path in paths.distances]
    cells = [name, format_interval(exponents)]
    for power in (_LOG, _ROOT, None):
        cells.append(format_interval(np.sqrt(held_out_errors(paths.t, paths.distances, power))))
    return cells


def _figure(paths_of):
    """Distance against updates, with the line in log t through the mean of the seeds."""
    series = []
    for name, paths in paths_of.items():
        if len(paths.distances):
            t = paths.t
            series.append(compare.band(name, t, paths.distances)._replace(group=name))
            line = curve(t, paths.distances.mean(axis=0), _LOG).at(t)
            series.append(Series(f'{name}, log t', t.tolist(), line.tolist(), group=name))
    caption = 'Bands: all seeds, with their median. Lines: straight in log t, through their mean.'
    labels = 'updates', 'distance from the initial weights'
    return Figure('diffusion', 'Weight diffusion', *labels, series, 'log', 'linear', caption)
