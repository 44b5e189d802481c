"""At constant rate the distance from the initial weights grows like log t: a random walk in a rough
potential, rather than t^1/2 of a free one.

Hoffer, Hubara, Soudry 2017 (arXiv:1705.08741), section 3. Compared by how far curves through the
other seeds miss a seed.

    python -m lbexp.main --config=experiments/weight_diffusion.py

On 2 shared CPU cores: two minutes. Measured with `--config.seed=0` and `1`, 8 seeds each: the best
exponent of t is 0.48 [0.46, 0.49] and 0.49 [0.47, 0.50] with batch size 32, 0.21 [0.20, 0.22] twice
with 128 and 0.03 [0.02, 0.04] twice with 512, 0 being log t. So 512 moves like log t, 32 like the
free walk, t^1/2, and not like log t, and neither curve fits 128: on this network the law is one of
the batch size, not of training at a constant rate. The same verdicts in both.
"""

from lbexp import config


def get_config():
    c = config.base()
    c.workload = dict(name='mnist1d')
    c.optimizer = dict(name='momentum', learning_rate=0.02, momentum=0.9)
    c.study = dict(
        name='weight_diffusion',
        batch_sizes=(32, 128, 512),  # examples per update; rates grow with their root
        learning_rate=0.02,  # of the smallest
        updates=4000,
        seeds=8,
    )
    c.steps = 1  # each trial sets its own
    c.num_rows, c.num_evaluations, c.num_checkpoints = 400, 1, 1
    return c
