"""Which rule carries a rate that was tuned at a small batch to a large one, where most parameters
are tables of embeddings?"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lbexp import results
from lbexp.analysis import Analysis, Figure, Table, above, below, format_interval, judged
from lbexp.engine.plan import shared_microbatch
from lbexp.errors import Refusal
from lbexp.ranges import Draws, NonNegativeInteger, Positive, PositiveInteger, Trials
from lbexp.studies import Study
from lbexp.studies._comparison import arms, compare
from lbexp.studies._comparison.comparison import Compared, comparison
from lbexp.studies._comparison.stopping import tuning_of
from lbexp.studies._finals import final_metric, row_of_trial
from lbexp.studies._judgement import drawn

UNSCALED, LINEAR, ROOT, COWCLIP = 'unscaled', 'linear', 'square root', 'cowclip'
TUNED = 'tuned'  # there, by no rule
_RULES = {UNSCALED: None, LINEAR: 'linear', ROOT: 'square_root'}
_PAPER = (
    'Zheng et al. 2022 (arXiv:2204.06240, Criteo, DeepFM): from batch 1K to 128K without a loss of '
    'AUC, 80.86 % and 80.90 %; their earlier rules lose. Here the tables are small'
)


def click_scaling(
    small: PositiveInteger = 512,
    large: Sequence[PositiveInteger] = (2048, 8192),
    learning_rates: tuple[Positive, Positive] = (3e-4, 3e-2),
    tables: str = 'categories',
    r: Positive = 1.0,
    zeta: Positive = 1e-4,
    l2: Positive = 1e-5,
    budget: Trials = 5,
    seeds: Draws = 3,
    tunings: Draws = 1,
    extensions: NonNegativeInteger = 1,
    margin: Positive = 0.002,
) -> Study:
    """The configuration's optimizer and CowClip tuned at a small batch, carried to larger ones at
    equal epochs by four rules.

    Of the optimizer the rate stays ('unscaled'), or grows by the ratio of the batches ('linear') or
    by its root ('square root'). CowClip is tuned at the small batch with one rate for tables and
    dense weights, and its own rule carries it (`optimizers.cowclip`). Beside these the optimizer is
    tuned at each batch ('tuned'), with the same budget: what a rule may reach at all. Scores are
    the log loss of the validation set.

    Args:
        small: examples per update; the reference of the rules.
        large: others, multiples of it.
        learning_rates: (low, high) searched, of both optimizers.
        tables, r, zeta, l2: of cowclip, at the small batch.
        budget: learning rates tried for each arm that is tuned.
        seeds: trials reported for each, and each tuning; 'auto': of one tuning, until decided.
        tunings: times that each is tuned, with other points and seeds; with several, intervals are
            over tunings; 'auto': until decided.
        extensions: rounds of a search after the first, which share half of its budget.
        margin: difference of log loss that counts as none [nats].

    Source: Zheng et al. 2022, arXiv:2204.06240.
    """
    sizes = sorted(set(large))
    if not sizes or any(size <= small or size % small for size in sizes):
        raise Refusal(f'small, large: found {small}, {tuple(large)}; allowed: multiples of small')
    space = {'optimizer.learning_rate': ('log', *learning_rates)}
    clipping = {'name': 'cowclip', 'tables': tables, 'r': r, 'zeta': zeta, 'l2': l2}
    tuning = tuning_of(budget, seeds, tunings, validation_loss, extensions=extensions)

    def arms_of(config):
        shared = shared_microbatch(config['workload'], [small, *sizes])
        return _arms(small, sizes, shared, space, clipping)

    def analyse(compared):
        return _analyse(compared, small, sizes, float(margin))

    return comparison(arms_of, tuning, analyse)


def _arms(small, sizes, microbatch, space, clipping):
    def at(size, **fields):
        return {'batch_size': size, 'microbatch': microbatch, **fields}

    def clipped(size):
        # what a trial's rate is put into, so it has to be whole
        return {**clipping, 'learning_rate': 1e-3, 'batch_ratio': size / small}

    plain, cowclip = _name(TUNED, small), _name(COWCLIP, small)
    compared = [
        arms.Arm(plain, at(small), space),
        arms.Arm(cowclip, at(small, optimizer=clipped(small)), space),
    ]
    for size in sizes:
        for name, rule in _RULES.items():
            scaling = {'rule': rule, 'reference': small}
            overrides = at(size, batch_scaling=scaling)
            compared.append(arms.Arm(_name(name, size), overrides, {}, tuned_as=plain))
        overrides = at(size, optimizer=clipped(size))
        compared.append(arms.Arm(_name(COWCLIP, size), overrides, {}, tuned_as=cowclip))
        compared.append(arms.Arm(_name(TUNED, size), at(size), space))
    return compared


def validation_loss(workdir: Path) -> dict[int, float]:
    """Log loss on the validation examples at the end of each trial; inf where it diverged."""
    finals = results.final(workdir)
    losses = final_metric(finals, 'validation_loss')
    losses = np.where(np.isfinite(losses), losses, math.inf)
    return dict(zip(finals['trial'].tolist(), losses.tolist(), strict=True))


def measured(compared: Compared, metric: str) -> dict[str, np.ndarray]:
    """By arm, the test metric at the end of each reported trial; of several tunings the means."""
    finals = results.final(compared.workdir)
    values, row_of = final_metric(finals, f'test_{metric}'), row_of_trial(finals)
    of_arms = {}
    for arm in compared.arms:
        by_tuning = []
        for tuned in compared.tunings:
            rows = [row_of[trial] for trial in tuned[arm.name].trials]
            by_tuning.append(values[rows])
        of_arms[arm.name] = compare.draws(by_tuning)
    return of_arms


def _analyse(compared: Compared, small: int, sizes: list[int], margin: float) -> Analysis:
    losses, aucs = measured(compared, 'loss'), measured(compared, 'auc')
    rows = []
    for arm in compared.arms:
        rate = compared.results[arm.name].best
        shown = '' if rate is None else f'{rate["optimizer.learning_rate"]:.3g}'
        name = arm.name
        rows.append([name, shown, format_interval(losses[name], 4), format_interval(aucs[name], 4)])
    caption = (
        f'{drawn(compared.tuning)} Rate: that of the arm where it was tuned, before a rule scales '
        'it. Test examples, after the last update; equal epochs.'
    )
    table = Table('Rules', ['arm', 'rate', 'test log loss', 'test AUC'], rows, caption)
    claims = _claims(losses, small, sizes[-1], margin)
    verdict = '; '.join(claim.measured for claim in claims)
    figure = _figure(compared, losses, small, sizes)
    title = 'Clicks at large batch'
    return Analysis(title, f'{verdict}.', [table], [figure], None, claims)


def _claims(losses, small, size, margin):
    """On the largest batch, each rule beside the small batch where its rate was tuned."""
    claims: list[Any] = []
    for name in (*_RULES, COWCLIP):
        reference = _name(COWCLIP if name == COWCLIP else TUNED, small)
        arm = _name(name, size)
        count = min(len(losses[arm]), len(losses[reference]))
        effects = losses[arm][:count] - losses[reference][:count]
        words, test = f'loses more than {margin:g} of log loss', above
        if name == COWCLIP:
            words, test = f'loses at most {margin:g} of log loss', below
        claim = f'From batch {small} to {size} the rule "{name}" {words} (Zheng et al. 2022)'
        shown = f'"{arm}" less "{reference}": {format_interval(effects)}'
        claims.append(judged(claim, shown, test, effects, margin)._replace(paper=_PAPER))
    return claims


def _figure(compared, losses, small, sizes):
    series = []
    for name in (*_RULES, COWCLIP, TUNED):
        first = _name(COWCLIP if name == COWCLIP else TUNED, small)
        values = [losses[first], *(losses[_name(name, size)] for size in sizes)]
        dots, _ = compare.points(name, [small, *sizes], values)
        series.append(dots)
    axes = 'examples per update', 'test log loss [nats]'
    caption = drawn(compared.tuning)
    return Figure('rules', 'Rules', *axes, series, 'log', 'linear', caption)


def _name(rule, size):
    return f'{rule}, B {size}'
