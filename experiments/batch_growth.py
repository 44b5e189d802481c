"""Growing the batch does what decaying the learning rate does, with fewer updates."""

from lbexp import config


def get_config():
    c = config.base()
    c.workload = dict(name='digits_mlp', hidden=(64,), validation=360)
    c.optimizer = dict(
        name='momentum',
        learning_rate=0.1,  # tuned
        momentum=0.9,  # decay of the velocity, per update, in [0, 1)
    )
    c.study = dict(
        name='batch_growth',
        batch_size=16,  # before the first boundary [examples per update]
        boundaries=(0.3, 0.6, 0.8),  # fractions of the run: epochs 60, 120, 160 of 200 in the paper
        factor=4,
        largest=128,  # of the hybrid [examples per update]
        learning_rates=(0.01, 1.0),
        budget=8,  # learning rates tried
        seeds=10,
        margin=0.005,  # difference of test error that counts as none
    )
    c.epochs = 30.0
    c.log, c.evaluate, c.checkpoint = 100, 100, 2
    return c
