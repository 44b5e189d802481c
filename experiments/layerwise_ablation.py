"""Which part of LARS and LAMB does the work at large batch: the trust ratio, where it acts, its
clipping, or the bias correction?

You et al. 2017 (arXiv:1708.03888), You et al. 2020 (arXiv:1904.00962), on the digits at half of the
training set per update, 64 updates, each arm tuned alike.

    python -m lbexp.main --config=experiments/layerwise_ablation.py
"""

from lbexp import config


def get_config():
    c = config.base()
    c.workload = dict(name='digits_mlp', hidden=(128, 128), validation=360)
    c.schedule = dict(name='polynomial', power=2.0, warmup=0.1)  # warm-up: fraction of all updates
    c.study = dict(
        name='layerwise_ablation',
        batch_size=512,  # half of the training set
        last='Dense_2',  # the layer without a trust ratio in two of the arms
        budget=8,  # points tried for each arm
        seeds=2,  # reported of each tuning
        tunings=9,
        margin=0.01,  # difference of test error that counts as none
    )
    c.epochs = 30.0
    c.num_rows, c.num_evaluations, c.num_checkpoints = 10, 1, 1
    return c
