"""At large batch and an equal tuning budget, Nesterov momentum and AdamW match LARS and LAMB.

Nado et al. 2021 (arXiv:2102.06356), on the digits at half of the training set per update, 64
updates.

    python -m lbexp.main --config=experiments/reality_check.py

`:titles_lstm` and `:sotu_lm` ask it of LAMB against AdamW on language models, whose error is the
share of tokens that are not the most probable; `:blue_marble_cnn` and `:fashion_simclr` of LARS
against momentum, on a network with batch norm and on pictures without labels, whose error is the
share of views whose partner is not the nearest; `:ctr` of all four on a model of clicks. One tuning
of six points each decides nothing: `--config.study.tunings=6` may. With that, 2 seeds of each: on
clicks (5 minutes on 2 CPU cores) AdamW 0.144 [0.143, 0.146], LARS 0.153, momentum 0.160, LAMB 0.161
[0.142, 0.239], all four claims undecided; AdamW - LAMB -0.018 [-0.094, 0.004]. On an H200, shared
with other studies, `:titles_lstm` AdamW - LAMB -0.015 [-0.037, 0.030] and `:sotu_lm` -0.002
[-0.019, 0.013], both undecided. `:blue_marble_cnn` with one tuning and `--config.study.seeds=6`, 17
minutes beside other work: LARS 0.363 [0.318, 0.383], momentum 0.401 [0.395, 0.419], apart by 0.047
[0.013, 0.082], undecided, as one tuning says nothing of the next. `:fashion_simclr` was not run to
its end.

Every optimizer tunes three numbers, learning rate, momentum and weight decay; other spaces are
`spaces=(dict(optimizer='lamb', learning_rate=('log', 1e-3, 1e-1), ...),)`.

On 2 CPU cores shared with other work: 4 to 5 minutes, 6 tunings of 16 points for each, 4 seeds of
each tuning. Expected: differences of test error within 0.01. Measured, and again with
`--config.seed=1`: momentum 0.045 and 0.040, AdamW 0.029 and 0.033, LARS 0.036 and 0.032, LAMB 0.030
and 0.029. All four claims are undecided in both, as six tunings and 359 test images are too few:
momentum - LARS 0.013 [0.003, 0.017] and 0.007 [-0.003, 0.022], momentum - LAMB 0.018 [0.010, 0.022]
and 0.014 [0.008, 0.019], AdamW - LARS -0.006 [-0.017, 0.005] and 0.001 [-0.020, 0.009], AdamW -
LAMB 0.002 [-0.013, 0.005] and 0.002 [-0.001, 0.009]. Over seeds of one tuning each of them was
called decided before, and not the same way twice. `tunings='auto'` tunes until they are decided, 32
times at most.
"""

from lbexp import config
from lbexp.errors import Refusal

_ADAPTIVE, _MOMENTUM = ('adamw', 'lamb'), ('momentum', 'lars')
_CLICKS = dict(name='binary', data=dict(name='adult', validation=4000), model=dict(name='dcn'))
# workload, optimizers, examples per update, updates, margin
_OTHERS = {
    'titles_lstm': (dict(name='titles_lstm', validation=4000), _ADAPTIVE, 1024, 80, 0.005),
    'sotu_lm': (dict(name='sotu_lm', validation=1024), _ADAPTIVE, 256, 100, 0.005),
    'ctr': (_CLICKS, (*_MOMENTUM, *_ADAPTIVE), 4096, 80, 0.005),
    'blue_marble_cnn': (dict(name='blue_marble_cnn', validation=1000), _MOMENTUM, 1024, 40, 0.02),
    'fashion_simclr': (dict(name='fashion_simclr', validation=4096), _MOMENTUM, 1024, 40, 0.02),
}


def get_config(workload: str = 'digits'):
    if workload != 'digits' and workload not in _OTHERS:
        names = ', '.join(map(repr, ('digits', *_OTHERS)))
        raise Refusal(f'workload: found {workload!r}; allowed: {names}')
    c = config.base()
    c.workload = dict(name='digits_mlp', hidden=(128, 128), validation=360)
    c.schedule = dict(name='polynomial', power=2.0, warmup=0.1)  # warm-up: fraction of all updates
    c.study = dict(
        name='reality_check',
        optimizers=('momentum', 'adamw', 'lars', 'lamb'),
        batch_size=512,  # half of the training set
        budget=16,  # points tried for each optimizer
        seeds=4,  # reported of each tuning
        tunings=6,
        margin=0.01,  # difference of test error that counts as none
    )
    c.epochs = 30.0
    if workload in _OTHERS:
        c.workload, optimizers, size, updates, margin = _OTHERS[workload]
        c.study.update(optimizers=optimizers, batch_size=size, margin=margin)
        c.study.update(budget=6, seeds=2, tunings=1)
        c.steps, c.epochs = updates, None
    c.num_rows, c.num_evaluations, c.num_checkpoints = 10, 5, 1
    return c
