"""A transformer in bfloat16 and a ResNet-18 through the engine, against the usual jitted step.

The usual step calls the same network, so what differs is the loop: its data lies on the device, its
state is donated, and no step waits for the one before on the host.
"""

import functools
import statistics
import time

import jax
import numpy as np
import optax
from benchmarks import _side_by_side

from accelerator.record import Record, peaks
from lbexp.config import lookup
from lbexp.engine.flops import flops_per_example

_RESNET = dict(
    name='classification',
    data=dict(name='fashion_mnist'),
    model=dict(name='resnet', depth=18),
)
# name -> workload, examples per update
_CASES = {
    'sotu_lm 5M, bfloat16': (dict(name='sotu_lm', size='5M', precision='bfloat16'), 64),
    'sotu_lm 96M, bfloat16': (dict(name='sotu_lm', size='96M', precision='bfloat16'), 256),
    'ResNet-18, Fashion-MNIST': (_RESNET, 256),
}
_QUICK = {'sotu_lm 0.1M, bfloat16': (dict(name='sotu_lm', precision='bfloat16'), 8)}


def measure(record: Record, quick: bool, deadline: float) -> None:
    rounds, seconds = (3, 0.1) if quick else (7, 0.4)
    for name, (workload, size) in (_QUICK if quick else _CASES).items():
        label = f'{name}, batch {size}'
        if time.monotonic() > deadline - 20:
            record.failed('no time was left', label)
            continue
        with record.trying(label):
            ways = {
                'engine': _side_by_side.engine(workload, size),
                'usual loop': usual_loop(workload, size),
            }
            flops = size * flops_per_example(workload, size)
            rates = _side_by_side.rates(ways, rounds, seconds)
            _tell(record, label, rates, flops)


def usual_loop(workload: dict, batch_size: int) -> _side_by_side.Way:
    """One jitted step a batch, called from Python, whose arrays lie on the device."""
    parts = lookup.build('workload', workload)
    arrays = jax.device_put(dict(parts.train.arrays))
    examples = len(next(iter(arrays.values())))
    tx = optax.sgd(0.01, 0.9)
    params, model_state = jax.jit(parts.init)(jax.random.key(0))
    shuffled = jax.jit(functools.partial(jax.random.permutation, x=examples))

    @functools.partial(jax.jit, donate_argnums=0)
    def step(state, arrays, order, position, key):
        params, model_state, opt_state = state
        rows = jax.lax.dynamic_slice(order, (position,), (batch_size,))
        batch = {name: array[rows] for name, array in arrays.items()}

        def loss(params):
            values, after = parts.loss(params, model_state, batch, key)
            return values['loss'].mean(), after

        (value, model_state), gradient = jax.value_and_grad(loss, has_aux=True)(params)
        updates, opt_state = tx.update(gradient, opt_state, params)
        return (optax.apply_updates(params, updates), model_state, opt_state), value

    held = {'state': (params, model_state, tx.init(params)), 'position': examples}

    def run(steps):
        for _ in range(steps):
            if held['position'] + batch_size > examples:
                held['order'], held['position'] = shuffled(jax.random.key(0)), 0
            position = np.int32(held['position'])
            held['position'] += batch_size
            key = jax.random.key(held['position'])
            held['state'], value = step(held['state'], arrays, held['order'], position, key)
        jax.block_until_ready(value)

    return run


def _tell(record, label, rates, flops):
    """Medians, FLOP/s as lbexp counts them beside the peak of a product of matrices, the ratio."""
    kind = 'matmul bfloat16' if 'bfloat16' in label else 'matmul float32'
    peak = peaks(record.out).get(kind, float('nan'))
    for way, each in rates.items():
        rate = statistics.median(each)
        speed = rate * flops / 1e12
        record.add(f'{label}: {way}', rate, 'steps/s', f'{100 * speed / peak:.3g} % of {kind}')
        record.add(f'{label}: {way}', speed, 'TFLOP/s', 'products of the model alone')
    ratios = [a / b for a, b in zip(rates['engine'], rates['usual loop'], strict=True)]
    note = f'{len(ratios)} alternating rounds, {min(ratios):.2f} to {max(ratios):.2f}'
    record.add(f'{label}: engine / usual loop', statistics.median(ratios), '', note)
