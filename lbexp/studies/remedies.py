"""What closes the generalization gap of a large batch? The ladder of Hoffer et al., and what came
after."""

import math

import numpy as np

from lbexp import config as configs
from lbexp import results
from lbexp.analysis import (
    UNDECIDED,
    Analysis,
    Claim,
    Figure,
    Series,
    Table,
    bounds,
    outcome,
    spread,
)
from lbexp.errors import Refusal
from lbexp.ranges import NonNegativeInteger, Positive, PositiveInteger, Trials
from lbexp.studies import Study
from lbexp.studies._comparison import arms, compare

SMALL, LARGE, ROOT, TUNED = (
    'small batch',
    'large batch',
    '+ square-root scaling',
    '+ tuned learning rate',
)
GHOST, ADAPTED, NOISE = '+ ghost batch norm', '+ regime adaptation', 'ghosts + multiplicative noise'


def remedies(
    small: PositiveInteger = 32,
    large: PositiveInteger = 1024,
    learning_rates: tuple[Positive, Positive] = (0.01, 3.0),
    lars_rates: tuple[Positive, Positive] = (1.0, 100.0),
    lamb_rates: tuple[Positive, Positive] = (0.001, 0.3),
    budget: Trials = 8,
    seeds: Trials = 5,
    extensions: NonNegativeInteger = 2,
) -> Study:
    """A small batch, a large one, and remedies, each with its own learning rate tuned on validation
    examples.

    The ladder of Hoffer, Hubara, Soudry 2017 (arXiv:1705.08741), Table 1, at equal epochs: the
    large batch with the small one's learning rate; scaled by the square root; tuned; with batch
    norm over ghost batches of the small batch's size; and as many updates as the small batch has.
    Then, at equal epochs and each with ghost batch norm: the multiplicative noise of the same paper
    (section 4), in the form that balances over epochs as the small batch's does
    (`balanced_weights`), LARS, LAMB and Lookahead.

    Args:
        small, large: examples per update; large is a multiple of small.
        learning_rates: (low, high) searched for the configuration's optimizer, and for Lookahead
            around it.
        lars_rates, lamb_rates: likewise.
        budget: learning rates tried for each.
        seeds: trials reported for each.
        extensions: times that a search may grow beyond an edge.

    Raises:
        Refusal: an empty search space, a large batch that is no multiple of the small one, no batch
            norm.
    """
    if small < 1 or large % small or large <= small:
        raise Refusal(f'small, large: found {small}, {large}; allowed: large a multiple of small')
    spaces = {'learning_rates': learning_rates, 'lars_rates': lars_rates, 'lamb_rates': lamb_rates}
    for name, given in spaces.items():
        if len(given) != 2:
            raise Refusal(f'{name}: found {tuple(given)}; allowed: (low, high)')
    tuning = arms.Tuning(budget, seeds, arms.validation_error, extensions=extensions)
    made = lambda config: _arms(config, small, large, learning_rates, lars_rates, lamb_rates)

    def trials(config):
        if not config.workload.get('batch_norm'):
            raise Refusal(
                'workload.batch_norm: found None or False; allowed: True, for ghost '
                'batch norm to act on'
            )
        arms.require_validation(config)
        compared = made(configs.plain(config))
        arms.validate(compared, tuning)
        return arms.wanted(compared, tuning)

    return Study(
        trials,
        lambda workdir: _analyse(
            workdir, made(compare.configuration(workdir)), tuning, small, large
        ),
        lambda config, workdir: arms.more(workdir, made(configs.plain(config)), tuning),
    )


def _arms(config, small, large, rates, lars_rates, lamb_rates):
    optimizer = config['optimizer']
    path = arms.learning_rate(optimizer)
    own = {path: ('log', *rates)}
    big = {'batch_size': large}
    scaled = {'batch_scaling.rule': 'square_root', 'batch_scaling.reference': small}
    ghost = {**big, 'workload.ghost': small}
    lookahead = {'name': 'lookahead', 'inner': optimizer, 'k': 5, 'slow_step_size': 0.5}
    at = lambda name, given: (
        {'optimizer': {'name': name, 'learning_rate': 1.0}},
        {'optimizer.learning_rate': ('log', *given)},
    )
    lars, lars_space = at('lars', lars_rates)
    lamb, lamb_space = at('lamb', lamb_rates)
    inner = {path.replace('optimizer', 'optimizer.inner', 1): ('log', *rates)}
    return [
        arms.Arm(SMALL, {'batch_size': small}, own),
        arms.Arm(LARGE, big, {}, like=SMALL),
        arms.Arm(ROOT, {**big, **scaled}, {}, like=SMALL),
        arms.Arm(TUNED, big, own),
        arms.Arm(GHOST, ghost, own),
        arms.Arm(ADAPTED, {**ghost, 'regime_adaptation': small}, own),
        arms.Arm(NOISE, {**ghost, 'example_weights': _noise(small)}, own),
        arms.Arm('ghosts + LARS', {**ghost, **lars}, lars_space),
        arms.Arm('ghosts + LAMB', {**ghost, **lamb}, lamb_space),
        arms.Arm('ghosts + Lookahead', {**ghost, 'optimizer': lookahead}, inner),
    ]


def _noise(small):
    return {'name': 'balanced_weights', 'matched_batch_size': small}  # epochs are reshuffled


def _analyse(workdir, made, tuning, small, large):
    found = arms.outcome(workdir, made, tuning)
    measured = compare.measure(workdir, found)
    title = f'Batch {large} against batch {small}: remedies'
    shares = {arm.name: compare.closed(measured, arm.name, LARGE, SMALL) for arm in made}
    told = lambda share: (
        '' if math.isnan(share[0]) else (f'{share[0]:.0%} [{share[1]:.0%}, {share[2]:.0%}]')
    )
    base = compare.table(made, found, measured, tuning, SMALL)
    rows = [[*row, told(shares[row[0]])] for row in base.rows]
    caption = (
        f'{base.caption} closed: share of the gap between "{LARGE}" (learning rate of the '
        f'small) and "{SMALL}".'
    )
    table = Table(base.title, [*base.columns, 'closed'], rows, caption)
    gap = spread(compare.paired(measured, LARGE, SMALL))
    best = max(
        (arm.name for arm in made[2:]),
        key=lambda name: np.nan_to_num(shares[name][0], nan=-math.inf),
    )
    verdict = (
        f'Batch {large} with the learning rate of batch {small} has a test error {gap} above it'
    )
    verdict += f'; "{best}" closes {told(shares[best])} of that.' if told(shares[best]) else '.'
    figures = [_ladder(made, measured), _shares(made, shares), *_paths(workdir, made, found)]
    return Analysis(title, verdict, [table], figures, None, _claims(measured))


def _claims(measured):
    """Each step of the ladder against the one below it."""
    steps = [
        (
            (
                "A large batch with the small batch's learning rate generalizes worse (Hoffer et "
                'al. '
                '2017)'
            ),
            LARGE,
            SMALL,
        ),
        (
            'Square-root scaling of the learning rate closes part of the gap (Hoffer et al. 2017)',
            LARGE,
            ROOT,
        ),
        ('Ghost batch norm closes more, both tuned (Hoffer et al. 2017)', TUNED, GHOST),
        ('Regime adaptation closes more (Hoffer et al. 2017)', GHOST, ADAPTED),
        (
            'Multiplicative noise closes more at equal epochs (Hoffer et al. 2017, section 4)',
            GHOST,
            NOISE,
        ),
        ('LARS closes more at equal epochs (You et al. 2017)', GHOST, 'ghosts + LARS'),
        ('LAMB closes more at equal epochs (You et al. 2020)', GHOST, 'ghosts + LAMB'),
        ('Lookahead closes more at equal epochs (Zhang et al. 2019)', GHOST, 'ghosts + Lookahead'),
    ]
    claims = []
    for claim, worse, better in steps:
        gained = compare.paired(measured, worse, better)
        told = f'test error, "{worse}" minus "{better}": {spread(gained)}'
        claims.append(Claim(claim, told, outcome(*bounds(gained))))
    left = compare.paired(measured, ADAPTED, SMALL)
    low, high = bounds(left)
    judged = 'reproduced' if high <= 0 else 'not reproduced' if low > 0 else UNDECIDED
    claims.append(
        Claim(
            'The whole ladder leaves no gap (Hoffer et al. 2017)', f'left: {spread(left)}', judged
        )
    )
    return claims


def _ladder(made, measured):
    series = []
    for name, metric in (('test', 'test_error'), ('training', 'train_error')):
        dots, _ = compare.points(
            name, range(len(made)), [measured[arm.name][metric] for arm in made]
        )
        series.append(dots)
    caption = 'Medians and bootstrap intervals over seeds.'
    names = [arm.name for arm in made]
    return Figure('ladder', 'Remedies', '', 'error', series, 'linear', 'linear', caption, names)


def _shares(made, shares):
    middle, low, high = (np.array([shares[arm.name][i] for arm in made[1:]]) for i in range(3))
    low, high = np.where(np.isfinite(low), low, middle), np.where(np.isfinite(high), high, middle)
    series = [Series('closed', range(len(made) - 1), middle, low, high, 'points')]
    caption = '1: as good as the small batch. Bootstrap intervals over seeds.'
    names = [arm.name for arm in made[1:]]
    return Figure(
        'closed',
        'Share of the gap closed',
        '',
        'share of the gap',
        series,
        'linear',
        'linear',
        caption,
        names,
    )


def _paths(workdir, made, found):
    rows = results.read(workdir)
    for x, label in (('epoch', 'epochs'), ('step', 'updates')):
        series = []
        for arm in made[:6]:
            at, accuracy = compare.path(rows, found[arm.name].trials, x, 'test_accuracy')
            series += [compare.band(arm.name, at, 1 - accuracy)] if len(at) else []
        caption = 'Median over seeds, in the range of all.'
        yield Figure(
            f'paths_{label}',
            f'Test error against {label}',
            label,
            'test error',
            series,
            'log',
            'log',
            caption,
        )
