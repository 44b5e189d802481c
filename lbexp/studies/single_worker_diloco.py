"""Does outer Nesterov momentum around AdamW help a single worker, once both are tuned alike?"""

from lbexp.analysis import above
from lbexp.ranges import Draws, Fraction, Positive, PositiveInteger, Trials
from lbexp.studies import Study
from lbexp.studies import _questions as questions
from lbexp.studies._comparison import arms, compare
from lbexp.studies._comparison.comparison import comparison
from lbexp.studies._comparison.stopping import tuning_of
from lbexp.studies._questions import Question

INNER, LOOKAHEAD, SNOO = 'AdamW', 'Lookahead of AdamW', 'SNOO of AdamW'
_GAIN = (
    'Kallusky et al. 2025 (arXiv:2510.15830, abstract): language models around AdamW and Muon '
    'reach a loss with 1.5 to 2.5 times less compute, up to 1e23 operations'
)
_MOMENTUM = (
    'Kallusky et al. 2025 (arXiv:2510.15830, abstract): the gain of DiLoCo with one worker "stems '
    'primarily from applying Nesterov momentum to the pseudo-gradient"; no number'
)


def single_worker_diloco(
    k: PositiveInteger = 20,
    outer_rate: Positive = 0.8,
    outer_momentum: Fraction = 0.75,
    batch_size: PositiveInteger = 32,
    rates: tuple[Positive, Positive] = (0.0003, 0.03),
    decays: tuple[Positive, Positive] = (0.001, 1.0),
    budget: Trials = 8,
    seeds: Draws = 6,
    tunings: Draws = 1,
) -> Study:
    """AdamW alone, in Lookahead, and in SNOO (DiLoCo with one worker): learning rate and weight
    decay of AdamW tuned with the same budget in each.

    Every k updates, with s what the weights have moved since the last time, from slow to fast:

        b <- outer_momentum b + s;  slow <- slow + outer_rate (outer_momentum b + s);  fast <- slow

    Without outer momentum that is Lookahead with a slow step of `outer_rate`. What is deployed are
    the slow weights. GPA (Defazio et al. 2025, arXiv:2512.17131), which smooths SNOO to a step of
    every update, is no arm.

    Args:
        k: updates between outer steps; the paper's best is 100 with 125M weights, and 5 to 100 do
            about as well.
        outer_rate, outer_momentum: the paper's best with 125M weights is 0.8 and 0.75.
        batch_size: [examples per update].
        rates, decays: from, to, of the learning rates and weight decays tried first.
        budget: points tried for each arm.
        seeds: trials reported for each arm, and each tuning; 'auto': of one tuning, until decided.
        tunings: times that each is tuned, with other points and seeds; with several, intervals are
            over tunings; 'auto': until decided.

    Source: Kallusky et al. 2025, arXiv:2510.15830; its best settings are quoted from notes on it.
    """
    outer = dict(name='local_sgd', workers=1, k=k, slow_step_size=outer_rate)
    ways = {
        INNER: {},
        LOOKAHEAD: {'replicas': dict(outer, outer_momentum=0.0)},
        SNOO: {'replicas': dict(outer, outer_momentum=outer_momentum)},
    }
    space = {
        'optimizer.learning_rate': ('log', *rates),
        'optimizer.weight_decay': ('log', *decays),
    }
    compared_arms = []
    for name, way in ways.items():
        overrides = {'optimizer': dict(name='adamw'), 'batch_size': batch_size, **way}
        compared_arms.append(arms.Arm(name, overrides, space))
    tuning = tuning_of(budget, seeds, tunings, arms.validation_error, extensions=1)
    setting = f'k {k}, outer rate {outer_rate:g}, momentum {outer_momentum:g}, both tuned alike'

    def analyse(compared):
        measured = compare.measure(compared.workdir, *compared.tunings)
        claims = questions.answers(_questions(setting), measured)
        return questions.analysis('DiLoCo with one worker', compared, measured, claims, INNER)

    return comparison(lambda config: compared_arms, tuning, analyse)


def _questions(setting):
    return [
        Question(
            f'SNOO lowers the test error of AdamW at equal updates ({setting})',
            INNER,
            SNOO,
            test=above,
            paper=_GAIN,
        ),
        Question(
            f'It lowers it more than without outer momentum, as Lookahead ({setting})',
            LOOKAHEAD,
            SNOO,
            test=above,
            paper=_MOMENTUM,
        ),
    ]
