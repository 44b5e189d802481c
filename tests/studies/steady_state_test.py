"""The steady-state studies, small: theory and trainer agree, wrong formulas do not, bad input is
one line."""

import math
import pathlib

import numpy as np
import pytest

from lbexp import config as configs
from lbexp import main, results
from lbexp.config import lookup
from lbexp.engine import record, run
from lbexp.studies import convergence as convergences
from lbexp.studies import steady_state as steady
from lbexp.studies._network.spectra import Setting
from lbexp.studies._noisy_quadratic.cases import Row, verdict
from lbexp.studies._noisy_quadratic.steady_state import grid_cases
from lbexp.studies._presentation import network_steady_state as networks
from lbexp.studies.network_steady_state import windowed_variance

ROOT = pathlib.Path(__file__).parents[2]
GRID = dict(
    learning_rates=(0.5,),
    momenta=(0.9,),
    ks=(5,),
    slow_step_sizes=(0.5,),
    ema_decays=(0.9,),
    batch_sizes=(1, 4),
)


# Each is a program of its own: Nesterov, the other buffers, LARS and NovoGrad are left to the long
# reproductions.
CASES = {
    'SGD',
    'momentum',
    'EMA of SGD',
    'Lookahead(SGD)',
    'Lookahead(momentum), reset',
    'SGD + noise',
    'Lookahead(SGD), cycle',
    'LAMB',
}


def study(config, workdir):
    """Runs a study's trials as main does and returns the study."""
    made = lookup.build('study', configs.plain(config.study))
    trials = [trial for trial in made.trials(config) if trial.tags['case'] in CASES]
    record.record(workdir, configs.plain(config), trials)
    run.run([configs.resolve(config, trial.overrides) for trial in trials], workdir)
    return made


@pytest.fixture(scope='module')
def workdir(tmp_path_factory):
    config = configs.load(str(ROOT / 'experiments' / 'steady_state.py'))
    config.workload.replicas = 300
    config.study = dict(name='steady_state', updates=1500, **GRID)
    workdir = tmp_path_factory.mktemp('steady')
    study(config, workdir)
    return workdir


def analyse(workdir, theory=None):
    return steady.analyse(workdir, list(grid_cases(**GRID)), theory)


@pytest.mark.long
def test_theory_and_trainer_agree(workdir):
    analysis = analyse(workdir)
    assert analysis.passed, analysis.verdict
    (table,) = analysis.tables
    known = [row for row in table.rows if row[11] != 'none']
    assert len(known) >= 44
    assert {row[0] for row in table.rows} == CASES
    assert {figure.name for figure in analysis.figures} == {'variance_ratio', 'path', 'saw_tooth'}


@pytest.mark.long
def test_the_way_to_rest_is_the_recursion(workdir):
    """The trainer's mean loss within five standard errors of theory at every row, before and at
    rest."""
    (path,) = [figure for figure in analyse(workdir).figures if figure.name == 'path']
    for line, points in zip(path.series[::2], path.series[1::2], strict=True):
        exact, seen = np.asarray(line.y), np.asarray(points.y)
        error = (np.asarray(points.high) - seen) / 2
        # one error from four trials alone is a poor guess
        pooled = np.sqrt(np.mean((error / exact) ** 2)) * exact
        assert np.all(np.abs(seen - exact) < 5 * pooled), line.name
        # momentum passes the optimum, then overshoots
        assert exact.max() > 1.5 * exact[-1], 'the way starts at rest'


def without_second_order(facts, noise):
    """gamma v / 2 instead of gamma a v / (2 - gamma a): the limit of small steps."""
    right = steady.predicted(facts, noise)
    return (
        facts['gamma'] * facts['a'] * noise / 2
        if facts['label'] == 'SGD' and facts['B'] == 1
        else right
    )


def momentum_as_a_larger_rate(facts, noise):
    """SGD's variance at gamma / (1 - beta): right to first order only."""
    if facts['label'] != 'momentum':
        return steady.predicted(facts, noise)
    h = facts['gamma'] * facts['a'] / (1 - facts['beta'])
    return h * noise / (2 - h) if h < 2 else math.inf


def one_power_of_r(facts, noise):
    """Proposition 2 with r^k in the place of r^2k."""
    if facts['label'] != 'Lookahead(SGD)' or facts['weights'] != 'deployed':
        return steady.predicted(facts, noise)
    h, k, alpha = facts['gamma'] * facts['a'], facts['k'], facts['alpha']
    q = (1 - h) ** k
    top = alpha**2 * (1 - q)
    return top / (top + 2 * alpha * (1 - alpha) * (1 - q)) * h * noise / (2 - h)


@pytest.mark.long
@pytest.mark.parametrize('wrong', [without_second_order, momentum_as_a_larger_rate, one_power_of_r])
def test_the_verdict_rejects_a_wrong_formula(workdir, wrong):
    analysis = analyse(workdir, wrong)
    assert analysis.passed is False, analysis.verdict
    assert 'do NOT agree' in analysis.verdict


@pytest.mark.parametrize('factor, passes', [(1.0, True), (0.5, False), (3.0, False)])
def test_the_verdict_rejects_wrong_error_bars(factor, passes):
    """Half as wide as they should be, as where autocorrelation is ignored, or three times: |z|
    alone is blind."""
    generator = np.random.default_rng(0)
    facts = {'weights': 'deployed'}
    noise = np.clip(generator.standard_normal(150), -1.9, 1.9)  # none beyond 4, whatever the factor
    rows = [Row('SGD', facts, 1 + 0.01 * n, 0.01 * factor, 1.0, i) for i, n in enumerate(noise)]
    passed, words = verdict(rows)
    assert max(abs(row.z) for row in rows) < 4
    assert passed is passes, words


def test_the_verdict_on_rows_without_any_difference():
    """No logarithm of nothing."""
    passed, words = verdict([Row('SGD', {'weights': 'deployed'}, 1.0, 0.01, 1.0, 0)] * 9)
    assert 'largest |z| 0.00 (p 1 for' in words and not passed


@pytest.mark.parametrize(
    'argument, told',
    [
        # gamma a = 2.04
        ('--config.study.learning_rates=(1.7,)', 'spectral radius of a cycle: found 1.04'),
        ('--config.study.slow_step_sizes=(0.5, 1.5)', 'slow_step_sizes: found [0.5, 1.5]'),
        ('--config.study.ks=(0,)', 'ks: found [0]; allowed: a list, each an integer >= 1'),
        ('--config.workload.noise=-1.0', 'noise'),
        ('--config.workload.curvature=-1.0', 'curvature'),
    ],
)
def test_bad_input_is_one_line(capsys, argument, told):
    assert main.main(['main', '--config=experiments/steady_state.py', argument]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line, line


@pytest.mark.long
def test_rates_of_convergence(tmp_path):
    config = configs.load(str(ROOT / 'experiments' / 'quadratic_convergence.py'))
    config.study = dict(name='convergence', conditions=(100.0,), momenta=(0.9,))
    made = lookup.build('study', configs.plain(config.study))
    overrides = [trial.overrides for trial in made.trials(config)]
    run.run([configs.resolve(config, each) for each in overrides], tmp_path)
    rows = results.read(tmp_path)
    for trial, given in enumerate(overrides):
        mine = rows['trial'] == trial
        found = convergences.measured_rate(rows['step'][mine], rows['parameter_norm'][mine])
        # The cycle as an explicit matrix, for every curvature of the workload: NumPy, not
        # lbexp.theory.
        slowest = max(_radius(given['optimizer'], a) for a in given['workload.spectrum'])
        assert found == pytest.approx(1 - slowest, rel=0.03)


def _radius(optimizer, a):
    """Spectral radius per update of momentum, or of Lookahead around it, on curvature a: state (x,
    m)."""
    inner = optimizer.get('inner', optimizer)
    rate, beta = inner['learning_rate'], inner['momentum']
    step = np.array([[1 - rate * a, -rate * beta], [a, beta]])
    if inner is optimizer:
        return np.abs(np.linalg.eigvals(step)).max()
    k, alpha = optimizer['k'], optimizer['slow_step_size']
    power = np.linalg.matrix_power(step, k)
    # At the start of a cycle slow = fast. A reset buffer starts at 0 and ends at 0.
    cycle = np.array([[1 - alpha, 0], [0, 0]]) + np.diag([alpha, 1.0]) @ power
    if optimizer['buffer_policy'] == 'reset':
        cycle = np.array([[cycle[0, 0], 0.0], [0.0, 0.0]])
    return np.abs(np.linalg.eigvals(cycle)).max() ** (1 / k)


def test_windowed_variance_is_that_of_a_simulation():
    """Three directions, one nearly flat, in float64 NumPy: 4000 replicas, error bars of the
    mean."""
    generator = np.random.default_rng(0)
    a, c, gamma, updates, k, alpha = (
        np.array([1.0, 0.1, 1e-4]),
        np.array([1.0, 2.0, 0.5]),
        0.3,
        200,
        5,
        0.5,
    )
    for slow in (None, alpha):
        x = generator.standard_normal((4000, 3)) * np.sqrt(_rest(a, c, gamma, k, slow))
        phi, seen = x.copy(), []
        for t in range(1, updates + 1):
            x = x - gamma * (a * x + np.sqrt(c) * generator.standard_normal(x.shape))
            if slow is not None and t % k == 0:
                phi = x = phi + slow * (x - phi)
            seen.append(x if slow is None else phi)
        each = np.var(np.stack(seen[k - 1 :] if slow is not None else seen), axis=0).sum(axis=1)
        error = each.std() / math.sqrt(len(each))
        assert (
            abs(each.mean() - windowed_variance(a, c, gamma, updates, k, slow))
            < 4 * error + 0.01 * each.mean()
        )


def test_beyond_the_stability_limit_there_is_no_prediction():
    """gamma a >= 2 along one direction of a network: told in words, in no ratio, and no warning of
    NumPy."""
    assert windowed_variance([1.0, 7.0], [1.0, 1.0], 0.3, 10**6) == math.inf
    assert windowed_variance([1.0, 7.0], [1.0, 1.0], 0.3, 10**6, 5, 0.5) == math.inf
    sound = np.array(
        [[2.0, 2.0, 2.0], [1.0, 1.0, 1.0], [0.1] * 3, [0.0] * 3, [0.5] * 3, [100.0] * 3]
    )
    beyond = np.array(
        [[2.0, 2.0, 2.0], [1.0, math.inf, math.inf], [0.1] * 3, [0.0] * 3, [2.1] * 3, [100.0] * 3]
    )
    sound, beyond = networks.Columns(*sound), networks.Columns(*beyond)
    plain = {Setting(None, 0.1, 8): sound, Setting(None, 0.2, 8): beyond}
    words = networks.verdict({**plain, Setting(0.5, 0.2, 8): beyond})
    assert '4 of 9 trials are beyond the stability limit' in words
    assert 'measured over predicted 2.00 [2.00, 2.00]' in words
    rows = networks.table(plain, 5).rows
    assert rows[1][7] == pytest.approx(2.0)


def _rest(a, c, gamma, k, alpha):
    r = 1 - gamma * a
    variance = gamma**2 * c / (1 - r**2)
    if alpha is None:
        return variance
    return variance * alpha**2 * (1 - r ** (2 * k)) / (1 - (1 - alpha + alpha * r**k) ** 2)
