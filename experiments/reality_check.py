"""At large batch and an equal tuning budget, Nesterov momentum and AdamW match LARS and LAMB.

Nado et al. 2021 (arXiv:2102.06356), on the digits at half of the training set per update, 64
updates.

    python -m lbexp.main --config=experiments/reality_check.py

On 2 CPU cores, shared (load average 4 to 6): 1 to 2 minutes. Expected: differences of test error
within 0.01. Measured (16 points each, 20 seeds): momentum 0.043, AdamW 0.031, LARS 0.031, LAMB
0.025. AdamW - LARS -0.003 [-0.008, 0.004] and AdamW - LAMB 0.006 [0.003, 0.006] are within;
momentum - LARS 0.013 [0.003, 0.018] and momentum - LAMB 0.018 [0.008, 0.025] are undecided.
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
