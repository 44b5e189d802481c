"""Full-batch training sharpens until theory says that it is no longer stable, and stays there.

Cohen et al. 2021 (arXiv:2103.00065): gradient descent, heavy ball and Nesterov; Cohen et al. 2022
(arXiv:2207.14484): Adam. Lookahead is measured against its own limit. With noise: how far below.

    python -m lbexp.main --config=experiments/edge_of_stability.py
"""

from lbexp import config


def get_config():
    c = config.base()
    c.workload = dict(name='digits_squared', hidden=(24,), examples=512)
    c.study = dict(name='edge_of_stability', batch_sizes=(8, 32, 128), seeds=6)
    c.batch_size = 512  # all examples: what follows is gradient descent
    c.steps = 2400
    c.num_rows, c.num_evaluations, c.num_checkpoints = 24, 24, 1
    return c
