"""Does outer Nesterov momentum around AdamW help a single worker, once both are tuned alike?

SNOO, which is DiLoCo with one worker (Kallusky et al. 2025, arXiv:2510.15830), and Lookahead,
beside AdamW alone: MNIST-1D, 10 epochs, learning rate and weight decay of each tuned with the same
budget.

    python -m lbexp.main --config=experiments/single_worker_diloco.py

On 2 CPU cores: 2 minutes. Measured with `--config.seed=0` and `1` (6 tunings, 2 seeds each): test
error of AdamW 0.373 and 0.377, of Lookahead around it 0.369 and 0.368, of SNOO 0.364 and 0.379.
Both claims are undecided in both runs: AdamW - SNOO 0.013 [-0.012, 0.025] and 0.002 [-0.010,
0.028].
"""

from lbexp import config


def get_config():
    c = config.base()
    c.workload = dict(name='mnist1d', validation=500)
    c.schedule = dict(name='cosine')
    c.study = dict(
        name='single_worker_diloco',
        k=20,  # updates between outer steps
        outer_rate=0.8,
        outer_momentum=0.75,
        batch_size=32,
        rates=(0.0003, 0.03),
        decays=(0.001, 1.0),
        budget=8,  # points tried for each arm
        seeds=2,  # reported of each tuning
        tunings=6,
    )
    c.epochs = 10.0
    c.num_rows, c.num_evaluations, c.num_checkpoints = 5, 1, 1
    return c
