"""What do workers that meet every k steps lose against workers that meet every step, at equal
examples?"""

import math
from collections.abc import Sequence

from lbexp import results
from lbexp.analysis import (
    NOT_REPRODUCED,
    REPRODUCED,
    UNDECIDED,
    Analysis,
    Claim,
    above,
    below,
    format_interval,
    within,
)
from lbexp.errors import Refusal
from lbexp.ranges import Draws, Fraction, Positive, PositiveFraction, PositiveInteger, Trials
from lbexp.studies import Study
from lbexp.studies._comparison import arms, compare
from lbexp.studies._comparison.comparison import Compared, comparison
from lbexp.studies._comparison.stopping import tuning_of
from lbexp.studies._finals import row_of_trial
from lbexp.studies._judgement import contrast
from lbexp.studies._noisy_quadratic import local_sgd as quadratic
from lbexp.studies._noisy_quadratic.cases import verdict
from lbexp.studies._presentation.local_sgd import cost, figure

_STICH = (
    'Stich 2019 (arXiv:1805.09767, abstract): for convex losses, SGD that meets up to the order of '
    'sqrt(T / W) times less often converges at the same rate per gradient as synchronous SGD; a '
    'bound on the expected loss, no measurement of networks. Here sqrt(T / W) is {:.3g}: k {} lies '
    '{}'
)
_SLOWMO = (
    'Wang et al. 2020 (arXiv:1910.00643, abstract): a heavy ball outside "consistently yields '
    'improvements" over local SGD on image classification and translation; the numbers were not '
    "verified, and here the ball is Nesterov's"
)
_DILOCO = (
    'Douillard et al. 2023 (arXiv:2311.08105, Table 2): a transformer of 150M weights, C4, from '
    '24,000 pretraining steps 64,000 more, k 500, 8 workers: perplexity 15.02, synchronous with 8 '
    'times the batch (equal data and steps) 15.30'
)
# AdamW inside, Nesterov outside with this rate and momentum
_OUTER = dict(slow_step_size=0.7, outer_momentum=0.9)
_ADAMW = dict(name='adamw', learning_rate=0.001)


def local_sgd(
    workers: Sequence[PositiveInteger] = (2, 8),
    ks: Sequence[PositiveInteger] = (4, 8, 32),
    slow_step_sizes: Sequence[PositiveFraction] = (0.5,),
    outer_momentum: Fraction = 0.6,
    worker_batch: PositiveInteger = 16,
    rates: tuple[Positive, Positive] = (0.01, 1.0),
    adamw_rates: tuple[Positive, Positive] = (0.0003, 0.03),
    budget: Trials = 6,
    seeds: Draws = 6,
    tunings: Draws = 1,
    margin: Positive = 0.01,
    updates: PositiveInteger = 1600,
) -> Study:
    """Arms of W workers, each tuned with the same budget, after the same number of examples; then
    the quadratic.

    Synchronous replicas and plain local SGD for every W and k; with the largest W and k also
    smaller slow steps, outer Nesterov momentum with a slow step of 1, and DiLoCo (AdamW inside,
    Nesterov with rate 0.7 and momentum 0.9 outside) beside synchronous AdamW. A step takes
    `worker_batch` examples of each worker, so W workers make 1 / W of the updates that one would.
    The optimizer of the other workers is the configuration's; the learning rate is tuned for every
    arm. What is reported ran with other seeds than what was tuned.

    On noisy_quadratic the stationary variance of the slow weights stands beside theory.local_sgd,
    for SGD and momentum inside, buffers kept, averaged and reset, with and without outer momentum.

    Args:
        workers: W, each >= 1.
        ks: steps between synchronisations, each >= 1.
        slow_step_sizes: below 1, compared with 1.
        outer_momentum: compared with none, in (0, 1).
        worker_batch: examples of a worker in a step.
        rates: from, to, of the learning rates tried first.
        adamw_rates: likewise, of AdamW.
        budget: points tried for each arm.
        seeds: trials reported for each arm, and each tuning; 'auto': of one tuning, until decided.
        tunings: times that each is tuned, with other points and seeds; with several, intervals are
            over tunings; 'auto': until decided.
        margin: difference of test error that counts as none; at least that of 2 test examples.
        updates: measured on the quadratic, per trial.

    Source: Stich 2019, arXiv:1805.09767; Lin et al. 2020, arXiv:1808.07217; Douillard et al. 2023,
        arXiv:2311.08105; Wang et al. 2020, arXiv:1910.00643.
    """
    if not margin > 0:
        raise Refusal(f'margin: found {margin}; allowed: a difference of error > 0')
    if min(workers, default=0) < 1 or min(ks, default=0) < 1:
        raise Refusal(
            f'workers, ks: found {tuple(workers)}, {tuple(ks)}; allowed: integers '
            '>= 1, some of each'
        )
    tuning = tuning_of(budget, seeds, tunings, arms.validation_error, extensions=1)
    slow = [float(alpha) for alpha in slow_step_sizes if alpha != 1.0]

    def arms_of(config):
        space = {arms.learning_rate(config['optimizer']): ('log', *rates)}
        compared = []
        for name, way in _ways(workers, ks, slow_step_sizes, outer_momentum).items():
            overrides = {'batch_size': way['workers'] * worker_batch, 'replicas': way}
            compared.append(arms.Arm(name, overrides, space))
        adamw_space = {arms.learning_rate(_ADAMW): ('log', *adamw_rates)}
        for name, way in _adamw_ways(max(workers), max(ks)).items():
            batch = way['workers'] * worker_batch
            overrides = {'batch_size': batch, 'replicas': way, 'optimizer': _ADAMW}
            compared.append(arms.Arm(name, overrides, adamw_space))
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


def _adamw_ways(workers, k):
    """Synchronous AdamW, and DiLoCo."""
    return {
        _adamw_name(workers): dict(name='synchronous', workers=workers),
        _diloco_name(workers, k): _local(workers, k, **_OUTER),
    }


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


def _adamw_name(workers):
    return f'AdamW synchronous, W {workers}'


def _diloco_name(workers, k):
    return f'DiLoCo, W {workers}, k {k}'


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
            'with momentum; ours)',
            words,
            REPRODUCED if agrees else NOT_REPRODUCED,
        ),
        *_matching_claims(measured, largest, ks, _steps(workdir, tuned, largest), margin),
        *_lowering_claims(measured, largest, max(ks), slow_step_sizes),
        _diloco_claim(measured, largest, max(ks), margin),
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
        cost(workdir, tuned),
        quadratic.rows_table(rows),
    ]
    figures = [figure(compared.arms, measured), quadratic.ratios(rows)]
    return Analysis(title, sentence, tables, figures, passed, claims)


def _steps(workdir, tuned, workers):
    """Updates of each of as many synchronous workers; NaN where none is reported."""
    trials = tuned[_name(workers)].trials
    if not trials:
        return math.nan
    finals = results.final(workdir)
    return float(finals['step'][row_of_trial(finals)[trials[0]]])


def _matching_claims(measured, largest, ks, steps, margin):
    """Of the largest number of workers, each paired by seed with synchronous ones."""
    bound = math.sqrt(steps / largest)
    for k in ks:
        regime = 'within' if k <= bound else 'beyond'
        yield contrast(
            f'With {largest} workers, averaging every {k} steps matches every step within '
            f'{margin:g} of test error (ours)',
            measured,
            _name(largest, k),
            _name(largest),
            within,
            margin,
            paper=_STICH.format(bound, k, regime),
        )


def _lowering_claims(measured, largest, longest, slow_step_sizes):
    """What slow steps and outer momentum add to the largest number of workers at the longest k."""
    lowers = f'lowers the test error of local SGD with {largest} workers and k {longest}'
    plain = _name(largest, longest)
    for alpha in slow_step_sizes:
        yield contrast(
            f'A slow step of {alpha:g} {lowers} (ours: the paper of Lookahead has one worker)',
            measured,
            plain,
            _name(largest, longest, alpha),
            above,
        )
    outer = _outer_name(largest, longest)
    claim = f'Outer Nesterov momentum {lowers} (ours)'
    yield contrast(claim, measured, plain, outer, above, paper=_SLOWMO)


def _diloco_claim(measured, largest, longest, margin):
    """At equal examples, and as many updates of a worker as synchronous ones make."""
    return contrast(
        f'DiLoCo with {largest} workers and k {longest} does as well as synchronous AdamW at equal '
        f'data and updates: its test error is {margin:g} higher at most',
        measured,
        _diloco_name(largest, longest),
        _adamw_name(largest),
        below,
        margin,
        paper=_DILOCO,
    )
