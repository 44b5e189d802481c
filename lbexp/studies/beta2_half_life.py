"""Do small batches want Adam's second moment to remember as many examples, or as many updates?"""

import functools
from collections.abc import Sequence
from typing import Annotated

from annotated_types import Gt, Lt

from lbexp.analysis import above, below
from lbexp.errors import Refusal
from lbexp.ranges import Draws, Number, Positive, PositiveInteger, Trials
from lbexp.studies import Study
from lbexp.studies import _questions as questions
from lbexp.studies._comparison import arms, compare
from lbexp.studies._comparison.comparison import comparison
from lbexp.studies._comparison.stopping import tuning_of
from lbexp.studies._questions import Question

_HALF_LIFE = (
    'Marek et al. 2025 (arXiv:2507.07101, section 4.3, Figure 4): a transformer of 30M weights, '
    'validation loss on FineWeb-Edu, batch sizes from 1 to 4,096: with b2 fixed in 0.95 to 0.98 '
    'small batches do badly, with its half-life in tokens kept they do well; curves, no numbers'
)
_PAR = (
    'Marek et al. 2025 (arXiv:2507.07101, Figure 5): 19M weights, C4: batches 16 and 32 on a par '
    'with 128 and 256 once b2 is scaled so, and worse before'
)


def beta2_half_life(
    batch_sizes: Sequence[PositiveInteger] = (4, 32),
    reference: PositiveInteger = 256,
    b2: Annotated[Number, Gt(0), Lt(1)] = 0.95,
    rates: tuple[Positive, Positive] = (0.0001, 0.01),
    budget: Trials = 5,
    seeds: Draws = 6,
    tunings: Draws = 1,
    margin: Positive = 0.01,
    metric: str = 'error',
) -> Study:
    """Adam at small batches, with b2 as at the reference batch, and with its half-life kept in
    examples; the learning rate of each is tuned with the same budget.

    The reference batch is also what accumulating the gradients of small ones gives, at equal
    examples: the engine sums those of its microbatches before it updates (`microbatch`), and the
    sum does not depend on their size but for rounding. So 'does as well as the reference' says
    that nothing is gained by accumulation.

    After t updates the share b2^t of a gradient is left, so its half-life is
    log(1/2) / log(b2) updates, and B times that in examples. It is kept where

        b2(B) = b2^(B / reference)

    (Marek et al. 2025, arXiv:2507.07101, equation 2). b1 stays at 0.9, nothing decays.

    Args:
        batch_sizes: examples per update, each below the reference.
        reference: batch size that `b2` belongs to.
        b2: of Adam there, in (0, 1).
        rates: from, to, of the learning rates tried first.
        budget: points tried for each arm.
        seeds: trials reported for each arm, and each tuning; 'auto': of one tuning, until decided.
        tunings: times that each is tuned, with other points and seeds; with several, intervals are
            over tunings; 'auto': until decided.
        margin: difference of test error, or of `metric`, that counts as none, > 0.
        metric: of the validation set, which tunes, and of the test set, which is reported: 'error',
            the share that is told wrong, or one that the workload has and of which less is better,
            'token_loss' [nats].

    Raises:
        Refusal: no batch size below the reference, or a metric that the workload does not have, or
            of which more is better.

    Source: Marek et al. 2025, arXiv:2507.07101.
    """
    if not batch_sizes or max(batch_sizes) >= reference:
        raise Refusal(
            f'batch_sizes: found {tuple(batch_sizes)}; allowed: one or more below {reference}'
        )
    space = {'optimizer.learning_rate': ('log', *rates)}
    compared_arms = []
    for name, size, decay in _settings(batch_sizes, reference, b2):
        optimizer = dict(name='adamw', b1=0.9, b2=decay, weight_decay=0.0)
        overrides = {'optimizer': optimizer, 'batch_size': size}
        compared_arms.append(arms.Arm(name, overrides, space))
    score = functools.partial(arms.validation_error, metric=metric)
    tuning = tuning_of(budget, seeds, tunings, score, extensions=1, metric=metric)

    def analyse(compared):
        measured = compare.measure(compared.workdir, *compared.tunings, metric=metric)
        asked = _questions(batch_sizes, reference, b2, float(margin), compare.in_words(metric))
        claims = questions.answers(asked, measured, metric)
        title = "The half-life of Adam's second moment"
        return questions.analysis(title, compared, measured, claims, _fixed(reference, b2))

    return comparison(lambda config: compared_arms, tuning, analyse, margin=float(margin))


def kept_half_life(b2: float, reference: int, batch_size: int) -> float:
    """The b2 that halves a gradient's share after as many examples as `b2` does at `reference`."""
    return b2 ** (batch_size / reference)


def _settings(batch_sizes, reference, b2):
    """Name, batch size and b2 of each arm."""
    for size in batch_sizes:
        yield _fixed(size, b2), size, b2
        yield _kept(size), size, kept_half_life(b2, reference, size)
    yield _fixed(reference, b2), reference, b2


def _fixed(size, b2):
    return f'B {size}, b2 {b2:g}'


def _kept(size):
    return f'B {size}, half-life kept'


def _questions(batch_sizes, reference, b2, margin, noun):
    for size in batch_sizes:
        yield Question(
            f'Batch {size}: the half-life of batch {reference}, kept in examples, gives a lower '
            f'test {noun} than its b2, {b2:g}',
            _fixed(size, b2),
            _kept(size),
            test=above,
            paper=_HALF_LIFE,
        )
        yield Question(
            f'Batch {size} does as well as batch {reference} with it: its test {noun} is '
            f'{margin:g} higher at most',
            _kept(size),
            _fixed(reference, b2),
            margin,
            below,
            _PAR,
        )
