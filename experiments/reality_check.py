"""At large batch and an equal tuning budget, Nesterov momentum and AdamW match LARS and LAMB.

Nado et al. 2021 (arXiv:2102.06356), on the digits at half of the training set per update, 64
updates.

    python -m lbexp.main --config=experiments/reality_check.py

Every optimizer tunes three numbers, learning rate, momentum and weight decay; other spaces are
`spaces=(dict(optimizer='lamb', learning_rate=('log', 1e-3, 1e-1), ...),)`.

On 2 CPU cores shared with other work: 4 to 5 minutes, 6 tunings of 16 points for each, 4 seeds of
each tuning. Expected: differences of test error within 0.01. Measured, and again with
`--config.seed=1`: momentum 0.045 and 0.040, AdamW 0.029 and 0.033, LARS 0.036 and 0.032, LAMB 0.030
and 0.029. All four claims are undecided in both, as six tunings and 359 test images are too few:
momentum - LARS 0.013 [0.003, 0.017] and 0.007 [-0.003, 0.022], momentum - LAMB 0.018 [0.010, 0.022]
and 0.014 [0.008, 0.019], AdamW - LARS -0.006 [-0.017, 0.005] and 0.001 [-0.020, 0.009], AdamW -
LAMB 0.002 [-0.013, 0.005] and 0.002 [-0.001, 0.009]. Over seeds of one tuning each of them was
called decided before, and not the same way twice. `tunings='auto'` tunes until they are decided, 32
times at most.
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
