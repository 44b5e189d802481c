"""Learning rates x seeds of momentum on the digits: 16 trials in one program."""

from lbexp import config


def get_config():
    c = config.base()
    c.workload = dict(name='digits_mlp')
    c.optimizer = dict(
        name='momentum',
        learning_rate=0.1,  # peak, swept below [parameter units per gradient unit]
        momentum=0.9,  # decay of the velocity, per update, in [0, 1)
    )
    c.schedule = dict(name='cosine', warmup=0.1)  # warm-up: fraction of all updates
    c.batch_size = 128  # examples per update
    c.epochs = 40.0  # passes over the training set
    c.sweep = (
        ('optimizer.learning_rate', (0.01, 0.03, 0.1, 0.3)),
        ('seed', tuple(range(4))),
    )
    return c
