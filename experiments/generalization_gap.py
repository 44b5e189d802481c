"""x"""

from lbexp import config


def get_config():
    c = config.base()
    c.workload = dict(name='digits_mlp', validation=300)
    c.optimizer = dict(
        name='momentum',
        learning_rate=0.1,  # each trial sets its own
        momentum=0.9,
        nesterov=True,
    )
    c.schedule = dict(name='cosine', warmup=0.05)
    c.epochs = 30.0
    c.evaluate_train = 1000
    c.probes = (dict(name='distance'),)
    c.study = dict(
        name='generalization_gap',
        batch_sizes=(16, 64, 256, 1024),
        learning_rates=(0.01, 3.0),
        budget=8,
        seeds=5,
    )
    c.log, c.evaluate, c.checkpoint = 50, 10, 2
    return c
