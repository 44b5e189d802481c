"""Growing the batch does what decaying the learning rate does, with fewer updates."""

from lbexp import config


def get_config():
    c = config.base()
    c.workload = dict(
        name='digits_mlp', hidden=(64,), label_smoothing=0.1, validation=360
    )  # smoothing keeps the gradient noise alive
    c.optimizer = dict(
        name='momentum',
        learning_rate=0.1,  # tuned
        momentum=0.9,  # decay of the velocity, per update, in [0, 1)
    )
    c.study = dict(
        name='batch_growth',
        batch_size=8,  # before the first boundary [examples per update]
        boundaries=(0.3, 0.6, 0.8),  # fractions of the run: epochs 60, 120, 160 of 200 in the paper
        factor=4,
        largest=64,  # of the hybrid [examples per update]
        learning_rates=(0.003, 0.3),
        budget=8,  # learning rates tried
        seeds=15,
        margin=0.005,  # difference of test error that counts as none
    )
    c.epochs = 30.0
    c.log, c.evaluate, c.checkpoint = 200, 200, 2
    return c
