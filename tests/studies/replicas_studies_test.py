"""The studies of workers, without training: what is run, and what is claimed of planted errors and
variances."""

import pathlib

import numpy as np
import pytest
from rounds import analysis, rounds
from worker_variances import met_variance, stale_variance

from lbexp import config as configs
from lbexp.studies._noisy_quadratic import asynchronous as async_quadratic
from lbexp.studies._noisy_quadratic import local_sgd as local_sgd_quadratic

ROOT = pathlib.Path(__file__).parents[2]


def study(name, **arguments):
    config = configs.load(str(ROOT / 'experiments' / f'{name}.py'))
    config.study.update(budget=3, **arguments)
    return config


def quadratic(config, variances, prefix, error):
    """A row of a trial on the noisy quadratic: its variances, with errors as they should be (or
    scaled by `error`)."""
    noise = np.random.default_rng(config['seed']).standard_normal(len(variances))
    spread = 0.01 * np.array(variances)
    found = {'variance': variances + spread * noise, 'variance_error': error * spread}
    return {f'{prefix}_coordinate_{name}': list(values) for name, values in found.items()}


def slow_variances(config, wrong):
    """Of W workers, by iterating moments; the same of one more step between synchronisations
    (wrong 'k'), or of one worker ('workers')."""
    way, optimizer = config['replicas'], config['optimizer']
    workers, k = way['workers'], way['k']
    if wrong == 'workers':
        workers = 1
    if wrong == 'k' and k > 1:
        k += 1
    rate, beta = optimizer['learning_rate'], optimizer.get('momentum', 0.0)
    inner = dict(beta=beta, buffer=way['buffer_policy'])
    outer = dict(mu=way['outer_momentum'], nesterov=way['nesterov'])
    alpha = way['slow_step_size']
    return [
        met_variance(workers, k, alpha, rate, a, **inner, **outer)
        for a in local_sgd_quadratic.SPECTRUM
    ]


def of_local_sgd(errors, wrong=None):
    """k and outer momentum -> test error, in place of training."""

    def rows(config):
        config['replicas']
        row = {'step': 10, 'examples': 100, 'communicated_bytes': 4.0}
        if config['workload']['name'] == 'noisy_quadratic':
            return [
                {**row, **quadratic(config, slow_variances(config, wrong), 'fast', 1.0)}
            ], 'done'
        name = _way_in_words(config)
        off = (
            0.01 * abs(np.log10(config['optimizer']['learning_rate'] / 0.1))
            if config['seed'] == 0
            else 0.0
        )
        noise = 0.0005 * np.random.default_rng(config['seed']).standard_normal()
        accuracy = 1 - errors[name] - off - noise
        return [{**row, 'test_accuracy': accuracy, 'validation_accuracy': accuracy}], 'done'

    return rows


def _way_in_words(config):
    """The key of a planted error: k where workers take whole steps to their mean."""
    way = config['replicas']
    outer, slow = way.get('outer_momentum'), way.get('slow_step_size', 1.0)
    if config['optimizer']['name'] == 'adamw':
        assert way['workers'] == 8
        if way['name'] == 'local_sgd':
            assert (way['k'], slow, outer, way.get('nesterov', True)) == (32, 0.7, 0.9, True)
            return 'diloco'
        return 'adamw'
    if outer:
        assert slow == 1.0 and way['k'] == 32
        return 'outer'
    return 'slow' if slow < 1 else way.get('k', 1)


def told(found):
    return [claim.outcome for claim in found.claims]


REPRODUCED, REFUTED = 'reproduced', 'not reproduced'
PLANTED = {1: 0.30, 4: 0.301, 8: 0.302, 32: 0.35, 'slow': 0.36, 'outer': 0.31}


@pytest.mark.parametrize(
    'errors, expected',
    [
        # the variance; k 4, 8, 32; slow step, outer momentum; DiLoCo
        (
            PLANTED | {'adamw': 0.3, 'diloco': 0.305},
            [REPRODUCED, REPRODUCED, REPRODUCED, REFUTED, REFUTED, REPRODUCED, REPRODUCED],
        ),
        (
            {1: 0.3, 4: 0.32, 8: 0.28, 32: 0.305, 'slow': 0.29, 'outer': 0.33}
            | {'adamw': 0.3, 'diloco': 0.315},
            [REPRODUCED, REFUTED, REFUTED, REPRODUCED, REPRODUCED, REFUTED, REFUTED],
        ),
        # much lower is as well, too
        (
            PLANTED | {'adamw': 0.3, 'diloco': 0.2},
            [REPRODUCED, REPRODUCED, REPRODUCED, REFUTED, REFUTED, REPRODUCED, REPRODUCED],
        ),
    ],
)
def test_claims_of_local_sgd_follow_the_errors(tmp_path, errors, expected):
    config = study('local_sgd', seeds=6, tunings=1)
    entries = rounds(config, tmp_path, of_local_sgd(errors))
    found = analysis(config, tmp_path)
    assert told(found) == expected
    assert found.passed is False and '300' not in found.verdict
    trials = [configs.resolve(config, entry['overrides']) for entry in entries]
    network = [t for t in trials if t['workload']['name'] != 'noisy_quadratic']
    # Equal examples for all: a worker's batch is the same, and as many epochs.
    assert {
        (t['batch_size'] // t['replicas']['workers'], t['epochs'], t['steps']) for t in network
    } == {(16, 10.0, None)}
    # Rows of the quadratic lie at synchronisations.
    assert all(t['steps'] % (4 * t['replicas']['k']) == 0 for t in trials if t not in network)


def test_intervals_and_regimes_of_local_sgd_are_told(tmp_path):
    """The ends of an interval are those of the order statistics of six, and 200 steps of 8 workers
    allow for k up to 5."""
    config = study('local_sgd', seeds=6, tunings=1)
    shifts = dict(zip(range(1, 7), (0.05, 0.005, 0.04, 0.02, 0.06, 0.03), strict=True))

    def rows(config):
        (row,), status = of_local_sgd(PLANTED | {'adamw': 0.3, 'diloco': 0.3})(config)
        if config['workload']['name'] != 'noisy_quadratic':
            accuracy = 0.7
            if _way_in_words(config) == 8:
                accuracy -= shifts.get(config['seed'], 0.0)
            row |= {'step': 200, 'test_accuracy': accuracy, 'validation_accuracy': accuracy}
        return [row], status

    rounds(config, tmp_path, rows)
    _, four, eight, longest, *_ = analysis(config, tmp_path).claims
    assert eight.measured == (
        'test error, "local, W 8, k 8" minus "synchronous, W 8": 0.035 [0.005, 0.06]'
    )
    assert eight.outcome == 'undecided at this budget'
    regimes = [claim.paper.rpartition(' Here ')[2] for claim in (four, eight, longest)]
    assert regimes == [
        'sqrt(T / W) is 5: k 4 lies within',
        'sqrt(T / W) is 5: k 8 lies beyond',
        'sqrt(T / W) is 5: k 32 lies beyond',
    ]


@pytest.mark.parametrize('wrong', ['workers', 'k'])
def test_a_wrong_variance_is_seen(tmp_path, wrong):
    config = study('local_sgd', seeds=3, tunings=1)
    errors = dict.fromkeys((1, 4, 8, 32, 'slow', 'outer', 'adamw', 'diloco'), 0.3)
    rounds(config, tmp_path, of_local_sgd(errors, wrong=wrong))
    found = analysis(config, tmp_path)
    assert told(found)[0] == 'not reproduced' and 'do NOT agree' in found.claims[0].measured


def of_async(gains, wrong=None):
    """Workers -> what Lookahead lowers the test error by, in place of training.

    Variances by iterating moments; of one update staler (wrong 'staleness'), or of twice the noise
    ('scale').
    """

    def rows(config):
        way = config['replicas']
        row = {
            'step': 10,
            'examples': 100,
            'staleness_mean': way['workers'] - 1.0,
            'staleness_max': way['workers'],
        }
        optimizer = config['optimizer']
        wrapped = optimizer['name'] == 'lookahead'
        if config['workload']['name'] == 'noisy_quadratic':
            settings = dict(k=optimizer['k'], alpha=optimizer['slow_step_size']) if wrapped else {}
            workers = way['workers'] + (wrong == 'staleness')
            inner = optimizer['inner'] if wrapped else optimizer
            variances = np.array(
                [
                    stale_variance(way['delay'], workers, inner['learning_rate'], a, **settings)
                    for a in async_quadratic.SPECTRUM
                ]
            )
            variances *= 2 if wrong == 'scale' else 1
            return [{**row, **quadratic(config, variances, 'evaluation', 1.0)}], 'done'
        noise = 0.001 * np.random.default_rng((config['seed'], way['workers'])).standard_normal()
        accuracy = 0.7 + (gains[way['workers']] + noise if wrapped else 0.0)
        return [{**row, 'test_accuracy': accuracy, 'validation_accuracy': accuracy}], 'done'

    return rows


@pytest.mark.long
@pytest.mark.parametrize('wrong', [None, 'staleness', 'scale'])
def test_claims_of_asynchronous_lookahead_follow_the_gains(tmp_path, wrong):
    servers = ('sgd', 'momentum')
    config = study('async_lookahead', servers=servers, workers=(1, 4), repeats=8)
    config.study.update(seeds=6, tunings=1)
    entries = rounds(config, tmp_path, of_async({1: 0.02, 4: -0.01}, wrong))
    found = analysis(config, tmp_path)
    gains = [REPRODUCED, REFUTED, REPRODUCED]
    # on the quadratic: better alone, worse with three stale updates
    exact = [REPRODUCED, REFUTED]
    assert told(found) == [REFUTED if wrong else REPRODUCED, *exact, *gains, *gains]
    assert [row[1] for row in found.tables[0].rows] == [1, 4, 1, 4]
    assert [row[2] for row in found.tables[0].rows] == ['0', '3', '0', '3']
    papers = ['Zhang' in claim.paper for claim in found.claims]
    assert papers == [False, False, False, True, False, False, True, False, False]
    # a velocity of momentum 0.9 is ten gradients long: its rates are a tenth
    rates = {'sgd': [], 'momentum': []}
    for entry in entries:
        trial = configs.resolve(config, entry['overrides'])
        # of the first round, which does not leave its space
        first_round = any(dict(tags).get('extension') == 0 for tags in entry['tags'])
        if trial['workload']['name'] == 'mnist1d' and first_round:
            optimizer = trial['optimizer'].get('inner', trial['optimizer'])
            rates[optimizer['name']].append(optimizer['learning_rate'])
    assert min(rates['sgd']) >= 0.01 and max(rates['sgd']) <= 1.0
    assert np.allclose(np.unique(rates['momentum']), 0.1 * np.unique(rates['sgd']))


@pytest.mark.long
def test_equal_gains_do_not_shrink_with_workers(tmp_path):
    config = study('async_lookahead', servers=('sgd',), workers=(1, 4), repeats=8)
    config.study.update(seeds=6, tunings=1)
    rounds(config, tmp_path, of_async({1: -0.02, 4: 0.03}))
    assert told(analysis(config, tmp_path))[3:] == [REFUTED, REPRODUCED, REFUTED]


@pytest.mark.long
def test_gains_are_compared_seed_by_seed_where_one_diverged(tmp_path):
    """Each seed gains 0.03 less with 4 workers than alone; seed 2, alone, has no gain."""
    arms = dict(servers=('sgd',), workers=(1, 4), repeats=8)
    config = study('async_lookahead', **arms, seeds=10, tunings=1)

    def rows(config):
        (row,), status = of_async({1: 0.0, 4: 0.0})(config)
        way, seed = config['replicas'], config['seed']
        if config['workload']['name'] != 'noisy_quadratic':
            accuracy = 0.5
            if config['optimizer']['name'] == 'lookahead':
                accuracy += 0.1 * seed - 0.03 * (way['workers'] == 4)
            row |= dict(test_accuracy=accuracy, validation_accuracy=accuracy)
            if (seed, way['workers']) == (2, 1):
                status = 'diverged'
        return [row], status

    rounds(config, tmp_path, rows)
    less = analysis(config, tmp_path).claims[-1]
    assert less.measured == 'gain smaller by 0.03 [0.03, 0.03]; 1 of 10 diverged'
    assert less.outcome == 'reproduced'


def test_the_best_loss_is_that_of_a_search_by_hand():
    """One worker, SGD: the expected loss after 200 updates in NumPy at the rate found, and at its
    neighbours."""
    sgd, lookahead = async_quadratic.best_loss(1, 5, 0.5)

    def by_hand(rate):
        a = 1 / np.arange(1, 33)
        r = 1 - rate * a
        variance = 0.09 * (rate * a) ** 2 * (1 - r**400) / (1 - r**2)
        return np.sum(a * (r**400 + variance)) / 2

    assert sgd.loss == pytest.approx(by_hand(sgd.rate), rel=1e-6)
    assert by_hand(sgd.rate) < min(by_hand(0.9 * sgd.rate), by_hand(1.1 * sgd.rate))
    assert 1.9 < sgd.stable < 2.0 < lookahead.stable


@pytest.mark.parametrize(
    'name, arguments, words',
    [
        ('local_sgd', dict(margin=0.0), 'margin: found 0.0'),
        ('local_sgd', dict(workers=(0, 2)), r'workers, ks: found \(0, 2\)'),
        ('async_lookahead', dict(servers=('adamw',)), 'servers: found'),
        ('async_lookahead', dict(workers=(4,)), 'workers, delay: found'),
        ('async_lookahead', dict(delay='poisson'), "'poisson'; allowed"),
    ],
)
def test_bad_arguments_are_told_in_one_line(tmp_path, name, arguments, words):
    config = study(name)
    config.study.update(**arguments)
    with pytest.raises(ValueError, match=words):
        rounds(config, tmp_path, lambda config: ([], 'done'))
