"""How does training go? The plain study: the trials of the sweep, and how many reach the target."""

import numpy as np

from lbexp import config as configs
from lbexp import results
from lbexp.analysis import Analysis
from lbexp.config import lookup
from lbexp.studies import Study


def training() -> Study:
    """Runs the trials of `config.sweep` (one without a sweep) and tells the final metric beside the target.

    The report draws every curve and tabulates final metrics with intervals over seeds, whatever the study.
    """
    return Study(trials=configs.trials, analyse=_analyse)


def _analyse(workdir) -> Analysis:
    finals = results.final(workdir)
    config = results.document(workdir / results.CONFIG)['config']
    title = f'{config["optimizer"]["name"]} on {config["workload"]["name"]}'
    target = lookup.build('workload', config['workload']).target
    if target is None or f'test_{target[0]}' not in finals:
        return Analysis(title, '', [], [])
    metric, value = target
    reached = finals[f'test_{metric}'] >= value
    best = np.nanmax(finals[f'test_{metric}']) if np.isfinite(finals[f'test_{metric}']).any() else float('nan')
    verdict = (
        f'{int(reached.sum())} of {len(reached)} trials end with a test {metric} of at least {value}; '
        f'the best has {best:.4f}.'
    )
    return Analysis(title, verdict, [], [])
