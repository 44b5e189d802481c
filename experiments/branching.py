"""How large may the batch be, early and late in a run? Measured by branches of it.

Merrill et al. 2025 (arXiv:2505.23971), on MNIST-1D with SGD: from points of a run at batch size
8 branches go on with up to 64 times that, the rate as many times higher, for 8192 examples. A
batch counts as small enough where the loss falls by half or more of what it falls by with 8: an
absolute epsilon would let every batch pass once training is slow.

    python -m lbexp.main --config=experiments/branching.py

On 2 shared CPU cores: four minutes. Measured with `--config.seed=0` and `1`, 12 seeds each: the
critical batch size is 512 or more after 64 updates, 280 [229, 320] and 295 [275, 333] after 256,
234 [189, 271] and 220 [186, 267] after 1,024, 133 [95, 144] and 136 [84, 139] after 4,096. It falls
where the paper has it rise, in both runs: with half of what the loss falls by as the measure, and a
loss that falls by ever less. The noise scale, 344 [294, 468] and 339 [223, 709] at first, 442 [305,
647] and 348 [315, 591] at the end, is of the critical size in the middle (reproduced in the first
run, undecided in the second) and 3.7 [2.4, 6.6] and 3.3 [2.5, 4.6] times it at the end.
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
