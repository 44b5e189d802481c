"""Does a network's weight variance grow with learning rate over batch size, and does Lookahead
lower it, as on a quadratic?

Zhang et al. 2019 (arXiv:1907.08610), Proposition 2, says so of quadratics; here the quadratic has
the whole Hessian and gradient covariance of a real network.

    python -m lbexp.main --config=experiments/network_steady_state.py

On 2 CPU cores shared with other work: 7 minutes (2.5 to 3 of CPU time). Expected on the quadratic:
V ~ (gamma / B)^1, and measured over predicted 1. Measured (6 seeds): (gamma / B)^0.75 [-0.08,
1.01], undecided; measured over predicted 2.5 [2.1, 4.3] at gamma 0.05, 3.2 [1.9, 5.8] at 0.1, 1.6
[1.4, 5.0] at 0.2: the level is not that of the quadratic, though only 2 of 48 trials still drift.
Lookahead over SGD 0.77 [0.36, 1.96], 0.37 [0.29, 1.03], 0.55 [0.12, 1.14] where the quadratic says
0.45, 0.46, 0.46: undecided. Corrected for ten claims none is significant at 5 %. With
--config.seed=1 every verdict is the same: 0.82 [0.41, 0.97]; 2.8, 2.7 and 2.6 over predicted; 0.44,
0.77 and 0.56.

:fashion_mlp (5 minutes; python -m lbexp.data.prepare fashion_mnist). Measured, 4 seeds, which
decide nothing: Lookahead over SGD 0.65 [0.43, 1.68] where the quadratic says 0.50 (gamma 0.05), V ~
(gamma / B)^1.09 [-0.17, 1.25]; gamma 0.2 is at the edge of stability there.
"""

from lbexp import config
from lbexp.errors import Refusal


def get_config(workload: str = 'digits_mlp'):
    """`workload`: 'digits_mlp' or 'fashion_mlp'."""
    if workload not in ('digits_mlp', 'fashion_mlp'):
        raise Refusal(f"workload: found {workload!r}; allowed: 'digits_mlp', 'fashion_mlp'")
    c = config.base()
    c.workload = dict(
        name=workload,
        # 610 and 2,395 weights: the whole Hessian is affordable
        hidden=(8,) if workload == 'digits_mlp' else (3,),
        replacement=True,  # independent batches, as the theory has them
    )
    c.study = dict(
        name='network_steady_state',
        learning_rates=(0.05, 0.1, 0.2),
        batch_sizes=(8, 16, 32),  # examples per update
        slow_step_sizes=(0.5,),
        k=5,  # updates per Lookahead cycle
        weight_decay=0.01,  # without it flat directions never come to rest
        seeds=6,
        tolerance=0.25,  # difference that counts as none, relative
        burn_in=7500,  # updates, or more where the run is not at rest:
        latest=30000,
        updates=20000,  # that follow
        spectrum_examples=4000,
    )
    c.steps = 1  # each trial sets its own
    c.num_rows, c.num_evaluations, c.num_checkpoints = 10, 2, 2
    return c
