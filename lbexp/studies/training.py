"""How does training go? The plain study: the trials of the sweep, and how many reach the target."""

import pathlib

import numpy as np

from lbexp import config as configs
from lbexp import results
from lbexp.analysis import Analysis
from lbexp.config import lookup
from lbexp.errors import Refusal
from lbexp.results.metrics import is_lower_better
from lbexp.studies import Study


def training() -> Study:
    """Runs the trials of `config.sweep` (one without a sweep) and tells the final metric beside the
    target.

    The report draws every curve and tabulates final metrics with intervals over seeds, whatever the
    study.
    """
    return Study(trials=configs.trials, analyse=_analyse)


def _analyse(workdir: pathlib.Path) -> Analysis:
    finals = results.final(workdir)
    optimizer, workload = results.part(workdir, 'optimizer'), results.part(workdir, 'workload')
    title = f'{optimizer["name"]} on {workload["name"]}'
    target = _target(workdir)
    if target is None or f'test_{target[0]}' not in finals:
        return Analysis(title, '', [], [])
    metric, level = target
    verdict = _verdict(metric, level, finals[f'test_{metric}'], finals['status'])
    return Analysis(title, verdict, [], [])


def _target(workdir):
    try:
        return lookup.build('workload', results.part(workdir, 'workload')).target
    except Refusal as error:
        raise Refusal(f'{workdir / results.CONFIG}: {error}') from error


def _verdict(metric, level, values, statuses):
    """A diverged trial reaches nothing, whatever its last number was: what it ends with is no
    model."""
    # no number but an array or a text
    if values.dtype.hasobject:
        return ''
    sound = values[np.isfinite(values) & (statuses != 'diverged')]
    words, is_reached, best = f'at least {level}', sound >= level, np.max
    if is_lower_better(metric):
        words, is_reached, best = f'at most {level}', sound <= level, np.min
    name = metric.replace('_', ' ')
    share = f'{is_reached.sum()} of {len(values)} trials end with a test {name} of {words}'
    if not len(sound):
        return f'{share}; none has a result.'
    return f'{share}; the best has {best(sound):.4f}.'
