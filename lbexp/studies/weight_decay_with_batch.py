"""Does AdamW's best weight decay grow with the batch size, so that its timescale stays?"""

import math
from collections.abc import Sequence

import numpy as np

from lbexp.analysis import above, format_interval, judged, within
from lbexp.errors import Refusal
from lbexp.ranges import Draws, Positive, PositiveInteger, Trials
from lbexp.studies import Study
from lbexp.studies import _questions as questions
from lbexp.studies._comparison import arms, compare
from lbexp.studies._comparison.comparison import comparison
from lbexp.studies._comparison.stopping import tuning_of
from lbexp.studies._questions import Question

_DECAY = 'optimizer.weight_decay'
_PAPER = (
    'Bergsma et al. 2025 (arXiv:2505.13738, abstract): of language models the best weight decay '
    'grows linearly with B, at equal model and data; the numbers were not verified'
)


def weight_decay_with_batch(
    batch_sizes: Sequence[PositiveInteger] = (16, 64, 256),
    learning_rate: Positive = 0.003,
    decays: tuple[Positive, Positive] = (0.01, 30.0),
    budget: Trials = 8,
    seeds: Draws = 6,
    tunings: Draws = 1,
    tolerance: Positive = 0.3,
) -> Study:
    """AdamW's weight decay tuned at several batch sizes, at one learning rate and as many epochs.

    AdamW's weights are an average of its updates, that forgets within 1 / (learning rate x weight
    decay) updates. As a share of a run over D examples, passes counted, that is

        tau = B / (learning rate x weight decay x D)

    (Wang and Aitchison 2025, arXiv:2405.13698; Bergsma et al. 2025, arXiv:2505.13738). Where the
    best tau does not depend on the batch size, the best weight decay is proportional to it: the
    slope of its logarithm against that of B, a fit to each tuning, is 1. And at the largest batch
    the decay of the smallest is worse than that tuned there.

    Args:
        batch_sizes: examples per update, two or more.
        learning_rate: of all.
        decays: from, to, of the weight decays tried first.
        budget: points tried for each batch size.
        seeds: trials reported for each, and each tuning; 'auto': of one tuning, until decided.
        tunings: times that each is tuned, with other points and seeds; slopes are one a tuning;
            'auto': until decided.
        tolerance: difference from a slope of 1 that counts as none, > 0.

    Source: Bergsma et al. 2025, arXiv:2505.13738; Wang and Aitchison 2025, arXiv:2405.13698.
    """
    sizes = sorted(set(batch_sizes))
    if len(sizes) < 2:
        raise Refusal(f'batch_sizes: found {tuple(batch_sizes)}; allowed: two numbers or more')
    optimizer = dict(name='adamw', learning_rate=learning_rate)
    space = {_DECAY: ('log', *decays)}
    compared_arms = []
    for size in sizes:
        overrides = {'optimizer': optimizer, 'batch_size': size}
        compared_arms.append(arms.Arm(_name(size), overrides, space))
    untuned = f'{_name(sizes[-1])}, the decay of {_name(sizes[0])}'
    overrides = {'optimizer': optimizer, 'batch_size': sizes[-1]}
    compared_arms.append(arms.Arm(untuned, overrides, {}, tuned_as=_name(sizes[0])))
    tuning = tuning_of(budget, seeds, tunings, arms.validation_error, extensions=1)

    def analyse(compared):
        measured = compare.measure(compared.workdir, *compared.tunings)
        worse = Question(
            f'At batch {sizes[-1]} the weight decay of batch {sizes[0]} has a higher test error '
            'than that tuned there',
            untuned,
            _name(sizes[-1]),
            test=above,
            paper=_PAPER,
        )
        claims = [
            _proportional(slopes(sizes, compared.tunings), float(tolerance)),
            *questions.answers([worse], measured),
        ]
        title = 'Weight decay against batch size'
        return questions.analysis(title, compared, measured, claims, _name(sizes[-1]))

    return comparison(lambda config: compared_arms, tuning, analyse)


def slopes(sizes: Sequence[int], tunings: Sequence) -> np.ndarray:
    """d log(best weight decay) / d log B of each tuning; NaN where a batch size has no best."""
    powers = []
    for tuned in tunings:
        bests = [tuned[_name(size)].best for size in sizes]
        if None in bests:
            powers.append(math.nan)
            continue
        decays = [best[_DECAY] for best in bests]
        slope, _ = np.polyfit(np.log(sizes), np.log(decays), 1)
        powers.append(float(slope))
    return np.array(powers)


def _proportional(powers, tolerance):
    excess = powers - 1
    claim = judged(
        f'The best weight decay is proportional to the batch size: a power of 1 within '
        f'{tolerance:g}',
        f'power {format_interval(powers)}, less 1: {format_interval(excess)}',
        within,
        excess,
        tolerance,
    )
    return claim._replace(paper=_PAPER, effects=tuple(map(float, excess)))


def _name(size):
    return f'B {size}'
