"""How large may the batch be, early and late in a run? Measured by branches of it.

Merrill et al. 2025 (arXiv:2505.23971), on MNIST-1D with SGD: from points of a run at batch size
8 branches go on with up to 64 times that, the rate as many times higher, for 8192 examples. A
batch counts as small enough where the loss falls by half or more of what it falls by with 8: an
absolute epsilon would let every batch pass once training is slow.

    python -m lbexp.main --config=experiments/branching.py

On 2 shared CPU cores: four minutes. Measured with `--config.seed=0` and `1`, 12 seeds each: @B@
"""

from lbexp import config


def get_config():
    c = config.base()
    c.workload = dict(name='mnist1d')
    c.optimizer = dict(name='sgd', learning_rate=0.02)
    c.study = dict(
        name='branching',
        points=(64, 256, 1024, 4096),  # updates
        batch_size=8,
        multiples=(2, 4, 8, 16, 32, 64),
        examples=8192,  # of each branch
        epsilon=0.5,
        relative=True,
        seeds=12,
    )
    c.steps = 1  # each trial sets its own
    c.num_rows, c.num_checkpoints = 16, 1
    return c
