"""Does growing the batch do what decaying the learning rate does? At the same epochs, by the same
factor."""

import itertools
import math
from collections.abc import Sequence
from typing import Annotated

import numpy as np
from annotated_types import Ge

from lbexp import config as configs
from lbexp import results
from lbexp.analysis import (
    NOT_REPRODUCED,
    REPRODUCED,
    UNDECIDED,
    Analysis,
    Claim,
    Figure,
    Series,
    Table,
    bounds,
    equivalence,
    interval,
    outcome,
    spread,
)
from lbexp.engine.plan import shared_microbatch
from lbexp.errors import Refusal
from lbexp.ranges import NonNegativeInteger, OpenFraction, Positive, PositiveInteger, Trials
from lbexp.studies import Study
from lbexp.studies._comparison import arms

_RATE = 'optimizer.learning_rate'
_PAPER = 'Smith et al. 2018, arXiv:1711.00489'


def batch_growth(
    batch_size: PositiveInteger = 16,
    boundaries: Sequence[OpenFraction] = (0.3, 0.6, 0.8),
    factor: Annotated[int, Ge(2)] = 4,
    largest: PositiveInteger = 128,
    learning_rates: tuple[Positive, Positive] = (0.01, 1.0),
    budget: Trials = 8,
    seeds: Trials = 10,
    extensions: NonNegativeInteger = 2,
    margin: Positive = 0.005,
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
        seeds: trials reported for each arm.
        extensions: times the range may grow beyond an edge.
        margin: difference of test error that counts as none, > 0.

    Source: Smith, Kindermans, Ying, Le 2018, arXiv:1711.00489, Sections 3 and 5.1 (factor 5, epochs
        60, 120, 160 of
    200).
    """
    _validate(batch_size, boundaries, factor, largest, margin)
    places = [float(place) for place in boundaries]
    decay = {
        'schedule': dict(name='step', boundaries=places, factor=1 / factor),
        'batch_growth': {},
    }
    constant = {'schedule': dict(name='constant'), 'batch_growth': {}}
    grown = lambda **most: {
        **constant,
        'batch_growth': dict(boundaries=places, factor=float(factor), **most),
    }
    made = {'growth': grown(), 'hybrid': grown(largest=largest), 'constant': constant}
    compared = [arms.Arm('decay', decay, {_RATE: ('log', *learning_rates)})]
    compared += [arms.Arm(name, overrides, {}, like='decay') for name, overrides in made.items()]
    tuning = arms.Tuning(budget, seeds, arms.validation_error, extensions=extensions)
    arms.validate(compared, tuning)

    def sized(workload):
        """The arms with their batch size as a number, in microbatches that the model can take."""
        size = shared_microbatch(workload, [batch_size])
        if size is None:
            raise Refusal(
                'workload: batch norm over the whole batch; allowed: ghost batches, '
                'where the batch grows'
            )
        number = {'batch_size': batch_size, 'microbatch': size}
        return [arm._replace(overrides={**arm.overrides, **number}) for arm in compared]

    def trials(config):
        arms.require_validation(config)
        return arms.wanted(sized(configs.plain(config.workload)), tuning)

    def more(config, workdir):
        return arms.more(workdir, sized(configs.plain(config.workload)), tuning)

    def analyse(workdir):
        workload = results.part(workdir, 'workload')
        return _analyse(
            workdir, arms.outcome(workdir, sized(workload), tuning), boundaries[0], margin
        )

    return Study(trials, analyse, more)


def _validate(batch_size, boundaries, factor, largest, margin):
    if batch_size < 1:
        raise Refusal(f'batch_size: found {batch_size}; allowed: at least 1 example')
    ascending = all(
        low < high for low, high in zip([0, *boundaries], [*boundaries, 1], strict=True)
    )
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


def _analyse(workdir, found, first, margin):
    title = 'Batch growth instead of learning-rate decay'
    best = found['decay'].best
    if best is None:
        return Analysis(title, 'Every learning rate diverged: nothing to compare.', [], [])
    rows = results.read(workdir)
    runs = {name: _run(rows, one.trials) for name, one in found.items()}
    errors = {name: arms.final_error(workdir, one.trials) for name, one in found.items()}
    apart = {name: errors[name] - errors['decay'] for name in ('growth', 'hybrid', 'constant')}
    curve = _apart(runs['growth'], runs['decay'], first * np.nanmax(runs['decay']['epoch']))
    claims = [_claim(name, apart[name], margin) for name in ('growth', 'hybrid')]
    claims += [
        _curve_claim(*curve, margin),
        _updates_claim(runs),
        _control_claim(apart['constant']),
    ]
    blind = (
        ''
        if claims[-1].outcome == REPRODUCED
        else (' The control is no worse: here the schedule hardly matters.')
    )
    edge = (
        f', at the {found["decay"].edges[_RATE]} edge of what was tried'
        if found['decay'].edges
        else ''
    )
    verdict = (
        f'Growth - decay: test error {spread(apart["growth"])}; {claims[0].outcome} within '
        f'{margin:g}. '
        f'{_saved(runs)}. Learning rate {best[_RATE]:.3g}{edge}.{blind}'
    )
    tables = [_table(found, runs, errors, apart)]
    passed = None if claims[0].outcome == UNDECIDED else claims[0].outcome == REPRODUCED
    return Analysis(title, verdict, tables, _figures(runs), passed, claims)


def _run(rows, trials):
    """Columns of an arm's trials, [seeds, rows]; a trial that diverged ends in NaN."""
    names = ('step', 'epoch', 'examples', 'learning_rate', 'validation_accuracy')
    each = [
        {name: rows[name][rows['trial'] == trial] for name in names if name in rows}
        for trial in trials
    ]
    longest = max(len(one['step']) for one in each)
    pad = lambda values: np.pad(
        np.asarray(values, float), (0, longest - len(values)), constant_values=np.nan
    )
    run = {name: np.stack([pad(one[name]) for one in each]) for name in each[0]}
    evaluated = np.isfinite(run['validation_accuracy']).any(axis=0)
    run = {name: values[:, evaluated] for name, values in run.items()}
    # Where a trial stands is the same for all seeds of an arm.
    axes = {
        name: np.nanmax(run[name], axis=0)
        for name in ('step', 'epoch', 'examples', 'learning_rate')
    }
    return {**axes, 'error': 1 - run['validation_accuracy']}


def _apart(run, decay, first):
    """(epochs, validation error less decay's [seeds, epochs]) from epoch `first`: before it the
    arms are one run.

    The rows of decay lie evenly in epochs, so decay is interpolated.
    """
    inside = (run['epoch'] >= max(first, decay['epoch'][0])) & (run['epoch'] <= decay['epoch'][-1])
    epochs = run['epoch'][inside]
    between = [np.interp(epochs, decay['epoch'], error) for error in decay['error']]
    return epochs, run['error'][:, inside] - np.stack(between)


def _claim(name, apart, margin):
    how = {'growth': 'Growing the batch', 'hybrid': 'Growing the batch, then decaying the rate'}[
        name
    ]
    claim = (
        f'{how} ends within {margin:g} of the test error of decaying the rate, at the same '
        f'epochs ({_PAPER})'
    )
    return Claim(
        claim, f'{name} - decay: {spread(apart)}{_lost(apart)}', equivalence(*bounds(apart), margin)
    )


def _curve_claim(epochs, apart, margin):
    """One number a seed: the mean over epochs; many intervals at once would say something of some
    by chance."""
    if len(epochs) < 2:
        return Claim('The validation curves coincide', 'too few evaluations', UNDECIDED)
    mean = np.trapezoid(apart, epochs, axis=1) / (epochs[-1] - epochs[0])
    middle = np.array([interval(column)[0] for column in apart.T])
    worst = int(np.nanargmax(np.abs(middle))) if np.isfinite(middle).any() else 0
    claim = (
        f'After the first boundary the validation curves against epochs are within {margin:g} '
        f'({_PAPER}, Section 5.1)'
    )
    measured = (
        f'growth - decay, mean over epochs: {spread(mean)}{_lost(mean)}; largest median difference '
        f'{middle[worst]:.3g}, at epoch {epochs[worst]:.1f}'
    )
    return Claim(claim, measured, equivalence(*bounds(mean), margin))


def _updates_claim(runs):
    return Claim(
        f'Growing the batch needs fewer updates ({_PAPER}, Section 5.1)',
        _saved(runs),
        REPRODUCED if runs['growth']['step'][-1] < runs['decay']['step'][-1] else NOT_REPRODUCED,
    )


def _control_claim(apart):
    claim = 'The noise has to fall: constant rate and batch end with a higher test error (control)'
    return Claim(claim, f'constant - decay: {spread(apart)}{_lost(apart)}', outcome(*bounds(apart)))


def _saved(runs):
    few, many = (int(runs[name]['step'][-1]) for name in ('growth', 'decay'))
    return f'{few} updates instead of {many} ({1 - few / many:.0%} fewer)'


def _lost(values):
    count = int(np.sum(~np.isfinite(values)))
    return f'; {count} of {len(values)} pairs diverged' if count else ''


def _table(found, runs, errors, apart):
    columns = [
        'arm',
        'batch sizes',
        'learning rates',
        'updates',
        'epochs',
        'seeds',
        'diverged',
        'test error',
        '- decay',
    ]
    rows = []
    for name, run in runs.items():
        sizes, rates = (_phases(values) for values in (_batches(run), run['learning_rate']))
        ends = [int(run['step'][-1]), round(float(run['epoch'][-1]), 2), len(errors[name])]
        lost = int(np.sum(~np.isfinite(errors[name])))
        versus = spread(apart[name]) if name in apart else ''
        rows.append([name, sizes, rates, *ends, lost, spread(errors[name]), versus])
    tried = ', '.join(
        f'{point[_RATE]:.3g}: {score:.4f}'
        if math.isfinite(score)
        else (f'{point[_RATE]:.3g}: diverged')
        for point, score in sorted(
            zip(found['decay'].points, found['decay'].scores, strict=True), key=_first_rate
        )
    )
    caption = (
        'Medians over seeds with intervals; differences by seed. Batch sizes and rates as they '
        'stood at evaluations. '
        f'Learning rates tried for decay, with validation error: {tried}.'
    )
    return Table('Arms', columns, rows, caption)


def _first_rate(pair):
    return pair[0][_RATE]


def _batches(run):
    """Examples per update between evaluations."""
    return np.diff(run['examples'], prepend=0) / np.diff(run['step'], prepend=0)


def _phases(values):
    """The values that stay for more than one evaluation, in order; between two of them is a
    mixture."""
    kept = [b for a, b in itertools.pairwise(values) if math.isclose(a, b, rel_tol=1e-6)]
    return ', '.join(dict.fromkeys(f'{value:.3g}' for value in kept))


def _figures(runs):
    def curves(axis):
        for name, run in runs.items():
            spans = np.array([interval(column) for column in run['error'].T]).T
            yield Series(name, run[axis].tolist(), *(span.tolist() for span in spans))

    def noise():
        for name, run in runs.items():
            yield Series(
                name, run['epoch'].tolist(), (run['learning_rate'] / _batches(run)).tolist()
            )

    caption = 'Medians over seeds, bands: intervals. '
    error, title = 'validation error [fraction]', 'Validation error against '
    epochs = caption + 'The claim is that decay and growth coincide; constant is the control.'
    updates = caption + 'The same curves: what growth saves.'
    scale = (
        'Rate over batch size, to which the noise scale of SGD is proportional; between two '
        'evaluations, as it was.'
    )
    return [
        Figure(
            'epochs',
            title + 'epochs',
            'epochs',
            error,
            list(curves('epoch')),
            'linear',
            'log',
            epochs,
        ),
        Figure(
            'updates',
            title + 'updates',
            'updates',
            error,
            list(curves('step')),
            'linear',
            'log',
            updates,
        ),
        Figure(
            'noise',
            'Noise scale',
            'epochs',
            'rate / batch size',
            list(noise()),
            'linear',
            'log',
            scale,
        ),
    ]
