"""The gradient noise scale tr Sigma / |G|^2, measured while training, predicts the critical batch
size.

McCandlish et al. 2018 (arXiv:1812.06162), Section 2.2. The critical batch size is that of the
hyperbola through tuned steps to a target, of the same trials.

    python -m lbexp.main --config=experiments/noise_scale.py

On 2 shared CPU cores: nine minutes. Intervals are over the seeds of one tuning, whose noise they
leave out. Measured with `--config.seed=0` and `1`, 10 seeds each: @N@
"""

from lbexp import config


def get_config():
    c = config.base()
    c.workload = dict(
        name='digits_mlp',
        hidden=(32,),
        validation=360,
        replacement=True,  # independent batches: within an epoch noise cancels
    )
    c.study = dict(
        name='noise_scale',
        optimizers=('sgd', 'momentum', 'adamw'),
        batch_sizes=(4, 8, 16, 32, 64, 128, 256),  # examples per update
        measured_at=32,
        target=0.05,  # validation error
        examples=10000,  # a run has updates + examples / batch size updates
        updates=150,
        budget=6,  # learning rates tried at each setting,
        seeds_per_point=3,  # with as many seeds each: first crossings are noisy
        seeds=10,
        factor=2.0,
    )
    c.steps = 1  # each trial sets its own
    # each crossing is known to one 100th of its run
    c.num_rows, c.num_evaluations, c.num_checkpoints = 100, 100, 1
    return c
