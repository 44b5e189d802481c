"""Lookahead lowers the stationary variance of the weights as Proposition 2 of its paper says."""

from lbexp import config


def get_config():
    c = config.base()
    c.workload = dict(
        name='noisy_quadratic',
        replicas=1000,  # independent copies: the Monte-Carlo axis
        dimension=4,
        spectrum=(1.2, 0.6, 0.3, 0.1),  # curvature of each coordinate
        noise=1.0,  # standard deviation of the target of one example
        start=0.0,  # distance from the optimum
    )
    c.study = dict(
        name='steady_state',
        learning_rates=(0.2, 0.5, 1.0),
        momenta=(0.5, 0.9),
        ks=(5, 20),  # updates per Lookahead cycle
        slow_step_sizes=(0.2, 0.5, 0.8),
        ema_decays=(0.9,),
        batch_sizes=(1, 4),  # examples per update
        updates=4000,  # measured, per trial, after the burn-in
    )
    c.steps = 1  # each trial sets its own
    c.log, c.evaluate, c.checkpoint = 4, 1, 1
    return c
