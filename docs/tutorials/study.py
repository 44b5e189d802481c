# %% [markdown]
# # A study, from question to claim
#
# The question: at a large batch, is layer-wise LAMB better than AdamW, once both are tuned alike?
# One run of each says little: the one may have had the better learning rate, the other the better
# seed. A study tunes both with the same budget on validation examples, reports fresh seeds on the
# test set, and ends in claims with intervals.

# %%
import textwrap

import lbexp

# %% [markdown]
# `reality_check` is a study of lbexp (Nado et al. 2021, arXiv:2102.06356). Each optimizer tries
# the same number of quasi-random points over learning rate, momentum and weight decay; what is
# best is trained again with seeds that no point has seen. This one is small, so that it ends in
# seconds: 6 points, 6 seeds, 5 epochs.

# %%
fields = {
    'workload': dict(name='digits_mlp', hidden=(32,), validation=360),
    'schedule': dict(name='polynomial', power=2.0, warmup=0.1),
    'study': dict(
        name='reality_check', optimizers=('adamw', 'lamb'), batch_size=256, budget=6, seeds=6
    ),
    'epochs': 5.0,
    'num_rows': 2,
    'num_evaluations': 1,
    'num_checkpoints': 1,
}
result = lbexp.run(fields, workdir='check', figures=[])

# %% [markdown]
# ## The answer
#
# A claim is judged by its interval, here of the difference of test error over pairs of seeds:
# *reproduced*, *not reproduced*, or *undecided at this budget*. Nothing is decided below six
# pairs.

# %%
for claim in result.claims:
    for text in (claim.claim, claim.measured, claim.outcome):
        print(textwrap.fill(text, 80, subsequent_indent='    '))

# %% [markdown]
# The figure says how far to trust it. Each point is a trial of the tuning: six of them over four
# decades of the learning rate are few.

# %%
result.figure('tried')

# %% [markdown]
# The [kept result](../results/reality_check.md) of the same study, with 16 points for each, 30
# epochs and six tunings, is that AdamW and LAMB are within 0.01 of each other. A claim is one at a
# budget.

# %%
table = result.final()
print(len(table), 'trials:', table['status'].value_counts().to_dict())

# %% [markdown]
# ## What it could see
#
# An undecided claim is no claim of equality. `python -m lbexp.power` says how large an effect
# this budget detects, and what a smaller one needs.

# %%
from lbexp import power

status = power.main(['power', '--workdir=check', '--margin=0.01'])

# %% [markdown]
# Two kinds of noise are left out here. Over the seeds of *one* tuning the intervals miss that
# another tuning would have chosen another rate: `tunings=6` tunes every optimizer six times. And
# the test set is a sample, too: `keep_examples=('accuracy',)` makes intervals over examples as
# well.
