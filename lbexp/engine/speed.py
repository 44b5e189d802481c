"""How fast one trial trains, by the clock."""

import time

import jax
import numpy as np

from lbexp.engine.plan import plan
from lbexp.engine.program import program
from lbexp.parallel import collectives


def speed(config: dict, seconds: float = 1.0, pieces: int = 5) -> list[float]:
    """Examples per second of one trial alone, its global batch one pass, in each of a few
    stretches.

    Compilation is not in it; drawing the examples and the update are.

    Args:
        config: resolved; its microbatch and length are not used.
        seconds: how long to train in all, about.
        pieces: stretches.
    """
    (cohort,) = plan([{**config, 'microbatch': None, 'batch_growth': {}}])
    ready = program(cohort, cohort.config['layout'], cohort.config['data_parallel'])
    states, tick = ready.init(), 0

    def train(ticks):
        nonlocal states, tick
        began, until = time.perf_counter(), np.asarray([tick + ticks])
        states, columns = ready.segment(states, until, np.asarray([tick]), np.asarray([-1]))
        jax.block_until_ready(columns)
        tick += ticks
        # the slowest: all processes count alike
        return float(collectives.allgather(time.perf_counter() - began).max())

    train(1)
    count, spent = 1, train(1)
    while spent < seconds / pieces / 4:
        count *= 2
        spent = train(count)
    return [count * cohort.microbatch / train(count) for _ in range(pieces)]
