"""Lookahead speeds up under-damped momentum on quadratics, and costs little where momentum is over-damped."""

from lbexp import config


def get_config():
    c = config.base()
    c.workload = dict(
        name='noisy_quadratic',
        dimension=32,  # curvatures, from 1 / condition number to 1, even in the logarithm
        spectrum=(1.0,) * 32,  # each trial sets its own
        noise=0.0,  # deterministic
        start=1e17,  # distance of each coordinate from the optimum: room to fall far in float32
    )
    c.study = dict(
        name='convergence',
        conditions=(10.0, 100.0, 1000.0, 10000.0),
        momenta=(0.9, 0.99),
        k=20,  # updates per Lookahead cycle
        slow_step_size=0.5,
    )
    c.batch_size = 1
    c.steps = 1  # each trial sets its own
    c.log, c.evaluate, c.checkpoint = 100, 0, 1
    return c
