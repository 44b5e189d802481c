"""Momentum extends perfect scaling: more examples an update save updates for longer than with plain SGD."""

from lbexp import config


def get_config():
    c = config.base()
    c.workload = dict(name='digits_mlp', hidden=(32,), validation=360)
    c.study = dict(
        name='steps_to_target',
        optimizers=('sgd', 'momentum', 'lamb'),
        batch_sizes=(8, 16, 32, 64, 128, 256, 512, 1024),  # examples per update
        target=0.1,  # validation error
        examples=16000,  # a run has updates + examples / batch size updates
        updates=120,
        budget=8,  # learning rates tried at each setting
        seeds=5,
    )
    c.steps = 1  # each trial sets its own
    c.log, c.evaluate, c.checkpoint = 120, 120, 1
    return c
