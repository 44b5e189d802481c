"""Does growing the batch do what decaying the learning rate does? At the same epochs, by the same
factor."""

import itertools
from collections.abc import Sequence
from typing import Annotated

import numpy as np
from annotated_types import Ge

from lbexp import results
from lbexp.analysis import (
    NOT_REPRODUCED,
    REPRODUCED,
    UNDECIDED,
    Analysis,
    Claim,
    above,
    format_interval,
    interval,
    judged,
    within,
)
from lbexp.engine.plan import shared_microbatch
from lbexp.errors import Refusal
from lbexp.ranges import Draws, NonNegativeInteger, OpenFraction, Positive, PositiveInteger, Trials
from lbexp.studies import Study, _papers
from lbexp.studies._comparison import arms, compare
from lbexp.studies._comparison.comparison import Compared, comparison
from lbexp.studies._comparison.stopping import tuning_of
from lbexp.studies._judgement import TEST, contrast, drawn
from lbexp.studies._presentation.batch_growth import arms_table, figures, runs_of, updates_saved

_RATE = 'optimizer.learning_rate'
_PAPER = 'Smith et al. 2018, arXiv:1711.00489'


def batch_growth(
    batch_size: PositiveInteger = 16,
    boundaries: Sequence[OpenFraction] = (0.3, 0.6, 0.8),
    factor: Annotated[int, Ge(2)] = 4,
    largest: PositiveInteger = 128,
    learning_rates: tuple[Positive, Positive] = (0.01, 1.0),
    budget: Trials = 8,
    seeds: Draws = 10,
    extensions: NonNegativeInteger = 2,
    margin: Positive = 0.006,
    tunings: Draws = 1,
) -> Study:
    """Four arms of `config.optimizer`, which differ after the first boundary only:

        decay      the learning rate falls by `factor` at each boundary, the batch is constant
        growth     the batch grows by `factor` instead
        hybrid     the batch grows up to `largest`, then the rate falls: as deep a fall of rate /
        batch size
        constant   neither: the control, which tells whether any of this matters

    The learning rate is tuned for `decay` on validation examples; all arms run at that rate, as in
    the paper. Trials of one seed share initial weights and order of the data, so differences are
    paired by seed. Two arms count as equivalent where the interval of the difference lies inside
    +-margin.

    Args:
        batch_size: before the first boundary [examples per update].
        boundaries: where it happens [fractions of the examples of the run], ascending, in (0, 1).
        factor: integer, >= 2.
        largest: of the hybrid [examples per update], a multiple of batch_size.
        learning_rates: lowest and highest tried.
        budget: learning rates tried.
        seeds: trials reported for each arm, and each tuning; 'auto': of one tuning, until decided.
        extensions: rounds of a search after the first, which share half of its budget.
        margin: difference of test error that counts as none; at least that of 2 test examples.
        tunings: times that the rate is tuned, with other points and seeds; with several, intervals
            are over tunings; 'auto': until decided.

    Source: Smith, Kindermans, Ying, Le 2018, arXiv:1711.00489, Sections 3 and 5.1 (factor 5, epochs
        60, 120, 160 of
    200).
    """
    _validate(batch_size, boundaries, factor, largest, margin)
    tuning = tuning_of(budget, seeds, tunings, arms.validation_error, extensions=extensions)
    overrides = _overrides(list(map(float, boundaries)), factor, largest)

    def arms_of(config):
        """The arms, with their batch size as a number, in microbatches that the model can take."""
        microbatch = shared_microbatch(config['workload'], [batch_size])
        if microbatch is None:
            raise Refusal(
                'workload: batch norm over the whole batch; allowed: ghost batches, '
                'where the batch grows'
            )
        sizes = {'batch_size': batch_size, 'microbatch': microbatch}
        compared = []
        for name, changes in overrides.items():
            arm = arms.Arm(name, {**changes, **sizes}, space={}, tuned_as='decay')
            if name == 'decay':
                arm = arm._replace(space={_RATE: ('log', *learning_rates)}, tuned_as=None)
            compared.append(arm)
        return compared

    def analyse(compared):
        return _analyse(compared, float(boundaries[0]), float(margin))

    return comparison(arms_of, tuning, analyse, margin=float(margin))


def _overrides(boundaries, factor, largest):
    """By arm, schedule and growth; an empty growth switches off what the configuration may have."""
    constant = dict(name='constant')
    growth = dict(boundaries=boundaries, factor=float(factor))
    return {
        'decay': {
            'schedule': dict(name='step', boundaries=boundaries, factor=1 / factor),
            'batch_growth': {},
        },
        'growth': {'schedule': constant, 'batch_growth': growth},
        'hybrid': {'schedule': constant, 'batch_growth': dict(growth, largest=largest)},
        'constant': {'schedule': constant, 'batch_growth': {}},
    }


def _validate(batch_size, boundaries, factor, largest, margin):
    if batch_size < 1:
        raise Refusal(f'batch_size: found {batch_size}; allowed: at least 1 example')
    ends = [0, *boundaries, 1]
    ascending = all(low < high for low, high in itertools.pairwise(ends))
    if not boundaries or not ascending:
        raise Refusal(
            f'boundaries: found {tuple(boundaries)}; allowed: ascending fractions of '
            'the run, in (0, 1)'
        )
    if factor != int(factor) or factor < 2:
        raise Refusal(f'factor: found {factor}; allowed: an integer, at least 2')
    if largest < batch_size or largest % batch_size:
        raise Refusal(f'largest: found {largest}; allowed: a multiple of batch_size {batch_size}')
    if not margin > 0:
        raise Refusal(f'margin: found {margin}; allowed: a difference of error > 0')


def _analyse(compared: Compared, first_boundary: float, margin: float) -> Analysis:
    title = 'Batch growth instead of learning-rate decay'
    workdir, tuned = compared.workdir, compared.results
    best = tuned['decay'].best
    if best is None:
        return Analysis(title, 'Every learning rate diverged: nothing to compare.', [], [])
    if not all(result.trials for result in tuned.values()):
        return Analysis(title, 'Nothing is reported yet: nothing to compare.', [], [])
    runs = runs_of(results.read(workdir), compared.tunings)
    # the independent draws: paired by seed, or by tuning
    errors = {}
    for name in tuned:
        errors[name] = compare.tuned_error(workdir, [each[name] for each in compared.tunings])
    measured = {name: {TEST: values} for name, values in errors.items()}
    differences = {}
    for name in ('growth', 'hybrid', 'constant'):
        differences[name] = compare.differences(measured, name, 'decay')
    claims = _claims(runs, measured, first_boundary, margin)
    growth, control = claims[0], claims[-1]
    verdict = (
        f'Growth - decay: test error {format_interval(differences["growth"])}; '
        f'{growth.outcome} within {margin:g}. '
        f'{updates_saved(runs)}. Learning rate {best[_RATE]:.3g}'
    )
    if tuned['decay'].edges:
        verdict += f', at the {tuned["decay"].edges[_RATE]} edge of what was tried'
    verdict += '.'
    if control.outcome != REPRODUCED:
        verdict += ' The control is no worse: here the schedule hardly matters.'
    unit = compare.unit_of(compared.tuning)
    tables = [arms_table(tuned['decay'], runs, errors, differences, unit)]
    passed = growth.outcome == REPRODUCED
    if growth.outcome == UNDECIDED:
        passed = None
    drawings = figures(runs, drawn(compared.tuning))
    return Analysis(title, verdict, tables, drawings, passed, claims)


def _claims(runs, measured, first_boundary, margin):
    """That of growth first, the control last."""
    beginning = first_boundary * np.nanmax(runs['decay']['epoch'])
    curve = _curve_difference(runs['growth'], runs['decay'], beginning)
    control = contrast(
        'The noise has to fall: constant rate and batch end with a higher test error (control)',
        *(measured, 'constant', 'decay', above),
    )
    equivalences = [
        _claim('growth', 'Growing the batch', measured, margin),
        _claim('hybrid', 'Growing the batch, then decaying the rate', measured, margin),
        _curve_claim(*curve, margin),
    ]
    if control.outcome != REPRODUCED:
        # Where the schedule hardly matters, everything is equivalent to it.
        equivalences = list(map(_without_control, equivalences))
    return [*equivalences, _updates_claim(runs), control]


def _without_control(claim):
    """An equivalence that the control does not bear out."""
    if claim.outcome != REPRODUCED:
        return claim
    measured = f'{claim.measured}; but the control shows no effect of the schedule'
    return claim._replace(measured=measured, outcome=UNDECIDED)


def _curve_difference(run, decay, first):
    """(epochs, validation error less decay's [seeds, epochs]) from epoch `first`: before it the
    arms are one run.

    The rows of decay lie evenly in epochs, so decay is interpolated.
    """
    first, last = max(first, decay['epoch'][0]), decay['epoch'][-1]
    inside = (run['epoch'] >= first) & (run['epoch'] <= last)
    epochs = run['epoch'][inside]
    between = [np.interp(epochs, decay['epoch'], of_seed) for of_seed in decay['error']]
    return epochs, run['error'][:, inside] - np.stack(between)


def _claim(name, change, measured, margin):
    claim = (
        f'{change} ends within {margin:g} of the test error of decaying the rate, at the same '
        f'epochs ({_PAPER})'
    )
    return contrast(claim, measured, name, 'decay', within, margin, paper=_papers.SMITH)


def _curve_claim(epochs, difference, margin):
    """One number a seed: the mean over epochs; many intervals at once would say something of some
    by chance."""
    if len(epochs) < 2:
        return Claim('The validation curves coincide', 'too few evaluations', UNDECIDED)
    stretch = epochs[-1] - epochs[0]
    mean = np.trapezoid(difference, epochs, axis=1) / stretch
    medians = np.array([interval(of_epoch)[0] for of_epoch in difference.T])
    worst = 0
    # nanargmax refuses a row of NaN
    if np.isfinite(medians).any():
        worst = int(np.nanargmax(np.abs(medians)))
    claim = (
        f'After the first boundary the validation curves against epochs are within {margin:g} '
        f'({_PAPER}, Section 5.1)'
    )
    measured = (
        f'growth - decay, mean over epochs: {format_interval(mean)}; largest '
        f'median difference {medians[worst]:.3g}, at epoch {epochs[worst]:.1f}'
    )
    judgement = judged(claim, measured, within, mean, margin)
    return judgement._replace(paper=_papers.SMITH, effects=tuple(map(float, mean)))


def _updates_claim(runs):
    growth, decay = runs['growth'], runs['decay']
    fewer = growth['step'][-1] < decay['step'][-1]
    return Claim(
        f'Growing the batch needs fewer updates ({_PAPER}, Section 5.1)',
        updates_saved(runs),
        REPRODUCED if fewer else NOT_REPRODUCED,
        paper=_papers.SMITH,
    )
