"""Studies of 1 to 4,096 trials in one batched program: trials a second, and memory."""

import itertools
import resource
import statistics
import time

import jax
import numpy as np

from accelerator.record import Record, bound
from lbexp import config as configs
from lbexp.engine.plan import plan
from lbexp.engine.program import program

_UPDATES = 1000  # of what is called a trial here
_BATCH = 64
# Trials of each workload, in this order. Convolutions whose kernels differ between trials are
# grouped ones: how do they fare?
_COUNTS = {
    'digits_mlp': (1, 16, 64, 256, 1024, 4096),
    'fashion_cnn': (1, 16, 64),
    'mnist1d': (1, 16, 64, 256),
}
# Four times the trials in less than 2.5 times the time: below, most of the gain of a batch is gone.
_PAYS = 1.6


def measure(record: Record, quick: bool, deadline: float) -> None:
    for workload, counts in {'digits_mlp': (1, 4)}.items() if quick else _COUNTS.items():
        speeds = {}
        for count in counts:
            name = f'{workload}, {count} trials'
            if time.monotonic() > deadline - 10:
                record.failed('no time was left', name)
                continue
            with record.trying(name):
                speeds[count] = _study(record, name, workload, count, 0.2 if quick else 1.0)
                if 1 in speeds and count > 1:
                    ratio = speeds[count] / speeds[1]
                    record.add(f'{name} / one trial alone', ratio, '', f'{ratio / count:.0%} each')
        _tell_where_it_stops(record, workload, speeds)


def _study(record, name, workload, count, seconds):
    """Trials a second of a study whose trials differ in learning rate."""
    began = time.perf_counter()
    c = configs.base()
    c.workload = dict(name=workload)
    c.optimizer = dict(name='momentum', learning_rate=0.01, momentum=0.9)
    c.batch_size, c.steps = _BATCH, 2**31 // _BATCH  # positions of examples have 32 bits
    if count > 1:
        rates = tuple(float(rate) for rate in np.geomspace(0.001, 0.1, count))
        c.sweep = (('optimizer.learning_rate', rates),)
    (cohort,) = plan([configs.resolve(c, each) for each in configs.trials(c)])
    ready = program(cohort, 'vmap', None)
    states, tick = ready.init(), 0

    def train(ticks):
        nonlocal states, tick
        began = time.perf_counter()
        tick += ticks
        until = np.full(count, tick)
        states, columns = ready.segment(states, until, until, until)
        jax.block_until_ready(columns)
        return time.perf_counter() - began, columns

    train(1)
    record.add(f'{name}: to the first update', time.perf_counter() - began, 's', 'compilation')
    ticks, spent = 10, 0.0
    while spent < seconds / 8:
        ticks *= 2
        spent, _ = train(ticks)
    ticks = max(10, int(ticks * seconds / 4 / spent))
    stretches = [train(ticks) for _ in range(4)]
    each = statistics.median(spent / ticks for spent, _ in stretches)
    columns = jax.device_get(stretches[-1][1])
    finite = int(np.isfinite(columns['loss']).sum())
    size = sum(leaf.size for leaf in jax.tree.leaves(states.params)) / count
    # Two operations a weight and example forward, four backward; weights, gradient and momentum
    # read and written.
    flops, moved = 6 * size * _BATCH * count, 4 * 7 * size * count
    speed = count / (each * _UPDATES)
    note = f'{1e6 * each:.0f} us a step; {finite} of {count} losses finite; '
    note += bound(record.out, each, flops, moved)
    record.add(name, speed, 'trials/s', note)
    record.add(f'{name}: memory', _memory() / 2**20, 'MiB', 'peak of the process so far')
    return speed


def _memory():
    """Peak bytes: of the device where it counts them, else of the process."""
    stats = jax.devices()[0].memory_stats() or {}
    resident = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return stats.get('peak_bytes_in_use', resident)


def _tell_where_it_stops(record, workload, speeds):
    counts = sorted(speeds)
    for fewer, more in itertools.pairwise(counts):
        # What a factor of four in trials brings, whatever the factor between these two.
        gain = (speeds[more] / speeds[fewer]) ** (np.log(4) / np.log(more / fewer))
        if gain < _PAYS:
            note = f'up to {more} four times the trials are {gain:.2f} times as fast'
            record.add(f'{workload}: the batch pays up to', fewer, 'trials', note)
            return
    if counts:
        record.add(f'{workload}: the batch pays up to at least', counts[-1], 'trials')
