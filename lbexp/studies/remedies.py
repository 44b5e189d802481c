"""What closes the generalization gap of a large batch? The ladder of Hoffer et al., and what came
after."""

import math

import numpy as np

from lbexp import results
from lbexp.analysis import (
    REPRODUCED,
    Analysis,
    Figure,
    Series,
    Table,
    above,
    below,
    format_interval,
)
from lbexp.errors import Refusal
from lbexp.ranges import Draws, NonNegativeInteger, Positive, PositiveInteger, Trials
from lbexp.studies import Study, _papers
from lbexp.studies._comparison import arms, compare
from lbexp.studies._comparison.comparison import Compared, comparison
from lbexp.studies._comparison.stopping import tuning_of
from lbexp.studies._judgement import TRAINING, Fitting, contrast, drawn, fit
from lbexp.studies._presentation.generalization_gap import error_paths, path_figures_of_parts

SMALL, LARGE, ROOT, TUNED = (
    'small batch',
    'large batch',
    '+ square-root scaling',
    '+ tuned learning rate',
)
GHOST, ADAPTED, NOISE = '+ ghost batch norm', '+ regime adaptation', 'ghosts + multiplicative noise'
LARS, LAMB, LOOKAHEAD = 'ghosts + LARS', 'ghosts + LAMB', 'ghosts + Lookahead'
_LADDER = (SMALL, LARGE, ROOT, TUNED, GHOST, ADAPTED)  # what was proposed together

# Each step against the one below it: the claim, the worse arm, the better one, the paper.
_STEPS = (
    (
        "A large batch with the small batch's learning rate generalizes worse (Hoffer et al. 2017)",
        *(LARGE, SMALL, _papers.HOFFER_LADDER),
    ),
    (
        'Square-root scaling of the learning rate closes part of the gap (Hoffer et al. 2017)',
        *(LARGE, ROOT, _papers.HOFFER_LADDER),
    ),
    (
        'Ghost batch norm closes more, both tuned (Hoffer et al. 2017)',
        *(TUNED, GHOST, _papers.HOFFER_GHOST),
    ),
    (
        'Regime adaptation closes more (Hoffer et al. 2017)',
        *(GHOST, ADAPTED, _papers.HOFFER_UPDATES),
    ),
    (
        'Multiplicative noise closes more at equal epochs (Hoffer et al. 2017, section 4)',
        *(GHOST, NOISE, _papers.HOFFER_NOISE),
    ),
    ('LARS closes more at equal epochs (You et al. 2017)', GHOST, LARS, _papers.LARS),
    ('LAMB closes more at equal epochs (You et al. 2020)', GHOST, LAMB, _papers.LAMB),
    (
        'Lookahead closes more at equal epochs (Zhang et al. 2019)',
        *(GHOST, LOOKAHEAD, _papers.LOOKAHEAD),
    ),
)


def remedies(
    small: PositiveInteger = 32,
    large: PositiveInteger = 1024,
    learning_rates: tuple[Positive, Positive] = (0.01, 3.0),
    lars_rates: tuple[Positive, Positive] = (1.0, 100.0),
    lamb_rates: tuple[Positive, Positive] = (0.001, 0.3),
    budget: Trials = 8,
    seeds: Draws = 6,
    tunings: Draws = 1,
    extensions: NonNegativeInteger = 2,
    fit_margin: Positive = 0.02,
    margin: Positive = 0.01,
) -> Study:
    """A small batch, a large one, and remedies, each with its own learning rate tuned on validation
    examples.

    The ladder of Hoffer, Hubara, Soudry 2017 (arXiv:1705.08741), Table 1, at equal epochs: the
    large batch with the small one's learning rate; scaled by the square root; tuned; with batch
    norm over ghost batches of the small batch's size; and as many updates as the small batch has.
    Then, at equal epochs and each with ghost batch norm: the multiplicative noise of the same paper
    (section 4), in the form that balances over epochs as the small batch's does
    (`balanced_weights`), LARS, LAMB and Lookahead.

    A claim is decided where both of its arms fit the training set as well as the small batch does;
    elsewhere it is 'under-trained': what a remedy gains there is optimization first. Shares are of
    the gap where the large batch has one, and of its excess test error where it is under-trained.

    Args:
        small, large: examples per update; large is a multiple of small.
        learning_rates: (low, high) searched for the configuration's optimizer, and for Lookahead
            around it.
        lars_rates, lamb_rates: likewise.
        budget: learning rates tried for each.
        seeds: trials reported for each, and each tuning; 'auto': of one tuning, until decided.
        tunings: times that each is tuned, with other points and seeds; with several, intervals are
            over tunings; 'auto': until decided.
        extensions: rounds of a search after the first, which share half of its budget.
        fit_margin: difference of training error up to which two arms fit alike, > 0.
        margin: difference of test error that counts as none, > 0.

    Raises:
        Refusal: an empty search space, a large batch that is no multiple of the small one, no batch
            norm.
    """
    if small < 1 or large % small or large <= small:
        raise Refusal(f'small, large: found {small}, {large}; allowed: large a multiple of small')
    spaces = {'learning_rates': learning_rates, 'lars_rates': lars_rates, 'lamb_rates': lamb_rates}
    for name, rates in spaces.items():
        if len(rates) != 2:
            raise Refusal(f'{name}: found {tuple(rates)}; allowed: (low, high)')
    tuning = tuning_of(budget, seeds, tunings, arms.validation_error, extensions=extensions)

    def arms_of(config):
        if not config['workload'].get('batch_norm'):
            raise Refusal(
                'workload.batch_norm: found None or False; allowed: True, for ghost '
                'batch norm to act on'
            )
        return _arms(config['optimizer'], small, large, spaces)

    def analyse(compared):
        return _analyse(compared, small, large, Fitting(SMALL, float(fit_margin)), float(margin))

    return comparison(arms_of, tuning, analyse, margin=float(margin))


def _arms(optimizer, small, large, spaces):
    axes = {name: ('log', *ends) for name, ends in spaces.items()}
    path = arms.learning_rate(optimizer)
    space = {path: axes['learning_rates']}
    big = {'batch_size': large}
    scaled = {'batch_scaling.rule': 'square_root', 'batch_scaling.reference': small}
    ghost = {**big, 'workload.ghost': small}
    # epochs are reshuffled, so the noise has to balance over them
    noise = {'name': 'balanced_weights', 'matched_batch_size': small}
    lars = {'name': 'lars', 'learning_rate': 1.0}
    lars_space = {'optimizer.learning_rate': axes['lars_rates']}
    lamb = {'name': 'lamb', 'learning_rate': 1.0}
    lamb_space = {'optimizer.learning_rate': axes['lamb_rates']}
    lookahead = {'name': 'lookahead', 'inner': optimizer, 'k': 5, 'slow_step_size': 0.5}
    # Lookahead tunes the rate of the optimizer inside it
    inner_space = {path.replace('optimizer', 'optimizer.inner', 1): axes['learning_rates']}
    return [
        arms.Arm(SMALL, {'batch_size': small}, space),
        # the rate of the small batch, as it is and scaled
        arms.Arm(LARGE, big, {}, tuned_as=SMALL),
        arms.Arm(ROOT, {**big, **scaled}, {}, tuned_as=SMALL),
        arms.Arm(TUNED, big, space),
        arms.Arm(GHOST, ghost, space),
        arms.Arm(ADAPTED, {**ghost, 'regime_adaptation': small}, space),
        arms.Arm(NOISE, {**ghost, 'example_weights': noise}, space),
        arms.Arm(LARS, {**ghost, 'optimizer': lars}, lars_space),
        arms.Arm(LAMB, {**ghost, 'optimizer': lamb}, lamb_space),
        arms.Arm(LOOKAHEAD, {**ghost, 'optimizer': lookahead}, inner_space),
    ]


def _analyse(
    compared: Compared, small: int, large: int, fitting: Fitting, margin: float
) -> Analysis:
    names = [arm.name for arm in compared.arms]
    measured = compare.measure(compared.workdir, *compared.tunings)
    shares = {name: compare.gap_closed(measured, name, LARGE, SMALL) for name in names}
    excess = format_interval(compare.paired(measured, LARGE, SMALL))
    training = format_interval(compare.paired(measured, LARGE, SMALL, TRAINING))
    verdict = (
        f'Batch {large} with the learning rate of batch {small} has a test error {excess} and a '
        f'training error {training} above it'
    )
    is_gap = fit(measured, LARGE, fitting) == REPRODUCED
    whole = 'gap' if is_gap else 'excess test error'
    # the two batches themselves are no remedies
    closed = {}
    for name in names[2:]:
        share, _, _ = shares[name]
        if not math.isnan(share):
            closed[name] = share
    if closed:
        best = max(closed, key=closed.__getitem__)
        verdict += f'; "{best}" closes {_in_percent(shares[best])} of that {whole}'
    title = f'Batch {large} against batch {small}: remedies'
    tables = [_table(compared, measured, shares, whole)]
    figures = [
        _ladder(names, measured, compared.tuning),
        _shares(names[1:], shares, whole),
        *_paths(compared.workdir, compared.results),
    ]
    claims = _claims(measured, fitting, margin)
    return Analysis(title, f'{verdict}.', tables, figures, None, claims)


def _table(compared, measured, shares, whole):
    """That of the arms, with the share that each closes."""
    base = compare.table(compared, measured, SMALL)
    rows = []
    for row in base.rows:
        name = row[0]
        rows.append([*row, _in_percent(shares[name])])
    caption = (
        f'{base.caption} closed: share of the {whole} of "{LARGE}" (learning rate of the small) '
        f'over "{SMALL}".'
    )
    return Table(base.title, [*base.columns, f'{whole} closed'], rows, caption)


def _in_percent(share):
    middle, low, high = share
    if math.isnan(middle):
        return ''
    return f'{middle:.0%} [{low:.0%}, {high:.0%}]'


def _claims(measured, fitting, margin):
    claims = []
    for claim, worse, better, paper in _STEPS:
        claims.append(contrast(claim, measured, worse, better, above, 0.0, fitting, paper))
    claim = f'The whole ladder leaves no gap, {margin:g} at most (Hoffer et al. 2017)'
    paper = _papers.HOFFER_UPDATES
    claims.append(contrast(claim, measured, ADAPTED, SMALL, below, margin, fitting, paper))
    return claims


def _ladder(names, measured, tuning):
    series = []
    parts = ('test', 'test_error'), ('training', 'train_error'), ('gap: test - training', 'gap')
    for part, metric in parts:
        values = [measured[name][metric] for name in names]
        dots, _ = compare.points(part, range(len(names)), values)
        series.append(dots)
    return Figure(
        'ladder', 'Remedies', '', 'error', series, 'linear', 'linear', drawn(tuning), names
    )


def _shares(names, shares, whole):
    middle, low, high = np.array([shares[name] for name in names]).T
    ends = compare.error_bars(middle, low, high)
    series = [Series('closed', range(len(names)), middle.tolist(), *ends, 'points')]
    caption = "1: as good as the small batch. Ratios of means, with Fieller's 95 % intervals."
    title, label = f'Share of the {whole} closed', f'share of the {whole}'
    return Figure('closed', title, '', label, series, 'linear', 'linear', caption, names)


def _paths(workdir, tuned):
    """Errors of the ladder's arms in training, against epochs and against updates."""
    rows = results.read(workdir)
    caption = 'Median over seeds of one tuning, in the range of all.'
    for x, label in (('epoch', 'epochs'), ('step', 'updates')):
        of_parts = {'test': [], 'training': [], 'gap': []}
        for name in _LADDER:
            for part, (places, values) in error_paths(rows, tuned[name].trials, x).items():
                # an arm that has nothing to report has no curve
                if len(places):
                    of_parts[part].append(compare.band(name, places, values))
        yield from path_figures_of_parts(f'paths_{label}', label, of_parts, caption, 'log')
