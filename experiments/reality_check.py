"""At large batch and an equal tuning budget, Nesterov momentum and AdamW match LARS and LAMB.

Nado et al. 2021 (arXiv:2102.06356), on the digits at half of the training set per update, 64
updates.

    python -m lbexp.main --config=experiments/reality_check.py

Every optimizer tunes three numbers, learning rate, momentum and weight decay; other spaces are
`spaces=(dict(optimizer='lamb', learning_rate=('log', 1e-3, 1e-1), ...),)`.

Expected: differences of test error within 0.01. Measured earlier (three cores of a server: 80 s, 6
tunings of 16 points for each, 4 seeds of each tuning), with two numbers each and no weight decay of
momentum: momentum 0.044, AdamW 0.029, LARS 0.035, LAMB 0.027. AdamW - LAMB 0.000 [-0.008, 0.004] is
within; momentum - LAMB 0.017 [0.010, 0.034] is beyond; momentum - LARS 0.008 [-0.001, 0.031] and
AdamW - LARS -0.008 [-0.020, -0.001] are undecided. Corrected for four claims none is significant at
5 % (p 0.12), as six tunings cannot be. An earlier run, 20 seeds of one tuning, called AdamW - LARS
within 0.01, and momentum - LAMB undecided: its intervals left out the tuning.
"""

from lbexp import config


def get_config():
    c = config.base()
    c.workload = dict(name='digits_mlp', hidden=(128, 128), validation=360)
    c.schedule = dict(name='polynomial', power=2.0, warmup=0.1)  # warm-up: fraction of all updates
    c.study = dict(
        name='reality_check',
        optimizers=('momentum', 'adamw', 'lars', 'lamb'),
        batch_size=512,  # half of the training set
        budget=16,  # points tried for each optimizer
        seeds=4,  # reported of each tuning
        tunings=6,
        margin=0.01,  # difference of test error that counts as none
    )
    c.epochs = 30.0
    c.num_rows, c.num_evaluations, c.num_checkpoints = 10, 5, 1
    return c
