"""LAMB trains a small network on the digits: the main job, end to end."""

from lbexp import config


def get_config(data: str = 'digits'):
    """`data`: 'digits' (in the package) or 'fashion_mnist' (python -m lbexp.data.prepare fashion_mnist)."""
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
        raise ValueError(f"data: found {data!r}; allowed: 'digits', 'fashion_mnist'")
    return c
