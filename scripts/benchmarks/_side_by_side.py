"""Ways to do the same, measured side by side in one process.

A way is a function of a number of updates. Rounds measure all ways, in an order that alternates, so
that what else the machine does meets all of them.
"""

import time
from collections.abc import Callable, Mapping

import jax
import numpy as np
import optax

from lbexp import config as configs
from lbexp.config import lookup
from lbexp.engine.environment import environment
from lbexp.engine.plan import plan
from lbexp.engine.program import program

Way = Callable[[int], None]
_ABOUT = ('processor', 'cores', 'backend', 'jax', 'flax', 'optax')


def machine() -> str:
    """The machine and the versions, in a line."""
    facts = environment()
    return ', '.join(f'{name} {facts[name]}' for name in _ABOUT)


def rates(ways: Mapping[str, Way], rounds: int, seconds: float) -> dict[str, list[float]]:
    """Updates per second of each way in each round.

    Args:
        seconds: aimed at for each measurement.
    """
    steps = {name: _calibrated(way, seconds) for name, way in ways.items()}
    measured: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds):
        for name in list(ways)[:: -1 if number % 2 else 1]:
            began = time.perf_counter()
            ways[name](steps[name])
            measured[name].append(steps[name] / (time.perf_counter() - began))
    return measured


def _calibrated(way, seconds):
    way(4)
    began = time.perf_counter()
    way(8)
    return max(8, int(8 * seconds / (time.perf_counter() - began)))


def config(workload: dict, batch_size: int) -> dict:
    """A resolved configuration that trains for as long as positions of examples have 32 bits."""
    c = configs.base()
    c.workload = workload
    c.optimizer = dict(name='momentum', learning_rate=0.01, momentum=0.9)
    c.batch_size, c.steps = batch_size, 2**31 // batch_size
    return configs.resolve(c, {})


def engine(workload: dict, batch_size: int) -> Way:
    """A trial alone, as lbexp.main trains it, without rows."""
    (cohort,) = plan([config(workload, batch_size)])
    ready = program(cohort, 'auto', None)
    held = {'states': ready.init(), 'tick': 0}

    def run(steps):
        held['tick'] += steps
        tick = np.array([held['tick']])
        held['states'], columns = ready.segment(held['states'], tick, tick, tick)
        jax.block_until_ready(columns)

    return run


def usual_loop(workload: dict, batch_size: int) -> Way:
    """What most codebases have: one jitted step per batch, called from Python with NumPy
    batches."""
    parts = lookup.build('workload', workload)
    batches = Batches(parts.train.arrays, batch_size)
    tx = optax.sgd(0.01, 0.9)
    params, model_state = parts.init(jax.random.key(0))
    held = {'state': (params, tx.init(params))}

    @jax.jit
    def step(state, batch, key):
        params, opt_state = state

        def loss(p):
            return parts.loss(p, model_state, batch, key)[0]['loss'].mean()

        value, grads = jax.value_and_grad(loss)(params)
        updates, opt_state = tx.update(grads, opt_state, params)
        return (optax.apply_updates(params, updates), opt_state), value

    def run(steps):
        for _ in range(steps):
            held['state'], value = step(held['state'], batches.next(), jax.random.key(0))
        jax.block_until_ready(value)

    return run


class Batches:
    """Rows of arrays in memory, in another order each epoch."""

    def __init__(self, arrays: Mapping[str, jax.Array], size: int):
        self._arrays = {name: np.asarray(array) for name, array in arrays.items()}
        self._size, self._generator = size, np.random.default_rng(0)
        self._order, self._place = np.zeros(0, int), 0

    def next(self) -> dict[str, np.ndarray]:
        if self._place + self._size > len(self._order):
            count = len(next(iter(self._arrays.values())))
            self._order, self._place = self._generator.permutation(count), 0
        rows = self._order[self._place : self._place + self._size]
        self._place += self._size
        return {name: array[rows] for name, array in self._arrays.items()}
