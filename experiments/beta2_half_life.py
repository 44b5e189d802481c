"""Do small batches want Adam's second moment to remember as many examples, or as many updates?

Marek et al. 2025 (arXiv:2507.07101): kept in tokens, the half-life of batch 256 lets small batches
do as well. MNIST-1D, 10 epochs, the learning rate of every arm tuned with the same budget.

    python -m lbexp.main --config=experiments/beta2_half_life.py

On 2 CPU cores: 3 minutes. Measured with `--config.seed=0` and `1` (6 tunings, 2 seeds each): test
error 0.433 and 0.446 at batch 256; at batch 32 with b2 0.95 0.382 and 0.373, with its half-life
kept in examples 0.384 and 0.377; at batch 4 0.368 and 0.372, with it 0.356 and 0.355. Small batches
do better at equal epochs, with it or without (reproduced in both runs); that the half-life is what
they need is undecided: 0.012 [-0.001, 0.019] and 0.015 [-0.032, 0.030] at batch 4, nothing at 32.

`:sotu_lm` asks a transformer of 0.1 million parameters, by the test loss of a token: 0.6 million
tokens of speeches for each trial, batches of 4, 16 and 64 rows of 64 tokens, the latter two
accumulated from rows four by four. The claim is that batch 4 with the half-life kept does as well
as the accumulated 64. Measured (one tuning, 6 seeds; half an hour on 2 CPU cores that had other
work, too): 4.18 [4.15, 4.18] nats a token at batch 4 and 4.33 [4.08, 4.57] with the half-life kept,
4.45 [4.40, 4.58] and 4.57 [4.47, 4.93] at 16, 5.47 [5.27, 5.74] at 64. Small batches do better than
one accumulated from them (reproduced at both), b2 scaled or not; whether scaling it helps is
undecided, as four rates leave an error of 0.25 to 0.35.

    python -m lbexp.data.prepare sotu
    python -m lbexp.main --config=experiments/beta2_half_life.py:sotu_lm
"""

from lbexp import config
from lbexp.errors import Refusal


def get_config(workload: str = 'mnist1d'):
    if workload not in ('mnist1d', 'sotu_lm'):
        raise Refusal(f"workload: found {workload!r}; allowed: 'mnist1d', 'sotu_lm'")
    c = config.base()
    c.workload = dict(name='mnist1d', validation=500)
    c.schedule = dict(name='cosine')
    c.study = dict(
        name='beta2_half_life',
        batch_sizes=(4, 32),
        reference=256,
        b2=0.95,  # at the reference
        rates=(0.0001, 0.01),
        budget=5,  # points tried for each arm
        seeds=2,  # reported of each tuning
        tunings=6,
        margin=0.01,  # difference of test error that counts as none
    )
    c.epochs = 10.0
    if workload == 'sotu_lm':
        c.workload = dict(name='sotu_lm', size='0.1M', validation=256)
        c.schedule = dict(name='cosine', warmup=0.05)
        c.study.update(metric='token_loss', margin=0.02)  # [nats]
        c.study.update(batch_sizes=(4, 16), reference=64, rates=(0.001, 0.03))
        c.study.update(budget=4, seeds=6, tunings=1)
        c.microbatch = 4  # batches of 16 and 64 are accumulated from these
        c.epochs = 0.18  # 0.6 million tokens
    c.num_rows, c.num_evaluations, c.num_checkpoints = 5, 1, 1
    return c
