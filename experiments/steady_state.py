"""Lookahead lowers the stationary variance of the weights as Proposition 2 of its paper says.

Zhang, Lucas, Ba, Hinton 2019 (arXiv:1907.08610), Proposition 2 and Figure 2, with momentum,
Nesterov, EMA, real batches and added noise beside it; every closed form against the trainer.

    python -m lbexp.main --config=experiments/steady_state.py

On 2 CPU cores: 70 s cold (100 s of CPU time). Expected: every |z| below 4 over 292 variances,
p-value of the chi-square in (0.001, 0.999). Measured, and again with `--config.seed=1`: largest |z|
3.03 and 2.72, p 0.53 and 0.06 (Lookahead around SGD), 0.92 and 0.57 (the rest), largest standard
error 0.95 % of the value; Lookahead has 0.11 to 0.80 of SGD's variance.
"""

from lbexp import config


def get_config():
    c = config.base()
    c.workload = dict(
        name='noisy_quadratic',
        replicas=1000,  # independent copies: the Monte-Carlo axis
        dimension=4,
        spectrum=(1.2, 0.6, 0.3, 0.1),  # curvature of each coordinate
        noise=1.0,  # standard deviation of the target of one example
        start=0.0,  # distance from the optimum
    )
    c.study = dict(
        name='steady_state',
        learning_rates=(0.2, 0.5, 1.0),
        momenta=(0.5, 0.9),
        ks=(5, 20),  # updates per Lookahead cycle
        slow_step_sizes=(0.2, 0.5, 0.8),
        ema_decays=(0.9,),
        batch_sizes=(1, 4),  # examples per update
        updates=4000,  # measured, per trial, after the burn-in
    )
    c.steps = 1  # each trial sets its own
    c.num_rows, c.num_evaluations, c.num_checkpoints = 4, 1, 1
    return c
