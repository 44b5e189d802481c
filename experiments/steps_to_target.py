"""Momentum extends perfect scaling: more examples an update save updates for longer than with plain SGD."""

from lbexp import config


def get_config():
    c = config.base()
    c.workload = dict(name='digits_mlp', hidden=(32,), validation=360)
    c.study = dict(
        name='steps_to_target',
        optimizers=('sgd', 'momentum'),  # also: lookahead, lars, lamb, novograd
        batch_sizes=(4, 8, 16, 32, 64, 128, 256, 512),  # examples per update
        target=0.05,  # validation error
        examples=10000,  # a run has updates + examples / batch size updates
        updates=150,
        budget=7,  # learning rates tried at each setting,
        tries=3,  # with as many seeds each: first crossings are noisy
        seeds=15,
    )
    c.steps = 1  # each trial sets its own
    c.log, c.evaluate, c.checkpoint = 150, 150, 1  # each crossing is known to one 150th of its run
    return c
