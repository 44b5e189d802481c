"""Feature bagging: ensembles against NumPy, claims on known differences, one cohort."""

import json

import numpy as np
import pytest
from rounds import analysis, rounds
from training import tiny

import lbexp
from lbexp import config as configs
from lbexp.config import lookup
from lbexp.engine import record, run
from lbexp.engine.fingerprint import fingerprint
from lbexp.engine.plan import plan
from lbexp.errors import Refusal
from lbexp.studies.feature_bagging import ENSEMBLE_FILE, compared, measure_ensembles

CLICKS = dict(
    name='binary',
    data=dict(name='made_data:clicks'),
    model=dict(name='dcn', hidden=(8,), embedding=4),
)


def experiment(**fields):
    optimizer = dict(name='adamw', learning_rate=0.01)
    study = dict(name='feature_bagging', members=3, share=0.6)
    return tiny(**{'workload': CLICKS, 'optimizer': optimizer, 'study': study, **fields})


def loss(logits, labels):
    p = 1 / (1 + np.exp(-logits))
    return -np.mean(np.where(labels, np.log(p), np.log(1 - p)))


def test_an_ensemble_averages_logits_and_no_member_does_better_on_average():
    """By Jensen's inequality, on the examples and on every resample: the loss is convex in the
    logit."""
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, 300)
    networks = [generator.normal(2 * labels - 1, 1.5) for _ in range(4)]
    logits = {'bagged': networks, 'whole': networks[:1]}
    of_loss = compared(logits, labels)['log loss']
    together, one = of_loss['ensemble of bagged networks'], of_loss['one bagged network']
    assert together[0] == pytest.approx(loss(np.mean(networks, axis=0), labels))
    assert one[0] == pytest.approx(np.mean([loss(network, labels) for network in networks]))
    assert len(together) == 1001 and np.all(together < one)
    # an ensemble of one is that one, and the difference is draw by draw
    whole = of_loss['one whole network']
    np.testing.assert_array_equal(whole, of_loss['ensemble of whole networks'])
    less = of_loss['one whole network less ensemble of bagged networks']
    np.testing.assert_allclose(less, whole - together)


def write(workdir, difference):
    names = ['one {} network', 'ensemble of {} networks']
    values = {}
    for arm in ('bagged', 'whole'):
        values |= {name.format(arm): [0.5, 0.4, 0.6] for name in names}
    for name in names:
        values[f'{name.format("whole")} less ensemble of bagged networks'] = difference
    (workdir / ENSEMBLE_FILE).write_text(json.dumps({'AUC': values, 'log loss': values}))


@pytest.mark.parametrize(
    'difference, outcome',
    [
        ([0.01, 0.005, 0.02], 'reproduced'),
        ([-0.01, -0.02, -0.005], 'not reproduced'),
        ([0.01, -0.01, 0.03], 'undecided at this budget'),
    ],
)
def test_claims_follow_the_interval(tmp_path, difference, outcome):
    config = experiment()
    rounds(config, tmp_path, lambda trial: ([{'step': 24, 'loss': 1.0}], 'done'))
    assert not analysis(config, tmp_path).claims
    write(tmp_path, difference)
    claims = analysis(config, tmp_path).claims
    assert [claim.outcome for claim in claims] == [outcome, outcome]
    (tmp_path / ENSEMBLE_FILE).write_text('{"AUC": 3}')
    with pytest.raises(Refusal, match='found a damaged file'):
        analysis(config, tmp_path)


def test_bagged_and_whole_networks_are_one_cohort(tmp_path):
    config = experiment()
    entries = rounds(config, tmp_path, lambda trial: ([{'step': 24, 'loss': 1.0}], 'done'))
    trials = [configs.resolve(config, entry['overrides']) for entry in entries]
    (cohort,) = plan(trials)
    assert len(cohort.trials) == 6
    assert [trial['workload']['model']['share'] for trial in trials] == [0.6] * 3 + [1.0] * 3


def test_another_workload_is_refused(tmp_path):
    config = experiment(workload=dict(name='digits_mlp'))
    with pytest.raises(Refusal, match='workload: found digits_mlp; allowed: binary'):
        rounds(config, tmp_path, lambda trial: ([], 'done'))


@pytest.mark.long
def test_ensembles_of_a_run_are_those_of_its_networks(tmp_path):
    config, workdir = experiment(), tmp_path / 'run'
    asked = lookup.build('study', configs.plain(config.study)).trials(config)
    trials = [configs.resolve(config, trial.overrides) for trial in asked]
    record.record(workdir, configs.plain(config), asked, code=fingerprint(trials))
    run.run(trials, workdir)
    with lookup.trusting(None):
        measure_ensembles(workdir)
        opened = lbexp.open(workdir)
        of_trials = [opened.trial(number).metrics for number in range(6)]
    measured = json.loads((workdir / ENSEMBLE_FILE).read_text())
    for name, metric in (('AUC', 'test_auc'), ('log loss', 'test_loss')):
        values = [metrics[metric] for metrics in of_trials]
        found = measured[name]['one bagged network'][0]
        assert found == pytest.approx(np.mean(values[:3]), rel=1e-5)
        found = measured[name]['one whole network'][0]
        assert found == pytest.approx(np.mean(values[3:]), rel=1e-5)
