"""A small encoder learns from Fashion-MNIST without labels: SimCLR with LARS.

python -m lbexp.data.prepare fashion_mnist
python -m lbexp.main --config=experiments/fashion_simclr.py
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
