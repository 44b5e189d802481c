"""What do workers that meet every k steps lose against workers that meet every step, at equal
examples?"""

from collections.abc import Sequence

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
    above,
    format_interval,
    interval,
    judged,
    within,
)
from lbexp.errors import Refusal
from lbexp.ranges import Fraction, Positive, PositiveFraction, PositiveInteger, Trials
from lbexp.studies import Study
from lbexp.studies._comparison import arms, compare
from lbexp.studies._comparison.comparison import Compared, comparison
from lbexp.studies._finals import row_of_trial
from lbexp.studies._noisy_quadratic import local_sgd as quadratic
from lbexp.studies._noisy_quadratic.cases import verdict

_STICH, _DILOCO = 'Stich 2019, arXiv:1805.09767', 'Douillard et al. 2023, arXiv:2311.08105'


def local_sgd(
    workers: Sequence[PositiveInteger] = (2, 8),
    ks: Sequence[PositiveInteger] = (8, 32),
    slow_step_sizes: Sequence[PositiveFraction] = (0.5,),
    outer_momentum: Fraction = 0.6,
    worker_batch: PositiveInteger = 16,
    rates: tuple[Positive, Positive] = (0.01, 1.0),
    budget: Trials = 6,
    seeds: Trials = 6,
    tunings: Trials = 1,
    margin: Positive = 0.01,
    updates: PositiveInteger = 1600,
) -> Study:
    """Arms of W workers, each tuned with the same budget, after the same number of examples; then
    the quadratic.

    Synchronous replicas and plain local SGD for every W and k; with the largest W and k also
    smaller slow steps, and outer Nesterov momentum with a slow step of 1. A step takes
    `worker_batch` examples of each worker, so W workers make 1 / W of the updates that one would.
    The optimizer of the workers is the configuration's; its learning rate is tuned for every arm.
    What is reported ran with other seeds than what was tuned.

    On noisy_quadratic the stationary variance of the slow weights stands beside theory.local_sgd,
    for SGD and momentum inside, buffers kept, averaged and reset, with and without outer momentum.

    Args:
        workers: W, each >= 1.
        ks: steps between synchronisations, each >= 1.
        slow_step_sizes: below 1, compared with 1.
        outer_momentum: compared with none, in (0, 1).
        worker_batch: examples of a worker in a step.
        rates: from, to, of the learning rates tried first.
        budget: points tried for each arm.
        seeds: trials reported for each arm, and each tuning.
        tunings: times that each is tuned, with other points and seeds; with several, intervals are
            over tunings.
        margin: difference of test error that counts as none; at least that of 2 test examples.
        updates: measured on the quadratic, per trial.

    Source: Stich 2019, arXiv:1805.09767; Lin et al. 2020, arXiv:1808.07217; Douillard et al. 2023,
        arXiv:2311.08105.
    """
    if not margin > 0:
        raise Refusal(f'margin: found {margin}; allowed: a difference of error > 0')
    if min(workers, default=0) < 1 or min(ks, default=0) < 1:
        raise Refusal(
            f'workers, ks: found {tuple(workers)}, {tuple(ks)}; allowed: integers '
            '>= 1, some of each'
        )
    tuning = arms.Tuning(budget, seeds, arms.validation_error, extensions=1, tunings=tunings)
    slow = [float(alpha) for alpha in slow_step_sizes if alpha != 1.0]

    def arms_of(config):
        space = {arms.learning_rate(config['optimizer']): ('log', *rates)}
        compared = []
        for name, way in _ways(workers, ks, slow_step_sizes, outer_momentum).items():
            overrides = {'batch_size': way['workers'] * worker_batch, 'replicas': way}
            compared.append(arms.Arm(name, overrides, space))
        return compared

    def analyse(compared):
        return _analyse(compared, max(workers), ks, slow, float(margin))

    others = quadratic.trials(updates)
    return comparison(arms_of, tuning, analyse, others, margin=float(margin))


def _ways(workers, ks, slow_step_sizes, outer_momentum):
    """{name of the arm: replicas}. Slow steps and outer momentum with the largest W and k alone."""
    ways = {}
    for count in workers:
        ways[_name(count)] = dict(name='synchronous', workers=count)
        for k in ks:
            ways[_name(count, k)] = _local(count, k)
    largest, longest = max(workers), max(ks)
    for alpha in slow_step_sizes:
        ways[_name(largest, longest, alpha)] = _local(largest, longest, slow_step_size=alpha)
    outer = _local(largest, longest, outer_momentum=outer_momentum)
    ways[_outer_name(largest, longest)] = outer
    return ways


def _local(workers, k, slow_step_size=1.0, outer_momentum=0.0):
    return dict(
        name='local_sgd',
        slow_step_size=slow_step_size,
        outer_momentum=outer_momentum,
        k=k,
        workers=workers,
    )


def _name(workers, k=None, slow_step_size=1.0):
    if k is None:
        return f'synchronous, W {workers}'
    slow = '' if slow_step_size == 1.0 else f', slow step {slow_step_size:g}'
    return f'local, W {workers}, k {k}{slow}'


def _outer_name(workers, k):
    return f'local, W {workers}, k {k}, outer momentum'


def _analyse(
    compared: Compared,
    largest: int,
    ks: Sequence[int],
    slow_step_sizes: Sequence[float],
    margin: float,
) -> Analysis:
    workdir, tuned = compared.workdir, compared.results
    measured = compare.measure(workdir, *compared.tunings)
    rows = quadratic.measured(workdir)
    agrees, words = verdict(rows)
    claims = [
        Claim(
            'The variance at rest of the slow weights of W workers is that of one worker with 1 '
            '/ W of the noise '
            '(closed form: alpha^2 (1 - r^2k) V_SGD / W / (1 - (1 - alpha + alpha r^k)^2), and '
            'with momentum)',
            words,
            REPRODUCED if agrees else NOT_REPRODUCED,
        ),
        *_matching_claims(measured, largest, ks, margin),
        *_lowering_claims(measured, largest, max(ks), slow_step_sizes),
    ]
    outcomes = {claim.outcome for claim in claims}
    passed = outcomes == {REPRODUCED}
    if UNDECIDED in outcomes:
        passed = None
    errors = []
    for name, metrics in measured.items():
        errors.append(f'{name} {format_interval(metrics["test_error"])}')
    title, sentence = 'Workers that meet every k steps', f'Test error: {", ".join(errors)}.'
    tables = [
        compare.table(compared, measured, _name(largest)),
        _cost(workdir, tuned),
        quadratic.rows_table(rows),
    ]
    figures = [_figure(compared.arms, measured), quadratic.ratios(rows)]
    return Analysis(title, sentence, tables, figures, passed, claims)


def _matching_claims(measured, largest, ks, margin):
    """Of the largest number of workers, each paired by seed with synchronous ones."""
    for k in ks:
        difference = compare.differences(measured, _name(largest, k), _name(largest))
        yield judged(
            f'With {largest} workers, averaging every {k} steps matches every step within '
            f'{margin:g} ({_STICH})',
            f'difference {format_interval(difference)}',
            within,
            difference,
            margin,
        )


def _lowering_claims(measured, largest, longest, slow_step_sizes):
    """What slow steps and outer momentum add to the largest number of workers at the longest k."""
    changes = [
        (f'A slow step of {alpha:g}', _name(largest, longest, alpha), 'Lookahead')
        for alpha in slow_step_sizes
    ]
    changes.append(('Outer Nesterov momentum', _outer_name(largest, longest), _DILOCO))
    for change, name, source in changes:
        gain = compare.differences(measured, _name(largest, longest), name)
        yield judged(
            f'{change} lowers the test error of local SGD with k {longest} ({source})',
            f'{format_interval(gain)} lower',
            above,
            gain,
        )


def _cost(workdir, tuned):
    finals = results.final(workdir)
    row_of = row_of_trial(finals)
    rows = []
    for name, result in tuned.items():
        if result.trials:
            # the same for all seeds
            row = row_of[result.trials[0]]
            examples = int(finals['examples'][row])
            steps = int(finals['step'][row])
            sent = float(finals['communicated_bytes'][row])
            rows.append([name, examples, steps, sent, sent * steps])
    columns = ['arm', 'examples', 'steps', 'bytes all-reduced per step', 'bytes in all']
    caption = (
        'Steps count updates of each worker; bytes are the size of what is all-reduced, on '
        'average over steps.'
    )
    return Table('What it costs', columns, rows, caption)


def _figure(compared_arms, measured):
    """A line over k for each number of workers; slow steps and outer momentum as points."""
    lines, points = {}, []
    for arm in compared_arms:
        way, errors = arm.overrides['replicas'], measured[arm.name]['test_error']
        k = way.get('k', 1)  # synchronous replicas meet every step
        if way.get('slow_step_size', 1.0) == 1.0 and not way.get('outer_momentum'):
            lines.setdefault(f'W {way["workers"]}', []).append((k, errors))
        else:
            middle, low, high = interval(errors)
            points.append(Series(arm.name, [k], [middle], [low], [high], 'points'))
    series: list[Series] = []
    for name, members in lines.items():
        ks, errors = zip(*members, strict=True)
        series += compare.points(name, ks, errors)
    caption = (
        'Medians with intervals over seeds, each arm at its best learning rate; k 1: '
        'synchronous replicas.'
    )
    labels = 'steps between synchronisations, k', 'test error [fraction]'
    title = 'Test error at equal examples'
    return Figure('error', title, *labels, [*series, *points], 'log', 'linear', caption)
