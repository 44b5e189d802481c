"""Momentum extends perfect scaling: it turns examples into fewer updates up to a larger batch than
plain SGD does.

Shallue et al. 2019 (arXiv:1811.03600); McCandlish et al. 2018 (arXiv:1812.06162), Section 2.3.

    python -m lbexp.main --config=experiments/steps_to_target.py

Fewer optimizers: `--config.study.optimizers="('sgd','momentum')"`.

`:sotu_lm` and `:titles_lstm` ask the same of language models, `:ctr` of a model of clicks, each at
a loss of the validation set: --config.study.target=4.2; `:fashion_cnn` of LARS and momentum on a
convolutional network with ghost batch norm. `:titles_lstm` and `:fashion_cnn` are sized for half an
hour and were not run yet.

What fine-tuning does to the critical batch size: the same with weights to begin from, rates around
1e-5, and a target that these do not reach yet.

    python -m lbexp.main --config=experiments/steps_to_target.py:sotu_lm --config.study.target=3.8
    --config.init_from.weights=runs/sotu_lm-... --config.study.optimizers="('adamw',)"
    --config.study.spaces="({'optimizer': 'adamw', 'learning_rate': ('log', 3e-6, 3e-4)},)"

Any optimizer by name, with a space of its own:

    optimizers=('momentum', 'optax.contrib:muon'),
    spaces=(dict(optimizer='optax.contrib:muon', learning_rate=('log', 0.003, 0.1)),)

Intervals are over the seeds of one tuning and leave its noise out; `tunings=6` takes it in, in six
times the time. On 2 CPU cores, shared with tests: 12 minutes. Expected: a critical batch size of
momentum above that of SGD. Measured with `--config.seed=0` and `1` (15 seeds each): SGD 27.4 [24.4,
30.8] and 23.4 [20.4, 26.9], Lookahead around momentum 42.2 [36.1, 48.7] and 39.1 [34.8, 44.1],
momentum 77.9 [67.5, 90.4] and 76.9 [66.3, 90.2], NovoGrad 72.2 [64.3, 81.6] and 75.1 [65.9, 86.2],
LAMB 96.1 [85.6, 108] and 78.2 [68.1, 88.9], LARS 91.4 [78.2, 106] and 135 [117, 156]. The last two
show what a tuning adds: their intervals do not overlap. Momentum over SGD 2.85 [2.36, 3.38] and
3.29 [2.89, 3.76], reproduced in both; a noisy quadratic (500 curvatures 1 / i, loss 0.01), which is
not fitted to this network, has 7.8. The hyperbola deviates by 8 to 25 % (root mean square) from the
medians, within 20 % for SGD, momentum, Lookahead and LAMB in both. Perfect scaling itself, slope
-1, is judged below a quarter of the critical batch size alone, where the curve may show it, and is
undecided there. 12 and 29 of 720 reported runs did not reach the target: censored.
"""

from lbexp import config
from lbexp.errors import Refusal

_WORKLOADS = ('digits', 'sotu_lm', 'titles_lstm', 'ctr', 'fashion_cnn')


def get_config(workload: str = 'digits'):
    if workload not in _WORKLOADS:
        names = ', '.join(map(repr, _WORKLOADS))
        raise Refusal(f'workload: found {workload!r}; allowed: {names}')
    c = config.base()
    c.workload = dict(name='digits_mlp', hidden=(32,), validation=360)
    c.study = dict(
        name='steps_to_target',
        optimizers=('sgd', 'momentum', 'lookahead', 'lars', 'lamb', 'novograd'),
        batch_sizes=(4, 8, 16, 32, 64, 128, 256, 512),  # examples per update
        metric='error',  # of the validation set
        target=0.05,
        examples=10000,  # a run has updates + examples / batch size updates
        updates=150,
        budget=7,  # learning rates tried at each setting,
        seeds_per_point=3,  # with as many seeds each: first crossings are noisy
        seeds=15,
    )
    if workload == 'sotu_lm':
        c.workload = dict(name='sotu_lm', size='0.1M', validation=256)
        c.study.update(optimizers=('momentum', 'adamw', 'lamb'), metric='token_loss', target=4.5)
        c.study.update(batch_sizes=(4, 8, 16, 32, 64, 128), examples=8000, updates=200)
        c.study.update(budget=5, seeds_per_point=1, seeds=6)
    if workload == 'titles_lstm':
        c.workload = dict(name='titles_lstm', validation=1000)
        c.study.update(optimizers=('adamw', 'lamb'), metric='token_loss', target=5.0)
        c.study.update(batch_sizes=(16, 64, 256), examples=20000, updates=40)
        c.study.update(budget=4, seeds_per_point=1, seeds=4)
    if workload == 'fashion_cnn':
        c.workload = dict(name='fashion_cnn', validation=1000, batch_norm=True, ghost=16)
        c.study.update(optimizers=('momentum', 'lars'), target=0.2)
        c.study.update(batch_sizes=(16, 128, 1024), examples=20000, updates=60)
        c.study.update(budget=4, seeds_per_point=1, seeds=4)
    if workload == 'ctr':
        data = dict(name='adult', validation=4000)
        c.workload = dict(name='binary', data=data, model=dict(name='dcn', cross='matrix'))
        c.study.update(optimizers=('momentum', 'adamw', 'lamb'), metric='loss', target=0.32)
        c.study.update(batch_sizes=(32, 128, 512, 2048, 8192), examples=60000, updates=150)
        c.study.update(budget=5, seeds_per_point=1, seeds=6)
    c.steps = 1  # each trial sets its own
    # each crossing is known to one 150th of its run
    rows = 150
    if workload in ('titles_lstm', 'fashion_cnn'):  # whose evaluations take longer than training
        rows = 20
    c.num_rows, c.num_evaluations, c.num_checkpoints = rows, rows, 1
    return c
