"""Workers that differ: what each way is by its equations, what it equals at its limits, on any
number of devices."""

import re

import jax
import numpy as np
import pytest
from training import of_trial, tiny, train

from lbexp import config as configs
from lbexp.config import lookup
from lbexp.engine.plan import plan
from lbexp.engine.program import program

pytestmark = pytest.mark.usefixtures('shared_programs')

DIGITS = dict(name='digits_mlp', hidden=(16,))
NORMED = dict(name='digits_mlp', hidden=(16,), batch_norm=True)
MOMENTUM = dict(name='momentum', learning_rate=0.05, momentum=0.9)
SGD = dict(name='sgd', learning_rate=0.1)


def local(**given):
    return {'name': 'local_sgd', 'workers': 4, 'k': 4, **given}


def asynchronous(**given):
    return {'name': 'asynchronous', 'workers': 4, **given}


def close(left, right, tolerance, without=()):
    assert len(left) == len(right)
    for a, b in zip(left, right, strict=True):
        assert a.keys() - set(without) == b.keys() - set(without)
        for name in a.keys() - set(without):
            assert a[name] == pytest.approx(b[name], rel=tolerance, abs=tolerance), name


def only(rows, *names):
    return [{name: row[name] for name in names if name in row} for row in rows]


WAYS = [
    dict(name='synchronous', workers=4),
    local(slow_step_size=0.5, outer_momentum=0.5, buffer_policy='average'),
    asynchronous(delay='geometric', push='delta', k=2),
]
LONG_BUT_LOCAL = [
    pytest.param(way, marks=[] if way['name'] == 'local_sgd' else pytest.mark.long) for way in WAYS
]


@pytest.mark.parametrize('devices', [pytest.param(2, marks=pytest.mark.slow), 4])
@pytest.mark.parametrize('way', LONG_BUT_LOCAL, ids=lambda way: way['name'])
def test_the_same_numbers_on_any_number_of_devices(tmp_path, way, devices):
    """Rounding alone differs, in 24 updates with batch norm and dropout."""
    fields = dict(workload=dict(NORMED, dropout=0.1), batch_size=32, replicas=way)
    one = train(tiny(**fields, data_parallel=1), tmp_path / 'one')
    close(train(tiny(**fields, data_parallel=devices), tmp_path / 'many'), one, 1e-4)


@pytest.mark.parametrize('layout', ['map', pytest.param('vmap', marks=pytest.mark.long)])
def test_trials_beside_each_other(tmp_path, layout):
    """Two seeds, two devices: each trial as it is alone."""
    fields = dict(workload=DIGITS, batch_size=16, replicas=local(), data_parallel=2)
    together = train(tiny(**fields, layout=layout, sweep=(('seed', (0, 3)),)), tmp_path / 'both')
    close(
        of_trial(together, 1), of_trial(train(tiny(**fields, seed=3), tmp_path / 'alone'), 0), 1e-4
    )


@pytest.mark.long
def test_synchronous_replicas_are_data_parallel_training(tmp_path):
    """Batch norm of each replica: what the policy 'replica' does where devices share a batch;
    evaluation differs, as running statistics do, and is stated below."""
    fields = dict(
        workload=dict(NORMED, ghost='replica'), batch_size=32, data_parallel=4, num_rows=24
    )
    shared = train(tiny(**fields), tmp_path / 'shared')
    replicas = train(
        tiny(**fields, replicas=dict(name='synchronous', workers=4)), tmp_path / 'replicas'
    )
    names = 'step', 'examples', 'loss', 'accuracy', 'gradient_norm', 'parameter_norm', 'update_norm'
    close(only(replicas, *names), only(shared, *names), 1e-4)
    whole = train(tiny(**{**fields, 'workload': NORMED}), tmp_path / 'whole')
    assert abs(whole[-1]['loss'] - shared[-1]['loss']) > 1e-3


def states_of(config):
    (cohort,) = plan([configs.resolve(config, {})])
    made = program(cohort, 'map', config.data_parallel)
    return made, made.init()


@pytest.mark.long
def test_running_statistics_are_each_replicas_own(tmp_path):
    """After one step from 0 and 1: (1 - rate) start + rate times the statistics of the replica's
    own examples."""
    config = tiny(
        workload=NORMED,
        batch_size=32,
        replicas=dict(name='synchronous', workers=4),
        data_parallel=2,
    )
    made, states = states_of(config)

    def tick(n):
        return np.array([n])

    start = jax.device_get(states)
    states, _ = made.segment(states, tick(1), tick(0), tick(1))
    found = jax.device_get(states.model_state['batch_stats']['BatchNorm_0']['mean'])[0]
    workload = lookup.build('workload', NORMED)
    source, kernel = workload.train, start.params['Dense_0']['kernel'][0]
    for worker in range(4):
        positions = np.arange(8, dtype=np.uint32) + 8 * worker
        images = (
            np.float64(source.draw(source.arrays, np.uint32(0), positions)['image']).reshape(8, -1)
            / 16
        )
        np.testing.assert_allclose(
            found[worker], 0.1 * (images @ kernel).mean(0), rtol=1e-4, atol=1e-6
        )


@pytest.mark.long
@pytest.mark.parametrize('way', WAYS, ids=lambda way: way['name'])
def test_all_begin_equal(way):
    """Every array over workers holds one value W times; gradient noise alone is each worker's
    own."""
    noise = dict(transforms=(dict(name='gradient_noise', kind='isotropic'),))
    _, states = states_of(tiny(workload=NORMED, batch_size=32, replicas=way, **noise))
    held = [states.model_state]
    if way['name'] == 'local_sgd':
        held += [states.params, states.opt_state[1], states.replicas.slow]
        seeds = np.asarray(states.opt_state[0].seed)[0]
        assert len(set(seeds.tolist())) == 4 and seeds[0] == 0
    if way['name'] == 'asynchronous':
        held += [states.replicas.copies]
    for leaf in jax.tree.leaves(held):
        leaf = np.asarray(leaf)[0]
        if leaf.ndim:
            assert (leaf == leaf[:1]).all() or leaf.shape[0] != 4


# What the weights decide, bit by bit; norms and training losses are sums whose order the compiler
# chooses.
BITS = ('step', 'accuracy', 'test_loss', 'test_accuracy')
ROWS = (*BITS, 'loss', 'gradient_norm')


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


def noise_of(workload, positions):
    """Targets [n, replicas, dimension] that the noisy quadratic draws at these positions."""
    source = lookup.build('workload', workload).train
    return np.float64(source.draw((), np.uint32(0), np.asarray(positions, np.uint32))['xi'])


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


@pytest.mark.parametrize('push', [pytest.param('gradient', marks=pytest.mark.long), 'delta'])
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


def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(tmp_path):
    """With a clock, slow weights and workers apart in the checkpoint: the same rows, to the bit."""
    for way in (local(k=5), asynchronous(delay='geometric')):
        fields = dict(workload=DIGITS, batch_size=16, replicas=way, num_checkpoints=6)
        whole = train(tiny(**fields), tmp_path / f'{way["name"]}-whole')
        asked = iter(range(100))
        folder = tmp_path / f'{way["name"]}-cut'
        train(tiny(**fields), folder, should_stop=lambda asked=asked: next(asked) == 1)
        assert train(tiny(**fields), folder) == whole


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


@pytest.mark.parametrize(
    'arguments, words',
    [
        (('--config.replicas.workers=0',), 'workers: found 0; allowed: an integer >= 1'),
        (('--config.replicas.k=0',), 'k: found 0; allowed: an integer >= 1'),
        (
            ('--config.replicas.slow_step_size=1.5',),
            (
                r'slow_step_size: found 1.5; allowed: \(0, '
                r'1\]'
            ),
        ),
        (
            ('--config.replicas.outer_momentum=1.0',),
            (
                r'outer_momentum: found 1.0; allowed: a '
                r'number in \[0, 1\)'
            ),
        ),
        (
            ('--config.replicas.buffer_policy=keep',),
            ("buffer_policy: found 'keep'; allowed: 'maintain', 'reset', 'average'"),
        ),
        (
            ('--config.batch_size=30',),
            ('batch_size: found 30 with local_sgd, which cuts it into 4 equal pieces'),
        ),
        (('--config.microbatch=8',), 'microbatch: found 8 with replicas'),
        (('--config.data_parallel=3',), 'data_parallel: found 3'),
        (('--config.replicas.worker=2',), 'replicas.worker: no such field. Did you mean .workers.'),
    ],
)
def test_bad_input_is_one_line(tmp_path, capsys, arguments, words):
    from lbexp import main

    file = tmp_path / 'experiment.py'
    file.write_text(
        'from lbexp import config\n\n\ndef get_config():\n    c = config.base()\n    c.steps, '
        'c.batch_size = 4, 32\n'
        "    c.replicas = dict(name='local_sgd', workers=4, k=4)\n    return c\n"
    )
    status = main.main(['main', f'--config={file}', f'--workdir={tmp_path / "run"}', *arguments])
    told = capsys.readouterr().err.strip().splitlines()
    assert status == 2 and len(told) == 1 and re.search(words, told[0]), told


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
