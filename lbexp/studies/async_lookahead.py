"""Many asynchronous workers already form a kind of slow weights: what does Lookahead at the server
add?"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from lbexp import results
from lbexp.analysis import (
    NOT_REPRODUCED,
    REPRODUCED,
    UNDECIDED,
    Analysis,
    Claim,
    Figure,
    Table,
    bounds,
    outcome,
    spread,
)
from lbexp.errors import Refusal
from lbexp.ranges import Fraction, Positive, PositiveFraction, PositiveInteger, Trials
from lbexp.studies import Study
from lbexp.studies._comparison import arms, compare
from lbexp.studies._noisy_quadratic.asynchronous import (
    best_loss,
    cases,
    measured,
    rows_table,
    trial_of,
)
from lbexp.studies.steady_state import verdict

_PAPER = 'Zhang et al. 2019, arXiv:1907.08610'
_FASTER = 1.05  # a ratio of expected losses below which theory counts as 'no better'


def async_lookahead(
    workers: Sequence[PositiveInteger] = (1, 4, 16),
    delay: Literal['constant', 'geometric'] = 'geometric',
    servers: Sequence[Literal['sgd', 'momentum']] = ('sgd', 'momentum'),
    momentum: Fraction = 0.9,
    k: PositiveInteger = 5,
    slow_step_size: PositiveFraction = 0.5,
    rates: tuple[Positive, Positive] = (0.003, 1.0),
    budget: Trials = 6,
    seeds: Trials = 5,
    updates: PositiveInteger = 1500,
    repeats: Trials = 16,
) -> Study:
    """For each number of workers and each server optimizer: plain, and Lookahead around it, each
    tuned alike.

    Every update is a push of one worker, so all arms see the same examples in as many updates,
    whatever W; only staleness differs, with mean W - 1 for either delay. Differences are paired by
    seed, and the gain of the most workers is compared with that of one.

    On noisy_quadratic the stationary variance stands beside theory.staleness, for constant and for
    geometric delays; and the expected loss after a number of updates, at the best constant learning
    rate of each arm, is computed there without any training: what Lookahead adds where nothing is
    left to chance.

    Args:
        workers: W, each >= 1; the first is the one that others are compared with.
        delay: 'constant' or 'geometric', as in replicas.asynchronous.
        servers: among sgd, momentum.
        momentum: of the latter, in [0, 1).
        k, slow_step_size: of Lookahead.
        rates: from, to, of the learning rates of SGD tried first; those of momentum are 1 -
            momentum times these.
        budget: points tried for each arm.
        seeds: trials reported for each arm.
        updates: measured on the quadratic, per trial.
        repeats: trials of each case on the quadratic.

    Source: Zhang et al. 2019, arXiv:1907.08610; Mitliagkas et al. 2016, arXiv:1605.09774
        (asynchrony begets momentum).
    """
    unknown = set(servers) - {'sgd', 'momentum'}
    if unknown or not servers:
        raise Refusal(f'servers: found {tuple(servers)}; allowed: sgd, momentum, one at least')
    if delay not in ('constant', 'geometric') or len(workers) < 2 or min(workers) < 1:
        raise Refusal(
            f'workers, delay: found {tuple(workers)}, {delay!r}; allowed: two numbers >= 1 or '
            'more; '
            "'constant' or 'geometric'"
        )
    around = dict(name='lookahead', k=k, slow_step_size=slow_step_size)
    compared = [
        arm
        for name in servers
        for w in workers
        for arm in _arms(name, w, delay, momentum, around, rates)
    ]
    tuning = arms.Tuning(budget, seeds, arms.validation_error, extensions=1)
    arms.validate(compared, tuning)
    quadratic = [case for case in cases(k, slow_step_size) for _ in range(repeats)]

    def trials(config):
        arms.require_validation(config)
        return arms.wanted(compared, tuning) + [
            trial_of(i, case, updates) for i, case in enumerate(quadratic)
        ]

    def analyse(workdir):
        return _analyse(
            Path(workdir), compared, tuning, quadratic, workers, servers, k, slow_step_size
        )

    return Study(trials, analyse, lambda config, workdir: arms.more(workdir, compared, tuning))


def _arms(name, workers, delay, momentum, around, rates):
    inner = dict(name='momentum', momentum=momentum) if name == 'momentum' else dict(name='sgd')
    scale = 1 - momentum if name == 'momentum' else 1.0
    inner = dict(inner, learning_rate=0.1)
    replicas = dict(name='asynchronous', workers=workers, delay=delay)
    for wrapped in (False, True):
        optimizer = dict(around, inner=inner) if wrapped else inner
        space = {arms.learning_rate(optimizer): ('log', *(scale * rate for rate in rates))}
        yield arms.Arm(
            _name(name, workers, wrapped), {'optimizer': optimizer, 'replicas': replicas}, space
        )


def _name(server, workers, wrapped):
    return f'{"Lookahead of " if wrapped else ""}{server}, W {workers}'


def _analyse(workdir, compared, tuning, quadratic, workers, servers, k, alpha):
    found = arms.outcome(workdir, compared, tuning)
    values = compare.measure(workdir, found)
    rows = measured(workdir, quadratic)
    agrees, words = verdict(rows)
    losses = {w: best_loss(w, k, alpha) for w in workers}
    claims = [
        Claim(
            (
                'The variance at rest of asynchronous SGD, and of Lookahead behind it, is that of '
                'its linear system'
            ),
            words,
            REPRODUCED if agrees else NOT_REPRODUCED,
        ),
        *_on_the_quadratic(losses),
        *_on_the_network(values, workers, servers),
    ]
    # The question is open: that Lookahead adds nothing is an answer too, so only theory can fail.
    gains = [
        f'{server}, W {w}: {spread(_gain(values, server, w))}'
        for server in servers
        for w in workers
    ]
    sentence = f'Test error without Lookahead minus with it, each tuned: {"; ".join(gains)}.'
    tables = [
        _answers(values, found, workers, servers, workdir),
        compare.table(compared, found, values, tuning, _name(servers[0], workers[0], False)),
        _quadratic_table(losses),
        rows_table(rows),
    ]
    passed = agrees if UNDECIDED not in {claim.outcome for claim in claims} else None
    title = 'What Lookahead adds to asynchronous workers'
    return Analysis(title, sentence, tables, [_figure(values, workers, servers)], passed, claims)


def _gain(values, server, workers):
    return compare.paired(values, _name(server, workers, False), _name(server, workers, True))


def _on_the_network(values, workers, servers):
    for server in servers:
        gains = {w: _gain(values, server, w) for w in workers}
        for w in workers:
            claim = (
                f'Lookahead around {server} lowers the test error with {w} asynchronous '
                f'workers ({_PAPER})'
            )
            yield Claim(claim, f'{spread(gains[w])} lower', outcome(*bounds(gains[w])))
        few, many = gains[workers[0]], gains[workers[-1]]
        count = min(len(few), len(many))
        change = few[:count] - many[:count]
        claim = (
            f'Lookahead around {server} gains less with {workers[-1]} workers than with '
            f'{workers[0]}'
        )
        yield Claim(
            f'{claim}: they already are slow weights',
            f'gain smaller by {spread(change)}',
            outcome(*bounds(change)),
        )


def _on_the_quadratic(losses):
    """Exact, so there is no interval: the ratio of losses itself decides."""
    for w, (plain, lookahead) in losses.items():
        ratio = plain[1] / lookahead[1]
        claim = (
            f'On the noisy quadratic, exactly: Lookahead of SGD reaches a lower loss with {w} '
            'workers, each rate tuned'
        )
        told = f'loss without / with {ratio:.3f} (rates {plain[0]:.3g}, {lookahead[0]:.3g})'
        yield Claim(claim, told, REPRODUCED if ratio > _FASTER else NOT_REPRODUCED)


def _answers(values, found, workers, servers, workdir):
    finals = results.final(workdir)
    lines = []
    for server in servers:
        for w in workers:
            trials = found[_name(server, w, False)].trials
            at = [int(np.flatnonzero(finals['trial'] == trial)[0]) for trial in trials]
            stale = (
                [f'{np.mean(finals[f"staleness_{kind}"][at]):.3g}' for kind in ('mean', 'max')]
                if at
                else ['', '']
            )
            errors = [
                spread(values[_name(server, w, wrapped)]['test_error']) for wrapped in (False, True)
            ]
            rates = [_rate(found[_name(server, w, wrapped)].best) for wrapped in (False, True)]
            lines.append([server, w, *stale, *errors, spread(_gain(values, server, w)), *rates])
    columns = [
        'server',
        'W',
        'staleness, mean',
        'max',
        'test error',
        'with Lookahead',
        'gain, paired',
    ]
    columns += ['best rate', 'best rate with Lookahead']
    caption = (
        'Medians with intervals over seeds. Staleness: over the updates of the last row, '
        'mean over seeds.'
    )
    return Table('What Lookahead adds', columns, lines, caption)


def _rate(best):
    return f'{next(iter(best.values())):.3g}' if best else 'all diverged'


def _quadratic_table(losses):
    lines = [
        [w, w - 1, *plain[:2], *lookahead[:2], plain[1] / lookahead[1], plain[2], lookahead[2]]
        for w, (plain, lookahead) in losses.items()
    ]
    columns = [
        'W',
        'staleness',
        'best rate',
        'loss',
        'best rate with Lookahead',
        'loss with Lookahead',
        'ratio',
    ]
    columns += ['largest stable rate', 'with Lookahead']
    caption = (
        'Exact expectation, no training: expected loss of the deployed weights after 200 updates '
        'of workers that take '
        'turns, from distance 1, curvatures 1, 1/2 .. 1/32, noise 0.3, at the best of 200 '
        'constant learning rates. '
        'Largest stable rates are of the largest curvature.'
    )
    return Table('On the noisy quadratic, exactly', columns, lines, caption)


def _figure(values, workers, servers):
    series = []
    for server in servers:
        for wrapped in (False, True):
            errors = [values[_name(server, w, wrapped)]['test_error'] for w in workers]
            series += compare.points(
                f'Lookahead of {server}' if wrapped else server, list(workers), errors
            )
    caption = (
        'Medians with intervals over seeds, each arm at its best learning rate; equal '
        'examples and updates.'
    )
    labels = 'asynchronous workers', 'test error [fraction]'
    return Figure(
        'error', 'Lookahead behind asynchronous workers', *labels, series, 'log', 'linear', caption
    )
