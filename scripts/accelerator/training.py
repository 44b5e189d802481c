"""One trial through the engine against the loop that most write: the same network in plain Flax,
one jitted step a batch.

The plain loop is given every advantage short of a loop inside the program: the data lies on the
device, its state is donated, no step waits for the one before on the host. `scanned` is that step
in a `lax.scan`, which is what a loop inside the program can reach at most.
"""

import statistics
import time

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from accelerator.record import Record, bound
from lbexp import config as configs
from lbexp.data.load import load
from lbexp.engine.plan import plan
from lbexp.engine.program import program

_CASES = (
    ('digits_mlp', 128),
    ('fashion_cnn', 128),
    ('fashion_cnn', 2048),
    ('fashion_mlp', 128),
    ('fashion_cnn', 512),
    ('fashion_mlp', 2048),
)
_QUICK = (('digits_mlp', 128), ('fashion_cnn', 8))
_DATA = {'digits_mlp': 'digits', 'fashion_mlp': 'fashion_mnist', 'fashion_cnn': 'fashion_mnist'}
_RATE, _MOMENTUM = 0.01, 0.9
_SCANNED = 50  # steps of a scan


class MLP(nn.Module):
    hidden: tuple[int, ...]

    @nn.compact
    def __call__(self, x):
        x = x.reshape(len(x), -1)
        for width in self.hidden:
            x = nn.relu(nn.Dense(width)(x))
        return nn.Dense(10)(x)


class CNN(nn.Module):
    @nn.compact
    def __call__(self, x):
        for width in (16, 32):
            x = nn.relu(nn.Conv(width, (3, 3))(x))
            x = nn.max_pool(x, (2, 2), (2, 2))
        x = nn.relu(nn.Dense(128)(x.reshape(len(x), -1)))
        return nn.Dense(10)(x)


_MODELS = {'digits_mlp': MLP((128, 128)), 'fashion_mlp': MLP((512, 512)), 'fashion_cnn': CNN()}
_SCALES = {'digits_mlp': 1 / 16, 'fashion_mlp': 1 / 255, 'fashion_cnn': 1 / 255}


def measure(record: Record, quick: bool, deadline: float) -> None:
    rounds, seconds = (3, 0.1) if quick else (9, 0.15)
    for workload, size in _QUICK if quick else _CASES:
        name = f'{workload}, batch {size}'
        if time.monotonic() > deadline - 15:
            record.failed('no time was left', name)
            continue
        with record.trying(name):
            _case(record, name, workload, size, rounds, seconds)


def _case(record, name, workload, size, rounds, seconds):
    plain = Plain(workload, size)  # whose data may be absent: before the engine compiles
    ways = {'engine': _engine(workload, size), 'plain loop': plain.run, 'scanned': plain.scan}
    steps = {way: _calibrated(run, seconds) for way, run in ways.items()}
    rates = {way: [] for way in ways}
    for number in range(rounds):
        for way in list(ways)[:: -1 if number % 2 else 1]:
            began = time.perf_counter()
            ways[way](steps[way])
            rates[way].append(steps[way] / (time.perf_counter() - began))
    flops, moved = plain.cost()
    for way, each in rates.items():
        rate = statistics.median(each)
        note = f'{rate * flops / 1e12:.3g} TFLOP/s; {bound(record.out, 1 / rate, flops, moved)}'
        record.add(f'{name}: {way}', rate, 'steps/s', note)
    for way in ('plain loop', 'scanned'):
        ratios = [a / b for a, b in zip(rates['engine'], rates[way], strict=True)]
        note = f'{rounds} alternating rounds, {min(ratios):.2f} to {max(ratios):.2f}'
        record.add(f'{name}: engine / {way}', statistics.median(ratios), '', note)


def _calibrated(run, seconds):
    run(_SCANNED)
    count, spent = _SCANNED, 0.0
    while spent < seconds / 4:
        began = time.perf_counter()
        run(count)
        spent = time.perf_counter() - began
        count *= 2
    return max(_SCANNED, int(count / 2 * seconds / spent) // _SCANNED * _SCANNED)


def _engine(workload, size):
    """steps -> None: so many updates of one trial in the compiled loop, norms and all."""
    c = configs.base()
    c.workload = dict(name=workload)
    c.optimizer = dict(name='momentum', learning_rate=_RATE, momentum=_MOMENTUM)
    c.batch_size, c.steps = size, 2**31 // size  # positions of examples have 32 bits
    (cohort,) = plan([configs.resolve(c, {})])
    ready = program(cohort, 'auto', None)
    states, tick = ready.init(), 0

    def run(steps):
        nonlocal states, tick
        tick += steps
        until = np.array([tick])
        states, columns = ready.segment(states, until, until, until)
        jax.block_until_ready(columns)

    return run


class Plain:
    """The plain loop: `run` calls the step, `scan` has it in a scan."""

    def __init__(self, workload: str, size: int):
        self._model, self._scale, self._size = _MODELS[workload], _SCALES[workload], size
        data = load(_DATA[workload], 'train')
        self._data = jax.device_put((data['image'], data['label']))
        self._tx = optax.sgd(_RATE, _MOMENTUM)
        self._examples, self._position = len(data['label']), 0
        self._shuffled = jax.jit(self._permutation)
        self._order = self._shuffled(jax.random.key(0))
        image = jnp.zeros((1, *data['image'].shape[1:]))
        params = jax.jit(self._model.init)(jax.random.key(0), image)
        self._state = params, self._tx.init(params)
        step = jax.jit(self._step, donate_argnums=0)
        arguments = self._state, self._data, self._order, np.int32(0)
        self._compiled = step.lower(*arguments).compile()
        self._scanned = jax.jit(self._scan, donate_argnums=0)

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self._next(1)
            self._state, loss = self._compiled(
                self._state, self._data, self._order, np.int32(self._position)
            )
        jax.block_until_ready(loss)

    def scan(self, steps: int) -> None:
        for _ in range(steps // _SCANNED):
            self._next(1)
            self._state, loss = self._scanned(
                self._state, self._data, self._order, np.int32(self._position)
            )
        jax.block_until_ready(loss)

    def cost(self) -> tuple[float, float]:
        """(floating point operations, bytes accessed) of a step, as XLA counts them."""
        cost = self._compiled.cost_analysis() or {}
        cost = cost[0] if isinstance(cost, list) else cost
        return cost.get('flops', float('nan')), cost.get('bytes accessed', float('nan'))

    def _next(self, batches):
        self._position += batches * self._size
        if self._position + self._size > self._examples:
            self._order = self._shuffled(jax.random.key(self._position))
            self._position = 0

    def _permutation(self, key):
        return jax.random.permutation(key, self._examples)

    def _step(self, state, data, order, position):
        rows = jax.lax.dynamic_slice(order, (position,), (self._size,))
        params, opt_state = state

        def loss(params):
            logits = self._model.apply(params, data[0][rows].astype(jnp.float32) * self._scale)
            losses = optax.softmax_cross_entropy_with_integer_labels(logits, data[1][rows])
            return losses.mean()

        value, gradient = jax.value_and_grad(loss)(params)
        updates, opt_state = self._tx.update(gradient, opt_state, params)
        return (optax.apply_updates(params, updates), opt_state), value

    def _scan(self, state, data, order, position):
        last = self._examples - self._size

        def body(state, number):
            return self._step(state, data, order, (position + number * self._size) % last)

        state, losses = jax.lax.scan(body, state, jnp.arange(_SCANNED))
        return state, losses[-1]
