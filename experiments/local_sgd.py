"""Workers that average their weights every k steps: what that costs at equal examples, and what it
does to the noise.

Local SGD, with Lookahead's slow step (arXiv:1907.08610) or outer Nesterov momentum between its
synchronisations, and DiLoCo (Douillard et al. 2023, arXiv:2311.08105) beside synchronous AdamW;
MNIST-1D, 16 examples of each worker in a step, 10 epochs, the learning rate of every arm tuned with
the same budget. Beside it the stationary variance of the slow weights on the noisy quadratic, in
closed form and from the trainer.

    python -m lbexp.main --config=experiments/local_sgd.py
    python -m lbexp.main --config=experiments/local_sgd.py:fashion_mlp

Three cores of a server: 140 s, 6 tunings of 5 points, 2 seeds each. Expected: variances agree
(every |z| below 4). No paper claims that averaging every k steps matches a network's test error:
Stich 2019 (arXiv:1805.09767) bounds the loss of convex problems, for k up to the order of sqrt(T /
W), here 5.9 with 8 workers. Measured, before k 4 and DiLoCo were among the arms: 63 variances,
largest |z| 3.24, chi-square p 0.48. Test error with 2 workers: synchronous 0.333, k 8 0.332, k 32
0.357; with 8 workers, which make a fourth of the updates: synchronous 0.373, k 8 0.421, k 32 0.511.
So at so few updates (274) averaging every 8 steps is not within the margin: difference 0.059
[0.039, 0.076] over tunings. Outer momentum 0.6 lowers the error of k 32 by 0.033 [0.007, 0.040]; a
slow step of 0.5 raises it by 0.057 [0.049, 0.067]. Corrected for five claims none is significant at
5 % (p 0.12), as six tunings cannot be. Earlier, over 5 seeds of one tuning: on fashion_mlp (2
epochs; 40 minutes, shared with other work), with 8 workers: synchronous 0.133, k 8 0.146, k 32
0.157, differences 0.013 [0.011, 0.014] and 0.025 [0.023, 0.026]; outer momentum gives 0.013 [0.011,
0.015] of it back, a slow step of 0.5 costs 0.015.
"""

from lbexp import config


def get_config(workload='mnist1d'):
    c = config.base()
    c.workload = dict(name=workload, validation=5000 if workload == 'fashion_mlp' else 500)
    c.optimizer = dict(name='momentum', learning_rate=0.1, momentum=0.9)
    c.schedule = dict(name='cosine')
    c.study = dict(
        name='local_sgd',
        workers=(2, 8),
        ks=(4, 8, 32),
        slow_step_sizes=(0.5,),
        outer_momentum=0.6,
        worker_batch=16,
        rates=(0.01, 0.3),
        budget=5,
        # of a set that takes many minutes, the seeds of one tuning alone
        seeds=6 if workload == 'fashion_mlp' else 2,
        tunings=1 if workload == 'fashion_mlp' else 6,
        margin=0.01,  # difference of test error that counts as none
        updates=1600,
    )
    c.epochs = 2.0 if workload == 'fashion_mlp' else 10.0
    c.num_rows, c.num_evaluations, c.num_checkpoints = 5, 1, 1
    return c
