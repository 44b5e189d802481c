"""The best learning rate of momentum on the digits is at least 0.3: 4 rates x 4 seeds in one
program.

    python -m lbexp.main --config=experiments/sweep_lr.py

On 2 CPU cores: half a minute for 16 trials. Expected median test accuracy: rising from 0.95 at 0.01
to 0.98 at 0.3. Measured (medians of 4 seeds): 0.951 at 0.01, 0.969 at 0.03, 0.976 at 0.1, 0.982 at
0.3; 12 of 16 trials reach 0.96, those at 0.01 do not. The best is at the edge of the grid.
"""

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
