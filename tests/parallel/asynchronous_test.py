"""Asynchronous workers: by their equations, alone, and how stale what they push is."""

import numpy as np
import pytest
from replica_cases import BITS, MOMENTUM, NORMED, SGD, asynchronous, close, noise_of, only
from training import tiny, train

from lbexp.config import lookup

pytestmark = pytest.mark.usefixtures('shared_programs')


@pytest.mark.long
@pytest.mark.parametrize('push', ['gradient', 'delta'])
def test_a_lone_asynchronous_worker_is_synchronous_training(tmp_path, push):
    """To the bit, with Lookahead at the server; a delta of one step with rate 1 is its gradient."""
    optimizer = dict(name='lookahead', inner=MOMENTUM, k=3)
    fields = dict(workload=NORMED, batch_size=32, optimizer=optimizer, num_rows=24)
    plain = train(tiny(**fields), tmp_path / 'plain')
    way = asynchronous(workers=1, push=push, inner_learning_rate=1.0)
    found = train(tiny(**fields, replicas=way), tmp_path / 'found')
    names = [name for name in plain[-1] if name != 'communicated_bytes']
    if push == 'gradient':
        alone = train(
            tiny(**fields, replicas=dict(name='synchronous', workers=1)), tmp_path / 'synchronous'
        )
        assert only(found, *BITS) == only(alone, *BITS) == only(plain, *BITS)
        close(only(found, *names), only(plain, *names), 1e-5)
        close(only(alone, *names), only(plain, *names), 1e-5)
    else:  # w - (w - g) is g up to rounding
        close(only(found, *names), only(plain, *names), 1e-3)
    assert {row['staleness_max'] for row in found} == {0}


def test_asynchronous_training_is_its_equations(tmp_path):
    """Constant times: gradients at weights of three updates ago, deltas of two steps; in float64
    NumPy."""
    workload = dict(name='noisy_quadratic', curvature=0.7, noise=0.5, start=2.0)
    way = asynchronous(push='delta', k=2, inner_learning_rate=0.3)
    server = dict(name='sgd', learning_rate=0.4)
    fields = dict(
        workload=workload, optimizer=server, batch_size=4, steps=12, num_rows=12, num_evaluations=12
    )
    rows = train(tiny(**fields, replicas=way), tmp_path)
    x, copies = 2.0, [2.0] * 4
    for t, row in enumerate(rows):
        fast = copies[t % 4]
        for piece in range(2):
            positions = np.arange(2) + 4 * t + 2 * piece
            fast -= 0.3 * 0.7 * (fast - 0.5 * noise_of(workload, positions)[:, 0, 0].mean())
        x -= 0.4 * (copies[t % 4] - fast)
        copies[t % 4] = x
        assert row['test_loss'] == pytest.approx(0.35 * x**2, rel=1e-4)
        assert row['staleness_max'] == row['staleness_mean'] == min(t, 3)


def staleness(tmp_path, **given):
    """Of each update of a run."""
    count = given.pop('steps', 64)
    fields = dict(
        workload=dict(name='noisy_quadratic'),
        optimizer=SGD,
        batch_size=1,
        steps=count,
        num_rows=count,
    )
    rows = train(
        tiny(**fields, num_evaluations=0, num_checkpoints=0, replicas=asynchronous(**given)),
        tmp_path,
    )
    return np.array([row['staleness_max'] for row in rows])


def test_staleness_of_constant_times(tmp_path):
    assert staleness(tmp_path, workers=5).tolist() == [0, 1, 2, 3] + [4] * 60


@pytest.mark.long
def test_staleness_without_memory_is_geometric(tmp_path):
    """P(s) = (1 - 1/W)^s / W, chi-square over the bins s = 0 .. 9 and beyond; the p-value is that
    of this seed."""
    from scipy import stats

    found = staleness(tmp_path, workers=4, delay='geometric', steps=2000)[50:]
    law = 0.75 ** np.arange(10) / 4
    counts = np.bincount(np.minimum(found, 10), minlength=11)
    expected = len(found) * np.append(law, 1 - law.sum())
    assert stats.chisquare(counts, expected).pvalue > 0.001
    assert found.mean() == pytest.approx(3, abs=0.3)
    wrong = len(found) * np.append(0.8 ** np.arange(10) / 5, 0.8**10)  # five workers
    assert stats.chisquare(counts, wrong * counts.sum() / wrong.sum()).pvalue < 1e-6


def test_staleness_of_a_trace(tmp_path):
    """Jobs of 1, 2, 3 (again and again) on two workers, by hand: who pushes, and what happened
    since it pulled."""
    found = staleness(tmp_path, workers=2, delay='trace', trace=(1.0, 2.0, 3.0), steps=8)
    trace, end, pulled, expected, job = [1, 2, 3], [1.0, 2.0], [0, 0], [], 2
    for update in range(8):
        worker = int(np.argmin(end))
        expected.append(update - pulled[worker])
        pulled[worker], end[worker] = update + 1, end[worker] + trace[job % 3]
        job += 1
    assert found.tolist() == expected and max(expected) > 1


@pytest.mark.parametrize(
    'given, words',
    [
        (dict(delay='poisson'), 'delay: found poisson; allowed: constant, geometric, trace'),
        (dict(delay='trace'), "trace: found 0 durations with delay 'trace'"),
        (dict(delay='trace', trace=(1.0, 0.0)), 'trace: found 0.0; allowed: durations > 0'),
        (dict(push='weights'), 'push: found weights; allowed: gradient, delta'),
        (dict(inner_learning_rate=0.0), 'inner_learning_rate: found 0.0'),
        (dict(workers=True), 'workers: found True'),
    ],
)
def test_what_no_server_does(given, words):
    with pytest.raises(ValueError, match=words):
        lookup.build('replicas', asynchronous(**given))
