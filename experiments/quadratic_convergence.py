"""How fast do momentum and Lookahead around it converge on quadratics of many condition numbers?

After Zhang et al. 2019 (arXiv:1907.08610), Section 3.2 and Figure 3, with the learning rate tuned
for each: where momentum is under-damped, and where it is over-damped. Without noise nothing depends
on the seed.

    python -m lbexp.main --config=experiments/quadratic_convergence.py

On 2 CPU cores: 45 s. Expected: the trainer's rates equal the spectral radius within 1 % in the
median. Measured: 0.1 %, 3.5 % at worst. With the learning rate tuned for each optimizer, Lookahead
(k 20, alpha 0.5) is faster at 4 of 14 condition numbers where momentum is under-damped, 2.1 times
at beta 0.99, condition number 10, and up to 6.5 times slower, at 1e5; where it is over-damped 2.1
to 5.4 times slower. That it costs little there does not hold.
"""

from lbexp import config


def get_config():
    c = config.base()
    c.workload = dict(
        name='noisy_quadratic',
        dimension=32,  # curvatures, from 1 / condition number to 1, even in the logarithm
        spectrum=(1.0,) * 32,  # each trial sets its own
        noise=0.0,  # deterministic
        start=1e17,  # distance of each coordinate from the optimum: room to fall far in float32
    )
    c.study = dict(
        name='convergence',
        conditions=(10.0, 100.0, 1000.0, 10000.0),
        momenta=(0.9, 0.99),
        k=20,  # updates per Lookahead cycle
        slow_step_size=0.5,
    )
    c.batch_size = 1
    c.steps = 1  # each trial sets its own
    c.num_rows, c.num_evaluations, c.num_checkpoints = 100, 0, 1
    return c
