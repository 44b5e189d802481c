"""Many asynchronous workers already form a kind of slow weights: what does Lookahead at the server
add?

Workers without memory (geometric staleness, mean W - 1) before a parameter server, whose optimizer
is SGD or momentum, plain or inside Lookahead (Zhang et al. 2019, arXiv:1907.08610, who have one
worker; k 5, slow step 0.5). That workers without memory act like momentum is Mitliagkas et al. 2016
(arXiv:1605.09774); what Lookahead adds to them no paper says. MNIST-1D, 32 examples of a push, 10
epochs, the learning rate of every arm tuned with the same budget. Beside it the noisy quadratic,
exactly.

    python -m lbexp.main --config=experiments/async_lookahead.py
    python -m lbexp.main --config=experiments/async_lookahead.py:fashion_mlp

On 2 CPU cores: 4 minutes, 6 tunings of 5 points, 2 seeds each. Expected: variances agree with
theory (every |z| below 4); no gain around SGD. Measured, and again with `--config.seed=1`: 20
variances, largest |z| 2.20 in both. On the quadratic, rates tuned, SGD's expected loss over that
with Lookahead is 1.134 with 1 worker, 0.894 with 4, 0.985 with 16: what slow weights add to one
worker is gone behind stale gradients. On the network nothing is decided: test error without
Lookahead minus with it around SGD 0.004 [-0.051, 0.077] with 1 worker, 0.010 [-0.090, 0.024] with
4, -0.027 [-0.105, 0.018] with 16; around momentum 0.032 [-0.040, 0.073], 0.017 [-0.056, 0.075],
-0.012 [-0.038, 0.055]. An earlier run, 5 seeds of one tuning of 5 points a factor 3 apart, called
0.053 [0.031, 0.059] around momentum with 4 workers a gain: it was the grid's and the tuning's.

Over seeds of one tuning, on fashion_mlp (2 epochs; 13 minutes, shared with other work): around SGD
-0.007 [-0.009, -0.004], -0.006 [-0.008, -0.004], 0.001 [-0.005, 0.001]; around momentum 0.001
[-0.001, 0.002], 0.005 [0.004, 0.009], 0.016 [0.007, 0.028].
"""

from lbexp import config


def get_config(workload='mnist1d'):
    c = config.base()
    c.workload = dict(name=workload, validation=5000 if workload == 'fashion_mlp' else 500)
    c.optimizer = dict(name='sgd', learning_rate=0.1)  # each arm sets its own
    c.schedule = dict(name='cosine')
    c.study = dict(
        name='async_lookahead',
        workers=(1, 4, 16),
        delay='geometric',
        servers=('sgd', 'momentum'),
        momentum=0.9,
        k=5,  # of Lookahead
        slow_step_size=0.5,
        rates=(0.01, 1.0),
        budget=5,
        # of a set that takes many minutes, the seeds of one tuning alone
        seeds=6 if workload == 'fashion_mlp' else 2,
        tunings=1 if workload == 'fashion_mlp' else 6,
        updates=1500,
        repeats=16,
    )
    c.batch_size = 32  # examples of a push
    c.epochs = 2.0 if workload == 'fashion_mlp' else 10.0
    c.num_rows, c.num_evaluations, c.num_checkpoints = 5, 1, 1
    return c
