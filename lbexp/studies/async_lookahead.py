"""Many asynchronous workers already form a kind of slow weights: what does Lookahead at the server
add?"""

import itertools
from collections.abc import Sequence
from typing import Any, Literal

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
    above,
    format_interval,
    judged,
)
from lbexp.errors import Refusal
from lbexp.ranges import Draws, Fraction, Positive, PositiveFraction, PositiveInteger, Trials
from lbexp.studies import Study
from lbexp.studies._comparison import arms, compare
from lbexp.studies._comparison.comparison import Compared, comparison
from lbexp.studies._comparison.stopping import tuning_of
from lbexp.studies._judgement import contrast
from lbexp.studies._noisy_quadratic import asynchronous as quadratic
from lbexp.studies._noisy_quadratic.cases import verdict

# The paper of Lookahead has one worker, and that of asynchrony no Lookahead: most claims are ours.
_LOOKAHEAD = (
    'Zhang et al. 2019 (arXiv:1907.08610): one worker, SGD, ResNet-18, CIFAR-10, 200 epochs: '
    'accuracy 95.27 +- 0.06 % with Lookahead, 95.23 +- 0.19 % without'
)
_BEGETS = (
    'Mitliagkas et al. 2016 (arXiv:1605.09774, abstract): asynchrony adds a term like momentum to '
    'SGD, the more workers the more; nothing on Lookahead'
)
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
    seeds: Draws = 6,
    tunings: Draws = 1,
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
        seeds: trials reported for each arm, and each tuning; 'auto': of one tuning, until decided.
        tunings: times that each is tuned, with other points and seeds; with several, intervals are
            over tunings; 'auto': until decided.
        updates: measured on the quadratic, per trial.
        repeats: trials of each case on the quadratic.

    Source: Zhang et al. 2019, arXiv:1907.08610; Mitliagkas et al. 2016, arXiv:1605.09774
        (asynchrony begets momentum).
    """
    _validate(workers, delay, servers)
    alpha = float(slow_step_size)
    lookahead = dict(name='lookahead', k=k, slow_step_size=slow_step_size)
    compared_arms = []
    for server in servers:
        inner: dict[str, Any] = dict(name=server, learning_rate=0.1)
        low, high = map(float, rates)
        if server == 'momentum':
            inner['momentum'] = momentum
            # a velocity of momentum m is 1 / (1 - m) gradients long
            low, high = (1 - momentum) * low, (1 - momentum) * high
        for w in workers:
            way = dict(name='asynchronous', workers=w, delay=delay)
            compared_arms += _pair(server, w, inner, lookahead, way, ('log', low, high))

    def analyse(compared):
        rows = quadratic.measured(compared.workdir, k, alpha)
        losses = {w: quadratic.best_loss(w, k, alpha) for w in workers}
        return _analyse(compared, rows, losses, workers, servers)

    return comparison(
        lambda config: compared_arms,
        tuning_of(budget, seeds, tunings, arms.validation_error, extensions=1),
        analyse,
        others=quadratic.trials(k, alpha, updates, repeats),
    )


def _validate(workers, delay, servers):
    if not servers or set(servers) - {'sgd', 'momentum'}:
        raise Refusal(f'servers: found {tuple(servers)}; allowed: sgd, momentum, one at least')
    if delay not in ('constant', 'geometric') or len(workers) < 2 or min(workers) < 1:
        raise Refusal(
            f'workers, delay: found {tuple(workers)}, {delay!r}; allowed: two numbers >= 1 or '
            'more; '
            "'constant' or 'geometric'"
        )


def _pair(server, workers, inner, lookahead, way, rates):
    """The arm of a server optimizer as it is, and that of Lookahead around it."""
    for wrapped in (False, True):
        optimizer = dict(lookahead, inner=inner) if wrapped else inner
        overrides = {'optimizer': optimizer, 'replicas': way}
        space = {arms.learning_rate(optimizer): rates}
        yield arms.Arm(_name(server, workers, wrapped), overrides, space)


def _optimizer_name(server, wrapped):
    return f'Lookahead of {server}' if wrapped else server


def _name(server, workers, wrapped):
    return f'{_optimizer_name(server, wrapped)}, W {workers}'


def _analyse(
    compared: Compared,
    rows: Sequence[quadratic.Row],
    losses: dict[int, tuple[quadratic.BestLoss, quadratic.BestLoss]],
    workers: Sequence[int],
    servers: Sequence[str],
) -> Analysis:
    tuned = compared.results
    measured = compare.measure(compared.workdir, *compared.tunings)
    agrees, words = verdict(rows)
    claims = [
        Claim(
            'The variance at rest of asynchronous SGD, and of Lookahead behind it, is that of '
            'its linear system (ours)',
            words,
            REPRODUCED if agrees else NOT_REPRODUCED,
        ),
        *_on_the_quadratic(losses),
        *_on_the_network(measured, workers, servers),
    ]
    gains = []
    for server, w in itertools.product(servers, workers):
        gains.append(f'{server}, W {w}: {format_interval(_gain(measured, server, w))}')
    sentence = f'Test error without Lookahead minus with it, each tuned: {"; ".join(gains)}.'
    reference = _name(servers[0], workers[0], False)
    tables = [
        _answers(measured, tuned, workers, servers, compared.workdir),
        compare.table(compared, measured, reference),
        _quadratic_table(losses),
        quadratic.rows_table(rows),
    ]
    # The question is open: that Lookahead adds nothing is an answer too, so only theory can fail.
    passed = agrees
    if any(claim.outcome == UNDECIDED for claim in claims):
        passed = None
    title = 'What Lookahead adds to asynchronous workers'
    figures = [_figure(measured, workers, servers)]
    return Analysis(title, sentence, tables, figures, passed, claims)


def _gain(measured, server, workers):
    plain, wrapped = _name(server, workers, False), _name(server, workers, True)
    return compare.differences(measured, plain, wrapped)


def _on_the_network(measured, workers, servers):
    for server in servers:
        gains = {w: _gain(measured, server, w) for w in workers}
        for w in workers:
            yield contrast(
                f'Lookahead around {server} lowers the test error with {_count(w)}'
                f'{"" if w == 1 else " (ours)"}',
                measured,
                _name(server, w, False),
                _name(server, w, True),
                above,
                paper=_LOOKAHEAD if w == 1 else '',
            )
        few, many = gains[workers[0]], gains[workers[-1]]
        # by seed, too: a seed that diverged is NaN in its place
        count = min(len(few), len(many))
        change = few[:count] - many[:count]
        claim = judged(
            f'Lookahead around {server} gains less with {_count(workers[-1])} than with '
            f'{workers[0]}: they already form slow weights (ours)',
            f'gain smaller by {format_interval(change)}',
            above,
            change,
        )
        yield claim._replace(paper=_BEGETS, effects=tuple(map(float, change)))


def _count(workers):
    return '1 worker' if workers == 1 else f'{workers} asynchronous workers'


def _on_the_quadratic(losses):
    """Exact, so there is no interval: the ratio of losses itself decides."""
    for w, (plain, lookahead) in losses.items():
        ratio = plain.loss / lookahead.loss
        yield Claim(
            f'On the noisy quadratic, exactly, with {_count(w)}: the loss of SGD is more than '
            f'{_FASTER:g} times that of Lookahead around it, each rate tuned (ours)',
            f'loss without / with {ratio:.3f} (rates {plain.rate:.3g}, {lookahead.rate:.3g})',
            REPRODUCED if ratio > _FASTER else NOT_REPRODUCED,
        )


def _answers(measured, tuned, workers, servers, workdir):
    finals = results.final(workdir)
    lines = []
    for server, w in itertools.product(servers, workers):
        plain, wrapped = _name(server, w, False), _name(server, w, True)
        trials = np.isin(finals['trial'], tuned[plain].trials)
        mean, largest = '', ''
        if trials.any():
            mean = f'{np.mean(finals["staleness_mean"][trials]):.3g}'
            largest = f'{np.mean(finals["staleness_max"][trials]):.3g}'
        errors = format_interval(measured[plain]['test_error'])
        wrapped_errors = format_interval(measured[wrapped]['test_error'])
        gain = format_interval(_gain(measured, server, w))
        rates = _rate(tuned[plain].best), _rate(tuned[wrapped].best)
        lines.append([server, w, mean, largest, errors, wrapped_errors, gain, *rates])
    columns = ['server', 'W', 'staleness, mean', 'max', 'test error', 'with Lookahead']
    columns += ['gain, paired', 'best rate', 'best rate with Lookahead']
    caption = (
        'Medians with intervals over seeds. Staleness: over the updates of the last row, '
        'mean over seeds.'
    )
    return Table('What Lookahead adds', columns, lines, caption)


def _rate(best):
    if best is None:
        return 'all diverged'
    (rate,) = best.values()
    return f'{rate:.3g}'


def _quadratic_table(losses):
    lines = []
    for w, (plain, lookahead) in losses.items():
        ratio = plain.loss / lookahead.loss
        bests = [plain.rate, plain.loss, lookahead.rate, lookahead.loss]
        lines.append([w, w - 1, *bests, ratio, plain.stable, lookahead.stable])
    columns = ['W', 'staleness', 'best rate', 'loss', 'best rate with Lookahead']
    columns += ['loss with Lookahead', 'ratio', 'largest stable rate', 'with Lookahead']
    caption = (
        'Exact expectation, no training: expected loss of the deployed weights after 200 updates '
        'of workers that take turns, from distance 1, curvatures 1, 1/2 .. 1/32, noise 0.3, at '
        'the best of 200 constant learning rates. Largest stable rates are of the largest '
        'curvature.'
    )
    return Table('On the noisy quadratic, exactly', columns, lines, caption)


def _figure(measured, workers, servers):
    series = []
    for server, wrapped in itertools.product(servers, (False, True)):
        errors = [measured[_name(server, w, wrapped)]['test_error'] for w in workers]
        series += compare.points(_optimizer_name(server, wrapped), list(workers), errors)
    caption = (
        'Medians with intervals over seeds, each arm at its best learning rate; equal '
        'examples and updates.'
    )
    labels = 'asynchronous workers', 'test error [fraction]'
    title = 'Lookahead behind asynchronous workers'
    return Figure('error', title, *labels, series, 'log', 'linear', caption)
