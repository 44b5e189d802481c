"""The study of a linear probe: classifiers against closed forms, claims on known accuracies."""

import json

import numpy as np
import pytest
from rounds import analysis, rounds
from training import tiny

from lbexp.errors import Refusal
from lbexp.studies._network.features import linear_accuracy, neighbour_accuracy
from lbexp.studies.linear_probe import PROBE_FILE, measure_features, read_accuracies

GENERATOR = np.random.default_rng(0)


def clouds(count, distance):
    """Two classes, normal around +-distance / 2 along the first of three axes."""
    labels = GENERATOR.integers(0, 2, count)
    x = GENERATOR.normal(size=(count, 3))
    x[:, 0] += (labels - 0.5) * distance
    return x, labels


def test_a_logistic_regression_finds_the_best_line():
    """Two normal clouds at distance d: no classifier is right more often than Phi(d / 2)."""
    x, y = clouds(4000, 2.0)
    test_x, test_y = clouds(4000, 2.0)
    # a feature that says nothing, and scales that differ by millions
    scale = np.array([1e3, 1e-3, 0.0])
    accuracy = linear_accuracy(x * scale, y, test_x * scale, test_y)
    assert accuracy == pytest.approx(0.8413, abs=3 * np.sqrt(0.8413 * 0.1587 / 4000))
    shuffled = linear_accuracy(x, GENERATOR.permutation(y), test_x, test_y)
    assert shuffled < 0.6


def test_its_optimum_is_that_of_scipy_on_the_equation():
    """The penalised likelihood in its plain form: the same answers on every example."""
    from scipy.optimize import minimize

    x, y = clouds(40, 1.0)
    z = (x - x.mean(0)) / x.std(0)

    def objective(flat):
        w = flat.reshape(4, 2)
        logits = z @ w[:3] + w[3]
        p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        return -np.log(p[np.arange(40), y]).sum() + (w[:3] ** 2).sum() / 2

    w = minimize(objective, np.zeros(8), options=dict(gtol=1e-6)).x.reshape(4, 2)
    points, _ = clouds(300, 1.0)
    answers = (((points - x.mean(0)) / x.std(0)) @ w[:3] + w[3]).argmax(1)
    assert linear_accuracy(x, y, points, answers) >= 0.99


def test_neighbours_by_sorting():
    x, y = GENERATOR.normal(size=(60, 4)), GENERATOR.integers(0, 3, 60)
    test_x, test_y = GENERATOR.normal(size=(700, 4)), GENERATOR.integers(0, 3, 700)
    right = 0
    for point, label in zip(test_x, test_y):
        cosines = (x @ point) / np.linalg.norm(x, axis=1) / np.linalg.norm(point)
        votes = np.bincount(y[np.argsort(-cosines)[:5]], minlength=3)
        right += votes.argmax() == label
    assert neighbour_accuracy(x, y, test_x, test_y, 5) == right / 700
    # lengths do not matter; of its own examples each is its nearest
    assert neighbour_accuracy(x, y, 3 * x, y, 1) == 1


@pytest.fixture
def config():
    return tiny(study=dict(name='linear_probe', seeds=6), workload=dict(name='digits_mlp'))


def write(workdir, gains):
    """Accuracies in which training adds these to what each probe had."""
    untrained = {'linear': 0.7, 'neighbours': 0.6}
    accuracies = {}
    for trial, gain in enumerate(gains):
        accuracies[str(trial)] = {
            'step': 24,
            'labelled': 50,
            'voters': 5,
            'trained': {'linear': 0.7 + gain, 'neighbours': 0.6 - gain},
            'untrained': untrained,
        }
    (workdir / PROBE_FILE).write_text(json.dumps(accuracies))


def test_claims_are_of_trained_less_untrained(config, tmp_path):
    rounds(config, tmp_path, lambda trial: ([{'step': 24, 'loss': 1.0}], 'done'))
    assert not analysis(config, tmp_path).claims
    write(tmp_path, [0.1, 0.11, 0.12, 0.13, 0.14, 0.15])
    measured = analysis(config, tmp_path)
    outcomes = [claim.outcome for claim in measured.claims]
    assert outcomes == ['reproduced', 'not reproduced'] and measured.passed is False
    assert measured.tables[0].rows[0] == [
        'linear probe',
        '0.825 [0.8, 0.85]',
        '0.7 [0.7, 0.7]',
        '0.125 [0.1, 0.15]',
    ]
    # one whose features nobody measured may be anything
    write(tmp_path, [0.1, 0.11, 0.12, 0.13, 0.14])
    measured = analysis(config, tmp_path)
    assert measured.claims[0].outcome == 'undecided at this budget' and measured.passed is None
    (tmp_path / PROBE_FILE).write_text('{"0": 3}')
    with pytest.raises(Refusal, match='found a damaged file'):
        analysis(config, tmp_path)


def test_trials_are_seeds_that_move_with_the_configuration(config, tmp_path):
    config.seed = 1
    entries = rounds(config, tmp_path, lambda trial: ([{'step': 24, 'loss': 1.0}], 'done'))
    assert [entry['overrides']['seed'] for entry in entries] == list(range(4096, 4102))


@pytest.mark.long
def test_features_are_measured_once(tmp_path):
    """Of a contrastive encoder on the digits; again where the question has changed."""
    from networks import trained

    part = dict(
        name='contrastive',
        data='digits',
        model=dict(name='cnn', channels=(8,), hidden=16),
        augment=dict(shift=0.2),
    )
    optimizer = dict(name='adamw', learning_rate=3e-3)
    config = tiny(workload=part, optimizer=optimizer, sweep=(('seed', (0, 1)),), batch_size=64)
    workdir = trained(config, tmp_path / 'run')
    measure_features(workdir, 200, 5, 'label')
    accuracies = read_accuracies(workdir)
    assert sorted(accuracies) == ['0', '1']
    for of_trial in accuracies.values():
        for network in ('trained', 'untrained'):
            assert 0.5 < of_trial[network]['neighbours'] < 1
        assert of_trial['trained'] != of_trial['untrained']
    assert accuracies['0']['untrained'] != accuracies['1']['untrained']
    stamp = (workdir / PROBE_FILE).stat().st_mtime_ns
    measure_features(workdir, 200, 5, 'label')
    assert (workdir / PROBE_FILE).stat().st_mtime_ns == stamp
    measure_features(workdir, 100, 5, 'label')
    assert read_accuracies(workdir)['0']['labelled'] == 100
    with pytest.raises(Refusal, match=r'labelled: found 3; allowed: 5 \.\. 1438'):
        measure_features(workdir, 3, 5, 'label')
    with pytest.raises(Refusal, match=r"label: found 'class'; allowed: 'image', 'label'"):
        measure_features(workdir, 50, 5, 'class')
