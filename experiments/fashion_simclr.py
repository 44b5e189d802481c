"""A small encoder learns from Fashion-MNIST without labels: SimCLR with LARS.

    python -m lbexp.data.prepare fashion_mnist
    python -m lbexp.main --config=experiments/fashion_simclr.py

The report compares what a logistic regression on 5,000 labelled pictures, and the vote of the 20
nearest of them, make of the features with what they make of those of the untrained encoder. One
seed decides nothing: --config.study.seeds=6 may. A loss of log(2 * 256 - 1) = 6.24 is that of an
encoder that says nothing.

The default is one epoch of 234 updates; published encoders train for hundreds of epochs
(--config.epochs=100). Measured with six seeds: after one epoch the linear probe has 0.008 [-0.004,
0.016] more than untrained, 0.783 [0.764, 0.792], which decides nothing; after five (78 minutes on 2
CPU cores that had other work, too) 0.021 [0.011, 0.044] more. Nearest neighbours are worse than
untrained, by 0.025 [0.017, 0.032] after one and 0.018 [0.009, 0.028] after five.
"""

from lbexp import config


def get_config():
    c = config.base()
    c.workload = dict(name='fashion_simclr')
    # rate and decay of Chen et al. 2020 (appendix B.9, CIFAR-10): 1.0 batch / 256
    c.optimizer = dict(
        name='lars',
        learning_rate=1.0,  # peak
        weight_decay=1e-4,
        denominator='norm_of_sum',
        zero_ratio=1.0,
    )
    c.schedule = dict(name='cosine', warmup=0.1)
    c.batch_size, c.epochs = 256, 1.0
    c.num_evaluations = 2
    c.study = dict(name='linear_probe', seeds=1)
    return c
