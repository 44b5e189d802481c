"""Full-batch training sharpens until theory says that it is no longer stable, and stays there.

Cohen et al. 2021 (arXiv:2103.00065): gradient descent, heavy ball and Nesterov; Cohen et al. 2022
(arXiv:2207.14484): Adam. Lookahead is measured against its own limit. With noise: how far below.

    python -m lbexp.main --config=experiments/edge_of_stability.py

On 2 shared CPU cores: two minutes. Measured with `--config.seed=0` and `1`, 6 seeds each, the
largest eigenvalue as a share of the limit: gradient descent 1.03 [1.02, 1.03] (one seed of six
diverged: undecided) and 1.02 [1.01, 1.03], heavy ball 0.96 [0.90, 0.98] and 0.94 [0.85, 0.99]
(within 10 %: undecided in both), Nesterov 1.00 [1.00, 1.01] and 1.00 [0.99, 1.00], Adam,
preconditioned, 0.99 [0.95, 0.99] and 0.99 [0.98, 1.01], Lookahead 1.02 [1.01, 1.02] and 1.01 [1.01,
1.02]. With noise it stays below: SGD with batch size 128 at 0.99, 32 at 0.92 and 0.91, 8 at 0.70
and 0.69.
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
