"""What does batch size do to generalization? Errors against batch size, learning rate tuned for
each."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np

from lbexp import config as configs
from lbexp import documents, results
from lbexp.analysis import Analysis, above, below, format_interval, judged
from lbexp.engine import plan
from lbexp.engine import speed as speeds
from lbexp.engine.metrics_file import replace
from lbexp.engine.training_set import training_set
from lbexp.errors import Refusal
from lbexp.parallel import hosts
from lbexp.ranges import Draws, NonNegativeInteger, Positive, PositiveInteger, Trials
from lbexp.studies import Study, _papers
from lbexp.studies._comparison import arms, compare
from lbexp.studies._comparison.comparison import Compared, comparison
from lbexp.studies._comparison.stopping import tuning_of
from lbexp.studies._diffusion import misfit
from lbexp.studies._judgement import TRAINING, Fitting, contrast, drawn, largest_fitting
from lbexp.studies._presentation import generalization_gap as presentation

_Speed = Annotated[float, msgspec.Meta(gt=0, le=1e30)]  # [examples / s]
_Speeds = Annotated[list[_Speed], msgspec.Meta(min_length=1)]
SPEED_FILE = 'speed.json'  # {batch size: examples per second in each of a few stretches}
EPOCHS, UPDATES = 'equal epochs', 'equal updates'

# What the growth of the distance is judged by, at least: rows, last over first update.
_FEWEST_ROWS, _LEAST_RANGE = 8, 8.0


def generalization_gap(
    batch_sizes: Sequence[PositiveInteger] = (32, 128, 512, 2048),
    learning_rates: tuple[Positive, Positive] = (0.01, 3.0),
    budget: Trials = 8,
    seeds: Draws = 6,
    tunings: Draws = 1,
    equal_updates: bool = True,
    extensions: NonNegativeInteger = 2,
    speed: bool = True,
    fit_margin: Positive = 0.02,
    margin: Positive = 0.01,
) -> Study:
    """Trials over batch sizes, at as many epochs as the configuration says and at as many updates
    as the smallest has.

    For every batch size and regime the learning rate is tuned on validation examples with the same
    quasi-random budget (see _comparison/arms.py); what is reported are fresh seeds at the best
    rate. All other numbers are the configuration's.
    All batch sizes that can share a microbatch are one program (engine.plan.shared_microbatch).

    Claims on generalization are judged where the large batch fits the training set as well as the
    smallest does: at the largest batch size whose training error is shown to be at most
    `fit_margin` higher, as that of all smaller ones is. Beyond it the verdict is 'under-trained':
    test error there tells of optimization first.

    Args:
        batch_sizes: examples per update; the smallest is the reference.
        learning_rates: (low, high) of the search, logarithmic, > 0.
        budget: learning rates tried for each batch size and regime.
        seeds: trials reported for each, and each tuning; 'auto': of one tuning, until decided.
        tunings: times that each is tuned, with other points and seeds; with several, intervals are
            over tunings; 'auto': until decided.
        equal_updates: also the regime of equal updates, where a larger batch sees more epochs
            (Hoffer et al. 2017, "regime adaptation").
        extensions: rounds of a search after the first, which share half of its budget.
        speed: also time one trial of each batch size, alone, a second each, once all are trained.
        fit_margin: difference of training error up to which two batch sizes fit alike, > 0.
        margin: difference of test error that counts as none, > 0.

    Raises:
        Refusal: an empty search space, no batch size, or one below 1.

    Keskar et al. 2017, arXiv:1609.04836; Hoffer, Hubara, Soudry 2017, arXiv:1705.08741; on tuning:
    Shallue et al. 2019, arXiv:1811.03600.
    """
    sizes = sorted(set(batch_sizes))
    if not sizes or sizes[0] < 1 or len(learning_rates) != 2:
        raise Refusal(
            f'batch_sizes, learning_rates: found {tuple(batch_sizes)}, {tuple(learning_rates)}; '
            'allowed: numbers >= 1, and (low, high)'
        )
    tuning = tuning_of(budget, seeds, tunings, arms.validation_error, extensions=extensions)

    def arms_of(config):
        return _arms(config, sizes, learning_rates, equal_updates)

    def measure(config, workdir):
        measure_speeds(config, workdir, sizes)

    def analyse(compared):
        return _analyse(compared, float(fit_margin), float(margin))

    step = measure if speed else None
    return comparison(arms_of, tuning, analyse, measure=step, margin=float(margin))


def _arms(config, sizes, learning_rates, equal_updates):
    space = {arms.learning_rate(config['optimizer']): ('log', *learning_rates)}
    shared = config.get('microbatch') or plan.shared_microbatch(config['workload'], sizes)
    at_epochs, at_updates = [], []
    for size in sizes:
        overrides = {'batch_size': size, 'microbatch': shared}
        at_epochs.append(arms.Arm(f'{EPOCHS}, B {size}', overrides, space))
        longer = {**overrides, 'regime_adaptation': sizes[0]}
        at_updates.append(arms.Arm(f'{UPDATES}, B {size}', longer, space))
    if not equal_updates:
        return at_epochs
    # The smallest batch has as many updates as itself: its regime of equal epochs is the other too.
    return at_epochs + at_updates[1:]


def measure_speeds(config, workdir: Path, sizes: Sequence[int]):
    """Times one trial of each batch size alone and keeps what is measured in SPEED_FILE; what is
    there already is not measured again. All processes of a job call it together."""
    speed_of = read_speeds(workdir)
    for size in sizes:
        if str(size) not in speed_of:
            trial = configs.resolve(config, {'batch_size': size, 'seed': 1})
            speed_of[str(size)] = speeds.speed(trial)
    if hosts.is_primary():
        replace(Path(workdir) / SPEED_FILE, json.dumps(speed_of).encode())


def read_speeds(workdir: Path) -> dict[str, list[float]]:
    """What `measure_speeds` kept, by batch size; {}: nothing was measured.

    Raises:
        Refusal: the file is damaged; the message names it.
    """
    file = Path(workdir) / SPEED_FILE
    if not file.exists():
        return {}
    return documents.document(file, dict[str, _Speeds])


def _analyse(compared: Compared, fit_margin: float, margin: float) -> Analysis:
    all_arms, tuned = compared.arms, compared.results
    measured = compare.measure(compared.workdir, *compared.tunings)
    at_epochs, at_updates = [], [all_arms[0]]
    for arm in all_arms:
        if 'regime_adaptation' in arm.overrides:
            at_updates.append(arm)
        else:
            at_epochs.append(arm)
    regimes = {EPOCHS: at_epochs, UPDATES: at_updates}
    rows = results.read(compared.workdir)
    smallest = all_arms[0]
    table = compare.table(compared, measured, smallest.name)
    sizes = [arm.overrides['batch_size'] for arm in at_epochs]
    # none where nothing was timed, or not yet
    known_speeds = read_speeds(compared.workdir)
    (path,) = smallest.space
    figures = [
        *presentation.error_figures(regimes, measured, drawn(compared.tuning)),
        *presentation.rate_figures(regimes, tuned, path),
        *presentation.path_figures(rows, at_epochs, tuned),
    ]
    if all(str(size) in known_speeds for size in sizes):
        train_size = training_set(compared.config['workload']).size
        figures += presentation.speed_figures(known_speeds, sizes, train_size)
    fitting = Fitting(smallest.name, fit_margin)
    epochs_names = [arm.name for arm in at_epochs]
    updates_names = [arm.name for arm in at_updates]
    claims = _claims(epochs_names, updates_names, measured, fitting, margin)
    claims += _diffusion(rows, at_epochs[-1], compared.tunings)
    verdict = _verdict(epochs_names, measured, fitting)
    return Analysis('Batch size and generalization', verdict, [table], figures, None, claims)


def _verdict(at_epochs, measured, fitting):
    """What the excess of test error at the largest batches is made of."""
    small, large = at_epochs[0], at_epochs[-1]
    if small == large:
        return ''
    last = at_epochs[largest_fitting(measured, at_epochs, fitting)]
    sentences = [f'No larger batch is shown to fit the training set as well as "{small}" does.']
    if last != small:
        excess = format_interval(compare.paired(measured, last, small))
        sentences = [
            f'The largest batch that fits the training set as well as "{small}" does (training '
            f'error at most {fitting.margin:g} higher) is "{last}": its test error is {excess} '
            'above.'
        ]
    if last != large:
        test = format_interval(compare.paired(measured, large, small))
        training = format_interval(compare.paired(measured, large, small, TRAINING))
        sentences.append(
            f'"{large}" has a test error {test} above and a training error {training} above.'
        )
    return ' '.join(sentences)


def _claims(at_epochs, at_updates, measured, fitting, margin):
    """Claims on the largest batch that fits the training set, then on the largest of all.

    Args:
        at_epochs, at_updates: names of arms, from the smallest batch to the largest.
    """
    if len(at_epochs) < 2:
        return []
    # without one that fits, the largest of all, which is under-trained
    place = largest_fitting(measured, at_epochs, fitting) or len(at_epochs) - 1
    large, largest = at_epochs[place], at_epochs[-1]
    claims = [_degradation(measured, large, fitting)]
    if large != largest:
        claims.append(_degradation(measured, largest, fitting))
    has_regime = len(at_updates) > 1
    enough = at_updates[-1] if has_regime else large
    counter_claim = contrast(
        f'Tuned and given enough steps, the largest batch degrades test error by {margin:g} at '
        'most (Shallue et al. 2019)',
        *(measured, enough, fitting.reference, below, margin, fitting, _papers.SHALLUE_ERROR),
    )
    claims.append(counter_claim)
    if has_regime:
        claims += _regime_adaptation(measured, large, at_updates[place], fitting, margin)
    return claims


def _degradation(measured, large, fitting):
    return contrast(
        'At equal training error a large batch has a higher test error than a small one (premise '
        'of Keskar et al. 2017)',
        *(measured, large, fitting.reference, above, 0.0, fitting, _papers.KESKAR),
    )


def _regime_adaptation(measured, large, longer, fitting, margin):
    """Of one batch size: `longer` has as many updates as the smallest batch."""
    paper = _papers.HOFFER_UPDATES
    yield contrast(
        'As many updates as the small batch has shrink the gap (Hoffer et al. 2017)',
        *(measured, large, longer, above, 0.0, fitting, paper),
    )
    yield contrast(
        f'... and leave none, {margin:g} at most',
        *(measured, longer, fitting.reference, below, margin, fitting, paper),
    )


def _diffusion(rows: Mapping[str, np.ndarray], arm: arms.Arm, tunings):
    """Is |w - w_0| straighter against log t than against t^1/2, as for a random walk in a rough
    potential?"""
    if 'distance' not in rows:
        return []
    by_tuning = [_misfits(rows, tuned[arm.name].trials) for tuned in tunings]
    updates = max(last for _, last in by_tuning)
    ratios = compare.draws([ratios for ratios, _ in by_tuning])
    if not updates:
        return []
    measured = (
        f'batch {arm.overrides["batch_size"]}, first {updates} updates: 1 - R^2 of log t over that '
        f'of t^1/2: {format_interval(ratios)}'
    )
    claim = (
        'The distance from the initial weights grows like log t rather than t^1/2 (Hoffer et '
        'al. 2017)'
    )
    judgement = judged(claim, measured, below, ratios, 1.0)
    effects = tuple(map(float, ratios))
    return [judgement._replace(paper=_papers.HOFFER_DIFFUSION, effects=effects)]


def _misfits(rows, trials):
    """(ratio of the misfits of each trial, NaN where it diverged; last of the updates looked at, 0
    where they are too few)."""
    steps, distances = compare.path(rows, trials, 'step', 'distance')
    # where the rate has not decayed yet
    early = steps <= steps.max(initial=0) / 2
    ratios = np.full(len(trials), np.nan)
    t = steps[early]
    # Over a few updates each of the two curves fits as well as the other.
    if len(t) < _FEWEST_ROWS or t.max() < _LEAST_RANGE * t.min():
        return ratios, 0
    # a diverged trial has no whole path: the others are those that have
    for place, of_seed in enumerate(distances):
        y = of_seed[early]
        ratios[place] = misfit(t, y, 0.0) / misfit(t, y, 0.5)
    return ratios, int(t.max())
