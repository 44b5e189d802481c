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
        began = time.perf_counter()
        row_start, row_step = np.asarray([tick]), np.asarray([-1])  # no update is a row's last
        tick += ticks
        states, columns = ready.segment(states, np.asarray([tick]), row_start, row_step)
        jax.block_until_ready(columns)
        spent = time.perf_counter() - began
        # the slowest: all processes count alike
        return float(collectives.allgather(spent).max())

    train(1)  # compiles
    count = 1
    while train(count) < seconds / pieces / 4:
        count *= 2
    return [count * cohort.microbatch / train(count) for _ in range(pieces)]
