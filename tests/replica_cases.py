"""What the tests of replicas share: ways of several workers, small problems, close rows."""

import numpy as np
import pytest

from lbexp import config as configs
from lbexp.config import lookup
from lbexp.engine.plan import plan
from lbexp.engine.program import program

DIGITS = dict(name='digits_mlp', hidden=(16,))
NORMED = dict(name='digits_mlp', hidden=(16,), batch_norm=True)
MOMENTUM = dict(name='momentum', learning_rate=0.05, momentum=0.9)
SGD = dict(name='sgd', learning_rate=0.1)


def local(**given):
    return {'name': 'local_sgd', 'workers': 4, 'k': 4, **given}


def asynchronous(**given):
    return {'name': 'asynchronous', 'workers': 4, **given}


WAYS = [
    dict(name='synchronous', workers=4),
    local(slow_step_size=0.5, outer_momentum=0.5, buffer_policy='average'),
    asynchronous(delay='geometric', push='delta', k=2),
]


# What the weights decide, bit by bit; norms and training losses are sums whose order the compiler
# chooses.
BITS = ('step', 'accuracy', 'test_loss', 'test_accuracy')
ROWS = (*BITS, 'loss', 'gradient_norm')


def close(left, right, tolerance, without=()):
    assert len(left) == len(right)
    for a, b in zip(left, right, strict=True):
        assert a.keys() - set(without) == b.keys() - set(without)
        for name in a.keys() - set(without):
            assert a[name] == pytest.approx(b[name], rel=tolerance, abs=tolerance), name


def only(rows, *names):
    return [{name: row[name] for name in names if name in row} for row in rows]


def states_of(config):
    (cohort,) = plan([configs.resolve(config, {})])
    made = program(cohort, 'map', config.data_parallel)
    return made, made.init()


def noise_of(workload, positions):
    """Targets [n, replicas, dimension] that the noisy quadratic draws at these positions."""
    source = lookup.build('workload', workload).train
    return np.float64(source.draw((), np.uint32(0), np.asarray(positions, np.uint32))['xi'])
