"""Growing the batch does what decaying the learning rate does, at the same epochs and with fewer
updates.

Smith et al. 2018 (arXiv:1711.00489), Section 5.1, on the digits.

    python -m lbexp.main --config=experiments/batch_growth.py

On 2 CPU cores, shared (load average 4 to 6): 1 minute. Expected: a difference of test error within
0.005. Measured (15 seeds): growth - decay 0 [-0.0028, 0], hybrid - decay 0 [0, 0] (one test example
is 0.0028); validation curves after the first boundary 0.0001 [-0.0002, 0.0003] apart in the mean
over epochs; 1581 updates instead of 4043. The control with constant rate and batch is no worse,
-0.0028 [-0.0056, 0]: on the digits the schedule hardly matters, and that they coincide is weak
evidence for the noise scale.
"""

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
        seeds=4,  # reported of each tuning
        tunings=6,
        margin=0.005,  # difference of test error that counts as none
    )
    c.epochs = 30.0
    c.num_rows, c.num_evaluations, c.num_checkpoints = 200, 200, 2
    return c
