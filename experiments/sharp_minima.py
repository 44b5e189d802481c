"""Large batches end in sharp minima (Keskar et al. 2017, arXiv:1609.04836); whether sharpness tells
of test error is another question (Andriushchenko et al. 2023, arXiv:2302.07011), and box sharpness
is a matter of scale (Dinh et al. 2017, arXiv:1703.04933).

On MNIST-1D, every batch size with as many updates as the smallest has, so that all fit their
training set, and at its own tuned rate.

    python -m lbexp.main --config=experiments/sharp_minima.py

On 2 shared CPU cores: five minutes. Measured with `--config.seed=0` and `1`, 8 seeds each: @S@
"""

from lbexp import config


def get_config():
    c = config.base()
    # examples held out of the training set, for tuning
    c.workload = dict(name='mnist1d', validation=400)
    c.optimizer = dict(
        name='momentum',
        learning_rate=0.1,  # each trial sets its own
        momentum=0.9,
        nesterov=True,
    )
    c.schedule = dict(name='cosine', warmup=0.05)  # warm-up: fraction of all updates
    c.evaluate_train = 1000  # examples of the training set on which the training error is measured
    c.study = dict(
        name='sharp_minima',
        batch_sizes=(32, 128, 512),  # examples per update
        learning_rates=(0.01, 3.0),  # searched
        budget=6,  # learning rates tried for each batch size
        seeds=8,
        examples=512,  # of the training set, that sharpness is measured on
    )
    c.epochs = 20.0  # of the smallest batch; the others have as many updates
    c.num_rows, c.num_evaluations, c.num_checkpoints = 2, 1, 1
    return c
