"""The study of branches: critical batch sizes of known curves, and claims of planted losses and
noise scales."""

import math
import pathlib

import numpy as np
import pytest
from planted import outcomes
from rounds import analysis, rounds

import lbexp
from lbexp import config as configs
from lbexp.analysis import NOT_REPRODUCED, REPRODUCED, UNDECIDED
from lbexp.config import check
from lbexp.studies._branches import Range, critical_batch, decided, log_ratio

ROOT = pathlib.Path(__file__).parents[2]
SIZES = [8, 16, 32, 64, 128, 256, 512]
SEEDS = 8
INF, NAN = math.inf, math.nan


def experiment(**study):
    config = configs.load(str(ROOT / 'experiments' / 'branching.py'))
    config.study.update(points=(64, 4096), seeds=SEEDS)
    config.study.update(study)
    return config


@pytest.mark.parametrize('critical', [8.5, 30.0, 64.0, 511.0])
def test_the_critical_batch_size_of_a_known_curve(critical):
    """Loss that rises with the logarithm of the batch size: the crossing is exact."""
    losses = [2 + 0.1 * math.log(size / 8) for size in SIZES]
    found = critical_batch(SIZES, losses, 0.1 * math.log(critical / 8))
    assert found.low == found.high == pytest.approx(critical)


@pytest.mark.parametrize(
    'losses, allowed, expected',
    [
        # the first one beyond counts, whatever comes later
        ([1, 1, 1.2, 1, 1, 1, 1], 0.1, Range(16 * math.sqrt(2), 16 * math.sqrt(2))),
        ([1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4], 0.0, Range(512, INF)),
        ([1, 1, 1, INF, INF, INF, INF], 0.1, Range(32, 64)),
        ([1, INF, 1, 1, 1, 1, 1], 0.1, Range(8, 16)),
        ([1, 1, 1, 1, 1, 1, 1.1], 0.2, Range(512, INF)),
    ],
)
def test_what_lies_between_or_beyond_the_branches(losses, allowed, expected):
    assert critical_batch(SIZES, losses, allowed) == pytest.approx(expected)


@pytest.mark.parametrize('losses', [[INF] * 7, [1, NAN, 1, 1, 1, 1, 1], [NAN] * 7])
def test_without_a_branch_nothing_is_known(losses):
    assert np.isnan(critical_batch(SIZES, losses, 0.1)).all()


@pytest.mark.parametrize(
    'last, first, effect',
    [
        (Range(64, 64), Range(16, 16), math.log(4)),
        (Range(512, INF), Range(64, 64), math.log(8)),  # that or more
        (Range(64, 64), Range(512, INF), -math.log(8)),  # that or less
        (Range(512, INF), Range(512, INF), NAN),
        (Range(32, 64), Range(32, 64), NAN),
        (Range(64, 128), Range(16, 32), math.log(2)),
        (Range(NAN, NAN), Range(16, 16), NAN),
    ],
)
def test_a_range_decides_where_all_of_it_does(last, first, effect):
    assert decided(log_ratio(last, first), 0.0) == pytest.approx(effect, nan_ok=True)


@pytest.mark.parametrize(
    'size, effect',
    [
        (Range(10, 10), 0.0),
        (Range(512, INF), -math.log(51.2)),  # surely lower
        (Range(15, INF), NAN),  # a factor of 1.5 or more
        (Range(9, 11), math.log(10 / 11)),
    ],
)
def test_a_factor_is_decided_where_all_of_the_range_is(size, effect):
    ratio = log_ratio(Range(10, 10), size)
    assert decided(ratio, -math.log(2), math.log(2)) == pytest.approx(effect, nan_ok=True)


def answers(scale_of, measured_of=None, fall=0.4, lost=()):
    """answer(configuration): losses of branches as of a quadratic of one curvature with the noise
    scale `scale_of(updates)`, and noise scales that are `measured_of(updates)`."""
    points = {}  # of the trials of the trunk, in their order

    def answer(config):
        draws = np.random.default_rng([config['seed'], config['batch_size']])
        start = config['init_from']['trial'] if config['init_from']['weights'] else None
        if start is None:
            points[len(points)] = config['steps']
            if config['seed'] in lost:
                return [dict(step=1, loss=None)], 'diverged'
            return [dict(step=config['steps'], train_loss=1.0)], 'done'
        scale = scale_of(points[start]) * math.exp(0.02 * draws.standard_normal())
        gain = fall * (8 + scale) / (config['batch_size'] + scale)
        row = dict(step=config['steps'], train_loss=1 - gain)
        if config['probes']:
            square = 0.3
            row['gradient_trace'] = square * (measured_of or scale_of)(points[start])
            row['gradient_square'] = square
        return [row], 'done'

    return answer


def planted(tmp_path, *arguments, study=None, **fields):
    config = experiment(**(study or {}))
    entries = rounds(config, tmp_path, answers(*arguments, **fields))
    return entries, analysis(config, tmp_path)


def rising(updates):
    return {64: 20.0, 4096: 120.0}[updates]


def level(updates):
    return 60.0


def falling(updates):
    return {64: 120.0, 4096: 20.0}[updates]


R, N, U = REPRODUCED, NOT_REPRODUCED, UNDECIDED


@pytest.mark.parametrize(
    'scale_of, measured_of, expected',
    [
        (rising, rising, [R, R, R, R]),
        (falling, falling, [N, N, R, R]),
        (rising, lambda updates: rising(updates) / 10, [R, R, N, N]),
        (rising, lambda updates: 20.0, [R, U, R, N]),
        # beyond the largest branch: as large as that or more
        (lambda updates: 100 * rising(updates) - 1980, rising, [R, R, R, N]),
        # all of it beyond: nobody knows whether it rises
        (lambda updates: 1e4, level, [U, U, N, N]),
    ],
)
def test_claims_follow_the_losses(tmp_path, scale_of, measured_of, expected):
    _, answer = planted(tmp_path, scale_of, measured_of)
    assert outcomes(answer) == expected
    passed = None if U in expected else set(expected) == {R}
    assert answer.passed is passed
    assert [figure.name for figure in answer.figures] == ['branching', 'branches']


def test_half_the_gain_is_the_noise_scale_and_two_batches(tmp_path):
    """k B + S = 2 (B + S), up to the line between two branches."""
    _, answer = planted(tmp_path, rising)
    first, last = answer.tables[0].rows
    for row, scale in ((first, 20.0), (last, 120.0)):
        assert float(row[3].split()[0]) == pytest.approx(scale + 16, rel=0.1)
        assert float(row[4].split()[0]) == pytest.approx(scale)
    assert first[:3] == ['64', '1 [1, 1]', '0.4 [0.4, 0.4]']


def test_an_absolute_epsilon_rises_where_training_is_slower(tmp_path):
    """Of one noise scale: a smaller gain lets larger batches pass."""
    study = dict(epsilon=0.05, relative=False)
    sizes = []
    for fall in (0.4, 0.2):
        _, answer = planted(tmp_path / str(fall), level, fall=fall, study=study)
        sizes.append(float(answer.tables[0].rows[0][3].split()[0]))
    # gains differ by epsilon: (k B + S) = (B + S) fall / (fall - epsilon)
    expected = [68 * fall / (fall - 0.05) - 60 for fall in (0.4, 0.2)]
    np.testing.assert_allclose(sizes, expected, rtol=0.05)


def test_branches_of_nothing_gained_say_nothing(tmp_path):
    study = dict(epsilon=0.05, relative=False)
    _, answer = planted(tmp_path, level, fall=0.04, study=study)
    assert outcomes(answer)[0] == UNDECIDED
    assert f'{SEEDS} of {SEEDS} are not known' in answer.claims[0].measured
    assert answer.tables[0].rows[0][3] == f'none; {SEEDS} of {SEEDS} not known'


def test_branches_begin_where_their_trunk_is(tmp_path):
    """From the trial of their point and seed, with its optimizer state, at equal examples; the
    noise scale is of the smallest batch. What diverged has none."""
    entries, answer = planted(tmp_path, rising, lost=(2,))
    by_trial = {entry['trial']: entry for entry in entries}
    branches = [entry for entry in entries if entry['round'] == 1]
    assert len(branches) == 2 * (SEEDS - 1) * len(SIZES)
    for entry in branches:
        fields, (tags,) = entry['overrides'], entry['tags']
        (source,) = by_trial[fields['init_from.trial']]['tags']
        assert (source['point'], source['pair']) == (tags['point'], tags['pair'])
        assert fields['init_from.optimizer_state'] and tags['pair'] != 2
        assert fields['batch_size'] * fields['steps'] == 8192
        assert fields['batch_size'] == 8 * tags['multiple']
        assert ('probes' in fields) == (tags['multiple'] == 1)
    assert all('1 of 8 are not known' in claim.measured for claim in answer.claims)


@pytest.mark.parametrize(
    'optimizer, scaling, rule',
    [
        (dict(name='momentum', learning_rate=0.1), None, 'linear'),
        (dict(name='adamw', learning_rate=0.1), None, 'square_root'),
        (dict(name='adamw', learning_rate=0.1), 'square_root_adam', 'square_root_adam'),
        (dict(name='optax:adam', learning_rate=0.1), 'square_root', 'square_root'),
    ],
)
def test_the_rate_is_scaled_as_the_optimizer_has_it(optimizer, scaling, rule):
    from lbexp.config import lookup

    config = experiment(scaling=scaling)
    config.optimizer = optimizer
    trials = lookup.build('study', configs.plain(config.study)).trials(config)
    assert {trial.overrides['batch_scaling.rule'] for trial in trials} == {rule}
    assert {trial.overrides['batch_scaling.reference'] for trial in trials} == {8}


@pytest.mark.parametrize(
    'study, problem',
    [
        (dict(points=(64,)), 'points: found (64,); allowed: 2 or more, ascending'),
        (dict(points=(64, 32)), 'points: found (64, 32)'),
        (dict(batch_size=1), 'batch_size: found 1; allowed: an integer >= 2'),
        (dict(multiples=(1, 2)), 'multiples: found (1, 2)'),
        (dict(examples=1000), 'examples: found 1000; allowed: a multiple of each of [16, 32'),
        (dict(epsilon=1.5), 'epsilon: found 1.5, relative; allowed: a share < 1'),
        (dict(factor=1.0), 'factor: found 1'),
    ],
)
def test_bad_arguments_are_told_in_one_line(study, problem):
    (line,) = check.check(experiment(**study))
    assert problem in line and '\n' not in line


def test_a_rule_is_asked_for_where_none_is_known():
    config = experiment()
    config.optimizer = dict(name='optax:adam', learning_rate=0.1)
    (line,) = check.check(config)
    assert 'scaling: found None with optax:adam; allowed: a rule of batch_scaling' in line


@pytest.mark.long
@pytest.mark.parametrize('name', ['sgd', 'adamw'])
def test_it_runs(tmp_path, name):
    small = dict(points=(4, 16), multiples=(2, 4), examples=64, seeds=2)
    changes = {f'study.{field}': value for field, value in small.items()}
    changes |= {'workload.hidden': (8,), 'num_rows': 2, 'evaluate_train': 200}
    changes |= {'optimizer': dict(name=name, learning_rate=0.02)}
    result = lbexp.run(experiment(), changes, workdir=tmp_path / 'run', show=False)
    assert [claim.outcome for claim in result.claims] == [UNDECIDED] * 4
    frame = result.final()
    assert len(frame) == 2 * 2 * (1 + 3) and np.isfinite(frame['train_loss']).all()
    is_measured = frame['gradient_trace'].notna()
    assert (is_measured == (frame['multiple'] == 1)).all()
