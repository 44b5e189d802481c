"""The reality check: equal budgets, known differences give known verdicts, best of k against its
closed form."""

import json
import math
import pathlib

import numpy as np
import pytest
from rounds import analysis, rounds

from lbexp import analysis as words
from lbexp import config as configs
from lbexp import main
from lbexp.config import check, lookup
from lbexp.studies.reality_check import best_of

ROOT = pathlib.Path(__file__).parents[2]


def experiment(**study):
    config = configs.load(str(ROOT / 'experiments' / 'reality_check.py'))
    with config.unlocked():
        config.study = {**configs.plain(config.study), 'tunings': 1, **study}
    return config


def kind(trial):
    """What is compared: LARS without its ratio is momentum."""
    optimizer = trial['optimizer']
    return 'momentum' if optimizer.get('adapt') == 'none' else optimizer['name']


def made_up(diverging=(), first=0, validation=0.0, **errors):
    """Test errors of each optimizer at its best; a few thousandths of noise that pairs share."""

    def answer(trial):
        name, seed = kind(trial), trial['seed']
        if (name, seed) in diverging:
            return [dict(step=1, loss=None)], 'diverged'
        # Tuning has the first seed and sees how far a point is off; what is reported does not.
        away = (
            0.02 * abs(math.log10(trial['optimizer']['learning_rate'] / 0.01))
            if seed == first
            else 0.0
        )
        error = (
            0.05
            + errors.get(name, 0.0)
            + away
            + 0.002 * np.random.default_rng(seed).standard_normal()
        )
        of_validation = error + validation * (name == 'lamb')
        row = dict(step=60, validation_accuracy=1 - of_validation, test_accuracy=1 - error)
        return [row], 'done'

    return answer


def test_the_verdict_follows_the_differences(tmp_path):
    config = experiment(seeds=6, margin=0.01)
    rounds(config, tmp_path / 'same', made_up(momentum=0.004, adamw=-0.004))
    found = analysis(config, tmp_path / 'same')
    assert len(found.claims) == 4 and found.passed
    assert {claim.outcome for claim in found.claims} == {words.REPRODUCED}
    rounds(config, tmp_path / 'apart', made_up(momentum=0.03))
    found = analysis(config, tmp_path / 'apart')
    outcomes = {claim.claim.split(' at batch')[0][25:]: claim for claim in found.claims}
    assert outcomes['momentum matches lars'].outcome == words.NOT_REPRODUCED
    assert 'lars has the lower error' in outcomes['momentum matches lars'].measured
    assert outcomes['adamw matches lamb'].outcome == words.REPRODUCED
    assert found.passed is False
    pairs = {row[0]: row[1] for row in found.tables[1].rows}
    assert len(pairs) == 6 and pairs['momentum - lamb'].startswith('0.03 [')
    names = {figure.name for figure in found.figures}
    assert names == {'best_of_k', 'selected', 'tried', 'sensitivity'}


def test_what_is_claimed_is_of_the_test_set(tmp_path):
    """Validation errors of LAMB are far higher: it was tuned on them, and nothing else."""
    config = experiment(seeds=6, margin=0.01)
    rounds(config, tmp_path, made_up(validation=0.1))
    found = analysis(config, tmp_path)
    assert {claim.outcome for claim in found.claims} == {words.REPRODUCED}
    assert all(abs(np.median(claim.effects)) < 0.01 for claim in found.claims)


def test_another_seed_is_another_run_of_the_same_study(tmp_path):
    """Other points, other seeds of tuning and reporting; what they say is found all the same."""
    asked = []
    for seed in (0, 1):
        config = experiment(seeds=6, margin=0.01)
        config.seed = seed
        lower = rounds(config, tmp_path / str(seed), made_up(first=4096 * seed, momentum=0.03))
        asked.append(lower)
        (table,) = analysis(config, tmp_path / str(seed)).tables[:1]
        counts = [row[table.columns.index('seeds')] for row in table.rows]
        assert counts == [6] * 4
    seeds, points = (
        [{str(entry['overrides'][path]) for entry in entries} for entries in asked]
        for path in ('seed', 'optimizer.learning_rate')
    )
    assert len(seeds[0]) == 7 and not seeds[0] & seeds[1] and not points[0] & points[1]


def test_budgets_are_equal_even_where_the_best_is_at_an_edge(tmp_path):
    """The best rate of AdamW lies within its range, that of momentum within another decade: nobody
    gets more points."""
    config = experiment(seeds=2, budget=5)
    entries = rounds(config, tmp_path, made_up())
    tuned = [kind(entry['overrides']) for entry in entries if entry['overrides']['seed'] == 0]
    assert {name: tuned.count(name) for name in set(tuned)} == dict.fromkeys(tuned, 5)
    assert len(entries) == 4 * (5 + 2)


def test_diverged_points_and_seeds_are_counted(tmp_path):
    config = experiment(seeds=4, budget=3)
    rounds(config, tmp_path, made_up(diverging={('lamb', 0), ('adamw', 2)}))
    found = analysis(config, tmp_path)
    rows = {row[0]: row for row in found.tables[0].rows}
    assert rows['lamb'][2:4] == [3, 'all diverged'] and rows['adamw'][-2:] == [4, 1]
    against = {
        claim.claim.split(' at batch')[0].split()[-1]: claim
        for claim in found.claims
        if 'adamw' in claim.claim
    }
    assert (
        against['lamb'].outcome == words.UNDECIDED and '1 of 4 diverged' in against['lars'].measured
    )
    assert found.passed is None


def test_one_seed_has_no_interval(tmp_path):
    config = experiment(seeds=1, budget=2)
    rounds(config, tmp_path, made_up())
    found = analysis(config, tmp_path)
    assert {claim.outcome for claim in found.claims} == {words.UNDECIDED}
    assert all('no interval' in claim.measured for claim in found.claims)


def test_best_of_k_is_its_closed_form():
    """E min of k draws of n: sum_i v_(i) (((n - i + 1) / n)^k - ((n - i) / n)^k); the last point
    diverged."""
    scores = np.array([0.3, 0.1, 0.5, 0.2, math.inf])
    tests = np.array([0.31, 0.15, 0.4, 0.12, math.nan])
    n, draws = len(scores), 40000
    found = best_of(scores, tests, draws)
    for which, errors in enumerate((scores, tests)):
        ordered = np.where(np.isfinite(errors), errors, 1.0)[np.argsort(scores)]
        for k in range(1, n + 1):
            chance = [((n - i) / n) ** k - ((n - i - 1) / n) ** k for i in range(n)]
            error = math.sqrt(
                np.dot(chance, ordered**2) - np.dot(chance, ordered) ** 2
            ) / math.sqrt(draws)
            assert abs(found[which, 0, k - 1] - np.dot(chance, ordered)) < 5 * error
    assert np.all(np.diff(found[0, 0]) < 0)
    # The point with the lowest validation error has not the lowest test error: selection is honest.
    assert found[1, 0, -1] > tests[3]


@pytest.mark.parametrize(
    'study, told',
    [
        (dict(optimizers=('momentum', 'adamw')), 'optimizers: found'),
        (dict(optimizers=('momentum', 'lion')), "each 'momentum', 'adamw', 'lars', 'lamb'"),
        (dict(batch_size=0), 'batch_size: found 0'),
        (dict(budget=0), 'study.budget: found 0'),
        (dict(margin=-1.0), 'margin: found -1.0'),
    ],
)
def test_bad_arguments_are_told_in_one_line(study, told):
    (problem,) = check.check(experiment(**study))
    assert told in problem and '\n' not in problem


def test_every_optimizer_takes_what_is_tuned():
    config = experiment(budget=1)
    trials = lookup.build('study', configs.plain(config.study)).trials(config)
    assert len(trials) == 4
    assert not check.check(config)


def test_momentum_is_nesterovs_with_weight_decay():
    """The arm of that name, against Optax's chain."""
    import jax
    import optax

    config = experiment(budget=1)
    trials = lookup.build('study', configs.plain(config.study)).trials(config)
    resolved = [configs.resolve(config, trial.overrides) for trial in trials]
    (part,) = [trial['optimizer'] for trial in resolved if kind(trial) == 'momentum']

    def is_matrix(params):
        return jax.tree.map(lambda leaf: leaf.ndim > 1, params)

    reference = optax.chain(
        optax.add_decayed_weights(part['weight_decay'], is_matrix),
        optax.sgd(part['learning_rate'], part['momentum'], nesterov=True),
    )
    start = {'kernel': jax.numpy.arange(6.0).reshape(2, 3) + 1, 'bias': jax.numpy.ones(3)}
    ends = []
    for optimizer in (lookup.build('optimizer', part), reference):
        params, state = start, optimizer.init(start)
        for _ in range(5):
            updates, state = optimizer.update(jax.tree.map(jax.numpy.cos, params), state, params)
            params = optax.apply_updates(params, updates)
        ends.append(params)
    for name in start:
        np.testing.assert_allclose(ends[0][name], ends[1][name], rtol=1e-5)


def test_every_optimizer_tunes_rate_momentum_and_weight_decay():
    config = experiment(budget=2)
    space = dict(
        optimizer='lamb', learning_rate=('log', 0.5, 0.6), weight_decay=('linear', 0.0, 0.1)
    )
    with config.unlocked():
        config.study.spaces = (space,)
    trials = lookup.build('study', configs.plain(config.study)).trials(config)
    assert not check.check(config)
    for trial in trials:
        tuned = {path for path in trial.overrides if path.startswith('optimizer.')}
        name = trial.tags['arm']
        momentum = 'b1' if name in ('adamw', 'lamb') else 'momentum'
        expected = ('learning_rate', 'weight_decay', momentum)
        if name == 'lamb':
            expected = expected[:2]
            assert 0.5 <= trial.overrides['optimizer.learning_rate'] <= 0.6
        assert tuned == {f'optimizer.{field}' for field in expected}


@pytest.mark.slow
def test_end_to_end_and_more_seeds_in_the_same_workdir(tmp_path):
    how = [
        '--config=experiments/reality_check.py',
        f'--workdir={tmp_path}',
        '--config.workload.hidden=(8,)',
    ]
    how += [
        '--config.epochs=4',
        "--config.study.optimizers=('adamw','lamb')",
        '--config.study.budget=2',
        '--config.study.tunings=1',
    ]
    assert main.main(['', *how, '--config.study.seeds=1']) == 0
    first = (tmp_path / 'metrics.jsonl').read_bytes()
    assert main.main(['', *how, '--config.study.seeds=2']) == 0
    rows = (tmp_path / 'metrics.jsonl').read_bytes()
    assert rows.startswith(first)
    trials = {json.loads(line)['trial'] for line in rows[len(first) :].splitlines()}
    assert len(trials) == 2 and trials.isdisjoint(
        {json.loads(line)['trial'] for line in first.splitlines()}
    )
    assert 'Nado' in (tmp_path / 'claims.md').read_text() and (tmp_path / 'report.html').exists()
