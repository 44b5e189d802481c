"""What do workers that meet every k steps lose against workers that meet every step, at equal
examples?"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

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
from lbexp.errors import Refusal
from lbexp.ranges import Fraction, Positive, PositiveFraction, PositiveInteger, Trials
from lbexp.studies import Study
from lbexp.studies._comparison import arms, compare
from lbexp.studies._noisy_quadratic.local_sgd import cases, measured, ratios, rows_table, trial_of
from lbexp.studies.steady_state import verdict

_STICH, _DILOCO = 'Stich 2019, arXiv:1805.09767', 'Douillard et al. 2023, arXiv:2311.08105'


def local_sgd(
    workers: Sequence[PositiveInteger] = (2, 8),
    ks: Sequence[PositiveInteger] = (8, 32),
    slow_step_sizes: Sequence[PositiveFraction] = (0.5,),
    outer_momentum: Fraction = 0.6,
    worker_batch: PositiveInteger = 16,
    rates: tuple[Positive, Positive] = (0.01, 1.0),
    budget: Trials = 6,
    seeds: Trials = 5,
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
        seeds: trials reported for each arm.
        margin: difference of test error that counts as none, > 0.
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
    tuning = arms.Tuning(budget, seeds, arms.validation_error, extensions=1)
    quadratic = list(cases())

    def compared(optimizer):
        space = {arms.learning_rate(optimizer): ('log', *rates)}
        made = list(_arms(workers, ks, slow_step_sizes, outer_momentum, worker_batch, space))
        arms.validate(made, tuning)
        return made

    def trials(config):
        arms.require_validation(config)
        own = arms.wanted(compared(configs.plain(config.optimizer)), tuning)
        return own + [trial_of(i, case, updates) for i, case in enumerate(quadratic)]

    def more(config, workdir):
        return arms.more(workdir, compared(configs.plain(config.optimizer)), tuning)

    def analyse(workdir):
        made = compared(results.part(workdir, 'optimizer'))
        return _analyse(Path(workdir), made, tuning, quadratic, max(workers), ks, margin)

    return Study(trials, analyse, more)


def _arms(workers, ks, slow_step_sizes, outer_momentum, worker_batch, space):
    def arm(name, count, replicas):
        whole = {'batch_size': count * worker_batch, 'replicas': dict(replicas, workers=count)}
        return arms.Arm(name, whole, space)

    local = dict(name='local_sgd', slow_step_size=1.0, outer_momentum=0.0)
    for count in workers:
        yield arm(_name(count), count, dict(name='synchronous'))
        for k in ks:
            yield arm(_name(count, k), count, dict(local, k=k))
    largest, longest = max(workers), max(ks)
    for alpha in slow_step_sizes:
        yield arm(
            _name(largest, longest, alpha), largest, dict(local, k=longest, slow_step_size=alpha)
        )
    yield arm(
        _outer(largest, longest), largest, dict(local, k=longest, outer_momentum=outer_momentum)
    )


def _name(count, k=None, alpha=1.0):
    if k is None:
        return f'synchronous, W {count}'
    return f'local, W {count}, k {k}' + ('' if alpha == 1.0 else f', slow step {alpha:g}')


def _outer(count, k):
    return f'local, W {count}, k {k}, outer momentum'


def _analyse(workdir, made, tuning, quadratic, largest, ks, margin):
    found = arms.outcome(workdir, made, tuning)
    values = compare.measure(workdir, found)
    rows = measured(workdir, quadratic)
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
        *_claims(values, made, largest, ks, margin),
    ]
    told = {claim.outcome for claim in claims}
    passed = None if UNDECIDED in told else told == {REPRODUCED}
    best = ', '.join(f'{name} {spread(own["test_error"])}' for name, own in values.items())
    reference = _name(largest)
    tables = [
        compare.table(made, found, values, tuning, reference),
        _cost(workdir, found),
        rows_table(rows),
    ]
    figures = [_figure(made, values, ks), ratios(rows)]
    return Analysis(
        'Workers that meet every k steps', f'Test error: {best}.', tables, figures, passed, claims
    )


def _claims(values, made, largest, ks, margin):
    """Of the largest number of workers, each paired by seed."""
    synchronous, longest = _name(largest), max(ks)
    for k in ks:
        apart = compare.paired(values, _name(largest, k), synchronous)
        claim = (
            f'With {largest} workers, averaging every {k} steps matches every step within '
            f'{margin:g} ({_STICH})'
        )
        yield Claim(claim, f'difference {spread(apart)}', equivalence(*bounds(apart), margin))
    plain = _name(largest, longest)
    for arm in made:
        if arm.name.startswith(f'{plain}, '):
            outer = arm.name == _outer(largest, longest)
            what = (
                'Outer Nesterov momentum'
                if outer
                else f'A slow step of {arm.overrides["replicas"]["slow_step_size"]:g}'
            )
            gain = compare.paired(values, plain, arm.name)
            claim = (
                f'{what} lowers the test error of local SGD with k {longest} '
                f'({_DILOCO if outer else "Lookahead"})'
            )
            yield Claim(claim, f'{spread(gain)} lower', outcome(*bounds(gain)))


def _cost(workdir, found):
    finals = results.final(workdir)
    rows = []
    for name, own in found.items():
        if own.trials:
            at = int(np.flatnonzero(finals['trial'] == own.trials[0])[0])
            steps, sent = int(finals['step'][at]), float(finals['communicated_bytes'][at])
            rows.append([name, int(finals['examples'][at]), steps, sent, sent * steps])
    columns = ['arm', 'examples', 'steps', 'bytes all-reduced per step', 'bytes in all']
    caption = (
        'Steps count updates of each worker; bytes are the size of what is all-reduced, on '
        'average over steps.'
    )
    return Table('What it costs', columns, rows, caption)


def _figure(made, values, ks):
    groups = {}
    for arm in made:
        replicas = arm.overrides['replicas']
        k = 1 if replicas['name'] == 'synchronous' else replicas['k']
        if replicas.get('slow_step_size', 1.0) == 1.0 and not replicas.get('outer_momentum'):
            groups.setdefault(f'W {replicas["workers"]}', []).append(
                (k, values[arm.name]['test_error'])
            )
    series: list[Series] = []
    for name, points in groups.items():
        series += compare.points(name, [k for k, _ in points], [errors for _, errors in points])
    for arm in made:
        replicas = arm.overrides['replicas']
        if replicas.get('slow_step_size', 1.0) != 1.0 or replicas.get('outer_momentum'):
            middle, low, high = interval(values[arm.name]['test_error'])
            series.append(Series(arm.name, [replicas['k']], [middle], [low], [high], 'points'))
    caption = (
        'Medians with intervals over seeds, each arm at its best learning rate; k 1: '
        'synchronous replicas.'
    )
    labels = 'steps between synchronisations, k', 'test error [fraction]'
    return Figure(
        'error', 'Test error at equal examples', *labels, series, 'log', 'linear', caption
    )
