"""LAMB trains a small network to the accuracy of AdamW, at a batch far larger than needed.

You et al. 2020 (arXiv:1904.00962), Algorithm 2, on small real data: the digits of the package, or
Fashion-MNIST.

    python -m lbexp.main --config=experiments/lamb.py
    python -m lbexp.main --config=experiments/lamb.py:fashion_mnist      (python -m
    lbexp.data.prepare fashion_mnist)

On 2 CPU cores: digits 15 s with start and report, Fashion-MNIST 2 to 3 minutes. Expected test
accuracy: digits 0.98 +- 0.01, Fashion-MNIST 0.88 +- 0.01. Measured (seed 0) on one processor 0.9861
and 0.8796, on another 0.9805 and 0.8783.
"""

from lbexp import config
from lbexp.errors import Refusal


def get_config(data: str = 'digits'):
    """`data`: 'digits' (in the package) or 'fashion_mnist' (python -m lbexp.data.prepare
    fashion_mnist)."""
    c = config.base()
    c.optimizer = dict(
        name='lamb',
        learning_rate=0.02,  # peak [weight norms per update]
        b1=0.9,  # decay of the gradient mean, per update, in [0, 1)
        b2=0.999,  # decay of the squared-gradient mean, per update, in [0, 1)
        eps=1e-6,  # added to the root of the squared-gradient mean [gradient units]
        weight_decay=0.01,  # of matrices [1 / learning rate]
    )
    c.schedule = dict(name='cosine', warmup=0.1)  # warm-up: fraction of all updates
    c.seed = 0
    if data == 'digits':
        c.workload = dict(name='digits_mlp')
        c.batch_size = 128  # examples per update
        c.epochs = 40.0  # passes over the training set
    elif data == 'fashion_mnist':
        c.workload = dict(name='fashion_mlp')
        c.batch_size = 512
        c.epochs = 10.0
    else:
        raise Refusal(f"data: found {data!r}; allowed: 'digits', 'fashion_mnist'")
    return c
