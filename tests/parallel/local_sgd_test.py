"""Local SGD and DiLoCo: by their equations, at their limits, and what the devices exchange."""

import re

import jax
import numpy as np
import pytest
from replica_cases import (
    BITS,
    DIGITS,
    MOMENTUM,
    NORMED,
    ROWS,
    SGD,
    close,
    local,
    noise_of,
    only,
    states_of,
)
from training import tiny, train

from lbexp import config as configs
from lbexp.engine.plan import plan

pytestmark = pytest.mark.usefixtures('shared_programs')


@pytest.mark.parametrize(
    'momentum, k, alpha',
    [
        pytest.param('maintain', 1, 0.5, marks=pytest.mark.slow),
        pytest.param('maintain', 3, 0.3, marks=pytest.mark.long),
        ('reset', 4, 1.0),
    ],
)
def test_one_worker_is_lookahead(tmp_path, momentum, k, alpha):
    """To the bit, where XLA rounds two programs of one arithmetic alike: jax 0.12 multiplies and
    adds at once in one of them where it does not in the other."""
    fields = dict(workload=NORMED, batch_size=32, num_rows=24, num_evaluations=24)
    wrapped = dict(
        name='lookahead', inner=MOMENTUM, k=k, slow_step_size=alpha, buffer_policy=momentum
    )
    lookahead = train(tiny(**fields, optimizer=wrapped), tmp_path / 'lookahead')
    way = local(workers=1, k=k, slow_step_size=alpha, buffer_policy=momentum)
    worker = train(tiny(**fields, optimizer=MOMENTUM, replicas=way), tmp_path / 'worker')
    if jax.__version_info__ < (0, 11):
        assert only(worker, *BITS) == only(lookahead, *BITS)
    close(only(worker, *ROWS), only(lookahead, *ROWS), 1e-5)


@pytest.mark.long
def test_averaging_every_step_is_synchronous_sgd(tmp_path):
    """mean(w - rate g) = w - rate mean(g): k 1, slow step size 1, SGD; with momentum and buffers
    averaged likewise."""
    fields = dict(workload=DIGITS, batch_size=32, num_rows=24)
    for optimizer, momentum in ((SGD, 'maintain'), (MOMENTUM, 'average')):
        plain = train(
            tiny(**fields, optimizer=optimizer), tmp_path / f'plain-{momentum}-{optimizer["name"]}'
        )
        way = local(k=1, buffer_policy=momentum)
        found = train(
            tiny(**fields, optimizer=optimizer, replicas=way),
            tmp_path / f'{momentum}-{optimizer["name"]}',
        )
        close(only(found, *ROWS), only(plain, *ROWS), 1e-4)


@pytest.mark.parametrize('nesterov', [False, True])
def test_diloco_is_its_equations(tmp_path, nesterov):
    """Three workers, heavy ball inside, two synchronisations and two steps more, in float64
    NumPy."""
    workload = dict(name='noisy_quadratic', curvature=0.7, noise=0.5, start=2.0)
    alpha, mu, beta, rate, k, b = 0.7, 0.6, 0.5, 0.2, 4, 2
    way = local(workers=3, k=k, slow_step_size=alpha, outer_momentum=mu, nesterov=nesterov)
    inner = dict(name='momentum', learning_rate=rate, momentum=beta)
    fields = dict(
        workload=workload,
        optimizer=inner,
        batch_size=3 * b,
        steps=10,
        num_rows=10,
        num_evaluations=10,
    )
    rows = train(tiny(**fields, replicas=way), tmp_path)
    x, m, slow, v = np.full(3, 2.0), np.zeros(3), 2.0, 0.0
    for t, row in enumerate(rows):
        targets = 0.5 * noise_of(workload, np.arange(3 * b) + t * 3 * b)[:, 0, 0].reshape(
            3, b
        ).mean(1)
        m = beta * m + 0.7 * (x - targets)
        x = x - rate * m
        if (t + 1) % k == 0:
            spread = np.sqrt(np.mean((x - x.mean()) ** 2))
            d = slow - x.mean()
            v = mu * v + d
            slow = slow - alpha * (d + mu * v if nesterov else v)
            x = np.full(3, slow)
            assert row['worker_spread'] == pytest.approx(spread, rel=1e-4)
        assert row['test_loss'] == pytest.approx(0.35 * slow**2, rel=1e-4)
        assert row['parameter_norm'] == pytest.approx(abs(slow), rel=1e-4)
        assert row['communicated_bytes'] == 4 / k


def test_numbers_of_replicas_are_traced():
    """k, slow step and outer momentum share a program; the number of workers is a shape."""
    sweep = (
        ('replicas.k', (1, 8)),
        ('replicas.slow_step_size', (0.5, 1.0)),
        ('replicas.outer_momentum', (0.0, 0.9)),
    )
    config = tiny(
        batch_size=16, replicas=local(slow_step_size=0.5, outer_momentum=0.0), sweep=sweep
    )
    assert len(plan([configs.resolve(config, o) for o in configs.trials(config)])) == 1
    config.sweep = (('replicas.workers', (1, 2, 4)),)
    assert len(plan([configs.resolve(config, o) for o in configs.trials(config)])) == 3


@pytest.mark.long
def test_traced_numbers_act(tmp_path):
    """Each trial of a cohort has its own k, slow step and outer momentum."""
    points = ((4, 0.5, 0.0), (8, 0.5, 0.0), (4, 1.0, 0.0), (4, 0.5, 0.5))
    paths = 'replicas.k', 'replicas.slow_step_size', 'replicas.outer_momentum'
    fields = dict(workload=DIGITS, batch_size=16, num_rows=1, num_evaluations=1)
    rows = train(
        tiny(
            **fields,
            replicas=local(slow_step_size=0.5, outer_momentum=0.0),
            sweep=((paths, points),),
        ),
        tmp_path,
    )
    assert len({row['test_loss'] for row in rows}) == 4


@pytest.mark.long
def test_a_diverged_worker_stops_the_trial(tmp_path):
    """Agreed at a synchronisation or a row, whichever comes first; on two devices as on one."""
    optimizer = dict(name='sgd', learning_rate=1e30)
    fields = dict(workload=DIGITS, batch_size=16, optimizer=optimizer)
    for devices in (1, 2):
        rows = train(
            tiny(**fields, replicas=local(k=3), data_parallel=devices), tmp_path / str(devices)
        )
        assert len(rows) == 1 and rows[0]['loss'] is None and rows[0]['step'] in (3, 4)


def reductions(text):
    """For each all-reduce of a compiled program, how many loops and conditionals lead to it."""
    bodies = dict(
        re.findall(r'^(?:ENTRY )?%?([\w.-]+) \([^\n]*\{\n(.*?)^\}', text, re.DOTALL | re.MULTILINE)
    )
    found, todo, seen = set(), [(re.search(r'^ENTRY %?([\w.-]+)', text, re.MULTILINE)[1], 0)], set()
    while todo:
        name, depth = item = todo.pop()
        if item in seen:
            continue
        seen.add(item)
        for line in bodies[name].splitlines():
            if re.search(r' all-reduce(-start)?\(', line):
                found.add(depth)
            deeper = depth + bool(re.search(r' (while|conditional)\(', line))
            todo += [
                (called, deeper)
                for called in set(re.findall(r'[\w.-]+', line)) & bodies.keys() - {name}
            ]
    return found


@pytest.mark.long
def test_no_bytes_move_between_synchronisations(monkeypatch):
    """In the training programs as compiled: synchronous replicas reduce in the loop over steps;
    local SGD reduces nothing there, but in what runs inside a step only where it is due, and at the
    end of the segment."""
    from lbexp.engine import program as programs

    texts, compiled = {}, programs._compiled

    def kept(mesh, function, *arguments, **options):
        made = compiled(mesh, function, *arguments, **options)
        texts[len(arguments)] = made.as_text()
        return made

    monkeypatch.setattr(programs, '_compiled', kept)
    depths = {}
    for name, own in (('synchronous', {}), ('local_sgd', {'k': 4})):
        way = dict(name=name, workers=2, **own)
        made, states = states_of(
            tiny(workload=DIGITS, batch_size=16, replicas=way, data_parallel=2)
        )
        at = np.array([1])
        jax.block_until_ready(made.segment(states, at, at - 1, at))
        depths[name] = reductions(texts[max(texts)])  # training takes the most arguments
    in_steps = max(depths['synchronous'])
    assert in_steps - 1 in depths['local_sgd'] and in_steps not in depths['local_sgd']
    assert in_steps + 1 in depths['local_sgd']
