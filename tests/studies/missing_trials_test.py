"""Steady-state studies of which some trials diverged or have no spectrum: what is left is
analysed."""

import json
import pathlib

import numpy as np
import pytest
from rounds import analysis, rounds

from lbexp import config as configs
from lbexp import results
from lbexp.config import lookup
from lbexp.engine import record
from lbexp.studies import steady_state
from lbexp.studies._network.spectra import SPECTRA_FILE
from lbexp.studies._noisy_quadratic.steady_state import PATHS, grid_cases

ROOT = pathlib.Path(__file__).parents[2]
GRID = dict(
    learning_rates=(0.5,),
    momenta=(0.9,),
    ks=(5,),
    slow_step_sizes=(0.5,),
    ema_decays=(0.9,),
    batch_sizes=(1,),
)
PATH_LOSSES = [2.0, 1.0, 0.5, 0.25]


def at_rest(trial):
    columns = {
        'evaluation_coordinate_variance': [0.5],
        'evaluation_coordinate_variance_error': [0.5],
    }
    return [{'trial': trial, 'step': 1, **columns}]


def on_its_way(trial, losses):
    return [{'trial': trial, 'step': 2 * i, 'test_loss': loss} for i, loss in enumerate(losses, 1)]


def _theory(facts, noise):
    return 0.6


@pytest.mark.parametrize('count', [1, PATHS - 1, PATHS])
def test_a_path_that_diverged_is_left_out(tmp_path, count):
    """It stands still before the others end, and its last loss is no number."""
    config = configs.load(str(ROOT / 'experiments' / 'steady_state.py'))
    config.workload = dict(name='noisy_quadratic', curvature=0.5)
    config.study = dict(name='steady_state', **GRID)
    study = lookup.build('study', configs.plain(config.study))
    cases = list(grid_cases(**GRID))
    trials = [trial for trial in study.trials(config) if trial.tags['case'] == 'SGD']
    record.record(tmp_path, configs.plain(config), trials)
    rows = at_rest(0)
    for path in range(PATHS):
        scaled = [loss * (1 + path / 10) for loss in PATH_LOSSES]
        if path < count:
            scaled = [*scaled[:2], None]
        rows += on_its_way(1 + path, scaled)
    (tmp_path / 'metrics.jsonl').write_text(''.join(json.dumps(row) + '\n' for row in rows))
    figures = steady_state.analyse(tmp_path, cases, _theory).figures
    (figure,) = [figure for figure in figures if figure.name == 'path']
    if count > PATHS - 2:  # of one alone nobody knows the error
        assert figure.series == []
        return
    _, points = figure.series
    means = [loss * (1 + np.mean(range(count, PATHS)) / 10) for loss in PATH_LOSSES]
    np.testing.assert_allclose(points.y, means)
    assert list(points.x) == [2, 4, 6, 8]


@pytest.mark.parametrize('missing', [(), (0,), (0, 4)])
def test_trials_without_a_spectrum_are_left_out(tmp_path, missing):
    """V = (gamma / B)^p with another p for each seed: the slope is that of the seeds that have
    every setting, whichever trials are missing."""
    config = configs.load(str(ROOT / 'experiments' / 'network_steady_state.py'))
    config.workload.hidden = (2,)
    config.study.update(
        dict(learning_rates=(0.1,), batch_sizes=(8, 16), slow_step_sizes=(0.5,), seeds=3)
    )

    def rows(trial):
        variance = (1 / trial['batch_size']) ** (trial['seed'] + 1)
        numbers = dict(
            coordinate_variance=[variance], count=100, loss_mean=0.1, loss_stationarity_z=1.0
        )
        columns = {f'evaluation_{name}': value for name, value in numbers.items()}
        return [{'step': 1, **columns, 'evaluation_burn_in': 10}], 'done'

    entries = rounds(config, tmp_path, rows)
    spectrum = np.ones((3, 1))
    spectra = {str(e['trial']): spectrum for e in entries if e['trial'] not in missing}
    np.savez(tmp_path / SPECTRA_FILE, **spectra)
    verdict = analysis(config, tmp_path).verdict
    seeds = results.final(tmp_path)['seed']
    whole = sorted({0, 1, 2} - {int(seeds[trial]) for trial in missing})
    powers = [seed + 1 for seed in whole]
    middle = np.median(powers)
    assert f'V ~ (gamma / B)^{middle:.2f}' in verdict, verdict
    assert f'of {len(entries) - len(missing)} trials still drifted' in verdict
