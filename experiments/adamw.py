"""AdamW on the digits, taken from optax by name: any optax optimizer is a baseline.

    python -m lbexp.main --config=experiments/adamw.py

On 2 CPU cores: 11 s. Expected test accuracy 0.98 +- 0.01. Measured (seed 0): 0.9777.
"""

from lbexp import config


def get_config():
    c = config.base()
    c.optimizer = dict(
        name='optax:adamw',
        learning_rate=0.003,  # peak [parameter units per update]
        b1=0.9,  # decay of the gradient mean, per update, in [0, 1)
        b2=0.999,  # decay of the squared-gradient mean, per update, in [0, 1)
        weight_decay=0.01,  # of all parameters [1 / learning rate]
    )
    c.schedule = dict(name='cosine', warmup=0.1)  # warm-up: fraction of all updates
    c.workload = dict(name='digits_mlp')
    c.batch_size = 128  # examples per update
    c.epochs = 40.0  # passes over the training set
    return c
