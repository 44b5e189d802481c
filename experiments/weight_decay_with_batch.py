"""Does AdamW's best weight decay grow with the batch size, so that its timescale stays?

Bergsma et al. 2025 (arXiv:2505.13738): B / (learning rate x weight decay x D) is constant at its
best, for a given model and D examples. MNIST-1D, 20 epochs, one learning rate, the weight decay
tuned at each batch size with the same budget.

    python -m lbexp.main --config=experiments/weight_decay_with_batch.py

On 2 CPU cores: 2 minutes. Measured with `--config.seed=0` and `1` (6 tunings, 2 seeds each): the
best decay grows as the batch size to the power of 0.68 [-0.93, 2.89] and 0.92 [0.76, 2.21]; at
batch 256 the decay of batch 16 costs -0.002 [-0.008, 0.009] and 0.002 [-0.002, 0.005]. Both claims
are undecided: at this size the test error hardly depends on the decay.
"""

from lbexp import config


def get_config():
    c = config.base()
    c.workload = dict(name='mnist1d', validation=500)
    c.schedule = dict(name='cosine')
    c.study = dict(
        name='weight_decay_with_batch',
        batch_sizes=(16, 64, 256),
        learning_rate=0.003,
        decays=(0.01, 30.0),
        budget=8,  # points tried for each batch size
        seeds=2,  # reported of each tuning
        tunings=6,
        tolerance=0.3,  # difference from a slope of 1 that counts as none
    )
    c.epochs = 20.0
    c.num_rows, c.num_evaluations, c.num_checkpoints = 5, 1, 1
    return c
