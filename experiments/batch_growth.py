"""Growing the batch does what decaying the learning rate does, at the same epochs and with fewer
updates.

Smith et al. 2018 (arXiv:1711.00489), Section 5.1, on the digits.

    python -m lbexp.main --config=experiments/batch_growth.py

On 2 CPU cores, shared with other work: 5 minutes. Expected: a difference of test error within
0.006. Measured (6 tunings of 8 points, 4 seeds each; then again with `--config.seed=1`): growth -
decay 0 [-0.0014, 0.0021] and 0.0003 [-0.0014, 0.0014], hybrid - decay 0 [-0.0007, 0.0014] and 0
[-0.0021, 0.0007] (one test example is 0.0028); 1581 updates instead of 4043. But the control with
constant rate and batch is no worse, -0.005 [-0.013, 0.008] and -0.006 [-0.015, -0.003]: on the
digits the schedule hardly matters, so that they coincide is undecided as evidence for the noise
scale.
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
        margin=0.006,  # difference of test error that counts as none
    )
    c.epochs = 30.0
    c.num_rows, c.num_evaluations, c.num_checkpoints = 200, 200, 2
    return c
