"""Which part of LARS and LAMB does the work at large batch: the trust ratio, where it acts, its
clipping, or the bias correction?

You et al. 2017 (arXiv:1708.03888), You et al. 2020 (arXiv:1904.00962), on the digits at half of the
training set per update, 64 updates, each arm tuned alike.

    python -m lbexp.main --config=experiments/layerwise_ablation.py

On 2 CPU cores shared with other work, so that no time is told. Measured (9 tunings of 8 points, 2
seeds each), test error: LARS 0.036, without its trust ratio 0.043, difference 0.013 [0.000, 0.022],
undecided; LAMB 0.028, without it (AdamW) 0.029, difference 0.000 [-0.004, 0.006]. Within 0.01:
biases adapted, too, and the last layer not, in both; no bias correction in LAMB. Undecided: LARC
(0.003 [-0.017, 0.014]), and whether LAMB gains by clipping (0.000 [-0.006, 0.006]). Corrected for
nine claims none is significant at 5 % (p 0.07 at least). With `--config.seed=1` the verdicts are
the same, but that LARS with its biases adapted is undecided: -0.003 [-0.011, 0.007]; the trust
ratio of LARS 0.007 [-0.001, 0.029].
"""

from lbexp import config


def get_config():
    c = config.base()
    c.workload = dict(name='digits_mlp', hidden=(128, 128), validation=360)
    c.schedule = dict(name='polynomial', power=2.0, warmup=0.1)  # warm-up: fraction of all updates
    c.study = dict(
        name='layerwise_ablation',
        batch_size=512,  # half of the training set
        last='Dense_2',  # the layer without a trust ratio in two of the arms
        budget=8,  # points tried for each arm
        seeds=2,  # reported of each tuning
        tunings=9,
        margin=0.01,  # difference of test error that counts as none
    )
    c.epochs = 30.0
    c.num_rows, c.num_evaluations, c.num_checkpoints = 10, 1, 1
    return c
