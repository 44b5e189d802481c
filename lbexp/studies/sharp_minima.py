"""Are the minima of large batches sharp, and does sharpness tell of test error?"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lbexp import results
from lbexp.analysis import (
    REPRODUCED,
    UNDECIDED,
    Analysis,
    Claim,
    Figure,
    Series,
    Table,
    above,
    format_interval,
    judged,
    within,
)
from lbexp.engine.plan import shared_microbatch
from lbexp.errors import Refusal
from lbexp.ranges import NonNegativeInteger, OpenFraction, Positive, PositiveInteger, Trials
from lbexp.studies import Study, _papers
from lbexp.studies._comparison import arms, compare
from lbexp.studies._comparison.comparison import comparison
from lbexp.studies._finals import final_metric, row_of_trial
from lbexp.studies._judgement import Fitting, among_fitting, contrast
from lbexp.studies._network.rescaled import measure_rescaled, read_rescaled, require_layers

_KINDS = {'keskar': 0.001, 'sam': 0.05, 'adaptive': 0.05}  # radius of each
_RESAMPLES, _SEED = 1000, 16090
_MOVED = math.log(2)  # by which box sharpness has to move at least, logarithm
_SAME = 0.05  # by which adaptive sharpness may move, relative


class _Trials(NamedTuple):
    """Those that fit their training set, of all phases."""

    test_error: np.ndarray
    sharpness: dict[str, np.ndarray]


def sharp_minima(
    batch_sizes: Sequence[PositiveInteger] = (32, 128, 512),
    learning_rates: tuple[Positive, Positive] = (0.01, 3.0),
    budget: Trials = 6,
    seeds: Trials = 8,
    extensions: NonNegativeInteger = 2,
    examples: PositiveInteger = 512,
    fit_margin: Positive = 0.02,
    weak: OpenFraction = 0.3,
    rescaled: tuple[str, str] = ('Dense_0', 'Dense_1'),
) -> Study:
    """Batch sizes at as many updates as the smallest has, the learning rate of each tuned on
    validation examples; of every trial the sharpness at its end (probe sharpness: Keskar's box,
    SAM's ball, the adaptive one), on training examples.

    Claims: of arms that fit their training set alike, the largest batch has a higher test error and
    is sharper than the smallest, by each measure, the effect of a seed being the logarithm of the
    ratio; over all trials that fit it, those that tune among them, sharpness and test error have a
    rank correlation (Kendall's tau) above 0, and one that is weak. As a control the weights of two
    ReLU layers are multiplied and divided by 10 (`measure`): the network is the same function, box
    sharpness has to move by a factor of 2 at least, adaptive sharpness by 5 % at most.

    Args:
        batch_sizes: examples per update; the smallest is the reference.
        learning_rates: (low, high) of the search, logarithmic.
        budget, seeds, extensions: as in `generalization_gap`.
        examples: of the training set, that sharpness is measured on.
        fit_margin: training error up to which a trial fits its training set, and difference up to
            which two arms fit it alike.
        weak: |tau| that counts as weak.
        rescaled: layers, the second of which takes the ReLU outputs of the first.

    Source: Keskar et al. 2017, arXiv:1609.04836; Dinh et al. 2017, arXiv:1703.04933; Andriushchenko
        et al. 2023, arXiv:2302.07011.
    """
    sizes = sorted(set(batch_sizes))
    if len(sizes) < 2:
        raise Refusal(f'batch_sizes: found {tuple(batch_sizes)}; allowed: two different ones')
    tuning = arms.Tuning(budget, seeds, arms.validation_error, extensions=extensions)

    def arms_of(config):
        require_layers(config['workload'], rescaled)
        space = {arms.learning_rate(config['optimizer']): ('log', *learning_rates)}
        shared = config.get('microbatch') or shared_microbatch(config['workload'], sizes)
        compared = []
        for size in sizes:
            overrides = {
                'batch_size': size,
                'microbatch': shared,
                'regime_adaptation': sizes[0],
                'probes': _probes(examples),
            }
            compared.append(arms.Arm(f'batch {size}', overrides, space))
        return compared

    def measure(config, workdir):
        measure_rescaled(workdir, rescaled, examples, _KINDS)

    def analyse(compared):
        return _analysis(compared, float(fit_margin), float(weak))

    return comparison(arms_of, tuning, analyse, measure=measure)


def _probes(examples):
    probes = []
    for kind, radius in _KINDS.items():
        probes.append(dict(name='sharpness', kind=kind, radius=radius, examples=examples))
    return probes


def _analysis(compared, fit_margin, weak):
    measured = compare.measure(compared.workdir, compared.results)
    names = [arm.name for arm in compared.arms]
    small, large = names[0], names[-1]
    fitting = Fitting(small, fit_margin)
    finals = results.final(compared.workdir)
    sharpness = _reported(finals, compared.results)
    claims = [
        contrast(
            'At equal training error and tuned rates a large batch has a higher test error than a '
            'small one (premise of Keskar et al. 2017)',
            *(measured, large, small, above, 0.0, fitting, _papers.KESKAR),
        )
    ]
    for kind in _KINDS:
        claims.append(_sharper(kind, sharpness, measured, [small, large], fitting))
    trials = _fitting_trials(finals, fit_margin)
    for kind in _KINDS:
        claims += _correlations(kind, trials, weak)
    claims += _rescaling(read_rescaled(compared.workdir))
    ratios = [f'{kind} {claim.measured}' for kind, claim in zip(_KINDS, claims[1:], strict=False)]
    outcomes = {claim.outcome for claim in claims}
    passed = None if UNDECIDED in outcomes else outcomes <= {REPRODUCED}
    tables = [compare.table(compared, measured, small), _table(sharpness)]
    return Analysis(
        'Sharpness, batch size and test error',
        f'Sharpness of "{large}" over "{small}", logarithms: {"; ".join(ratios)}.',
        tables,
        [_by_batch(sharpness), _against_error(trials)],
        passed,
        claims,
    )


def _reported(finals, tuned):
    """{kind: {arm: sharpness of each reported trial}}; NaN: diverged."""
    row_of = row_of_trial(finals)
    by_kind = {}
    for kind in _KINDS:
        values = final_metric(finals, f'{kind}_sharpness')
        by_kind[kind] = {}
        for arm, result in tuned.items():
            by_kind[kind][arm] = values[[row_of[trial] for trial in result.trials]]
    return by_kind


def _sharper(kind, sharpness, measured, pair, fitting):
    """That the large batch is sharper, where both fit their training set."""
    small, large = [_logarithms(sharpness[kind][arm]) for arm in pair]
    count = min(len(small), len(large))
    effects = large[:count] - small[:count]
    claim = (
        f'At equal training error the largest batch has the sharper minimum, by {kind} sharpness '
        '(Keskar et al. 2017)'
    )
    judgement = judged(claim, format_interval(effects), above, effects)
    judgement = judgement._replace(paper=_papers.KESKAR_SHARPNESS)
    return among_fitting(judgement, measured, pair, fitting)


def _logarithms(values):
    """NaN where nothing rose."""
    return np.log(np.where(values > 0, values, np.nan))


def _fitting_trials(finals, fit_margin):
    """All trials that fit their training set, whatever they were asked for as."""
    train_error = 1 - final_metric(finals, 'train_accuracy')
    fits = train_error <= fit_margin
    sharpness = {}
    for kind in _KINDS:
        sharpness[kind] = final_metric(finals, f'{kind}_sharpness')[fits]
    return _Trials(1 - final_metric(finals, 'test_accuracy')[fits], sharpness)


def _correlations(kind, trials, weak):
    """That sharper minima have higher test errors, and that it is no strong relation."""
    tau, low, high = rank_correlation(trials.sharpness[kind], trials.test_error)
    count = len(trials.test_error)
    words = f'tau {tau:.2f} [{low:.2f}, {high:.2f}] over {count} trials'
    yield Claim(
        f'Over all trials that fit, sharper minima ({kind}) have higher test errors (Keskar et al. '
        '2017)',
        words,
        above((low, high)),
        paper=_papers.KESKAR_SHARPNESS,
    )
    yield Claim(
        f'Over all trials that fit, {kind} sharpness and test error are weakly correlated, |tau| '
        f'below {weak:g} (Andriushchenko et al. 2023)',
        words,
        within((low, high), weak),
        paper=_papers.ANDRIUSHCHENKO,
    )


def rank_correlation(x: np.ndarray, y: np.ndarray) -> tuple[float, float, float]:
    """Kendall's tau with its 95 % interval: (tau, low, high), percentiles over resampled pairs (x,
    y); NaN below 6 of them.

        tau = sum_ij sign(x_i - x_j) sign(y_i - y_j) / sqrt(untied in x  untied in y)
    """
    known = np.isfinite(x) & np.isfinite(y)
    count = int(known.sum())
    if count < 6:
        return math.nan, math.nan, math.nan
    order_x, order_y = _order(x[known]), _order(y[known])
    draws = np.random.default_rng(_SEED).integers(count, size=(_RESAMPLES, count))
    taus = []
    for places in (np.arange(count), *draws):
        pairs = np.ix_(places, places)
        untied = np.sum(order_x[pairs] ** 2) * np.sum(order_y[pairs] ** 2)
        taus.append(np.sum(order_x[pairs] * order_y[pairs]) / math.sqrt(untied))
    low, high = np.quantile(taus[1:], (0.025, 0.975))
    return float(taus[0]), float(low), float(high)


def _order(x):
    """Of each pair whether it rises (1), falls (-1), or is a tie [n, n]."""
    return np.sign(x[:, None] - x[None])


def _rescaling(rescaled):
    """That box sharpness moves where the function does not, and adaptive sharpness stays."""
    for kind, test, margin in (('keskar', above, _MOVED), ('adaptive', within, _SAME)):
        pairs = np.reshape([each[kind] for each in rescaled.values()], (-1, 2))
        effects = _logarithms(pairs[:, 1]) - _logarithms(pairs[:, 0])
        says = 'moves keskar sharpness by a factor of 2 at least'
        if kind == 'adaptive':
            says = f'moves adaptive sharpness by {_SAME:.0%} at most'
        claim = (
            f'Rescaling two layers, which leaves the function as it is, {says} (Dinh et al. 2017)'
        )
        words = f'logarithm of the ratio: {format_interval(effects)}'
        yield judged(claim, words, test, effects, margin)._replace(paper=_papers.DINH)


def _table(sharpness):
    columns = ['arm', *(f'{kind}, radius {radius:g}' for kind, radius in _KINDS.items())]
    rows = []
    for arm in sharpness['keskar']:
        rows.append([arm, *(format_interval(of_arm[arm]) for of_arm in sharpness.values())])
    caption = (
        'The largest rise of the training loss found within the radius (keskar: percent), a lower '
        'bound of the maximum; medians and intervals over reported seeds.'
    )
    return Table('Sharpness', columns, rows, caption)


def _by_batch(sharpness):
    places, series = list(sharpness['keskar']), []
    for kind, of_arm in sharpness.items():
        dots, _ = compare.points(kind, range(len(places)), list(of_arm.values()))
        series.append(dots)
    caption = 'Medians and intervals over reported seeds, each batch size at its tuned rate.'
    labels = '', 'sharpness'
    title = 'Sharpness against batch size'
    return Figure('sharpness', title, *labels, series, 'linear', 'log', caption, places)


def _against_error(trials):
    series = []
    for kind, values in trials.sharpness.items():
        series.append(Series(kind, values, trials.test_error, style='points'))
    caption = 'Every trial that fits its training set, those that tune among them.'
    labels = 'sharpness', 'test error'
    title = 'Sharpness and test error'
    return Figure('correlation', title, *labels, series, 'log', 'linear', caption)
