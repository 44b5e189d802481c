"""How large may the batch be at a point of a run, and does the gradient noise scale say so?"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from lbexp import results
from lbexp.analysis import (
    REPRODUCED,
    UNDECIDED,
    Analysis,
    above,
    format_interval,
    judged,
    within,
)
from lbexp.errors import Refusal
from lbexp.ranges import NonNegative, Positive, PositiveInteger, Trials
from lbexp.studies import Study, Trial, _papers
from lbexp.studies._branches import UNKNOWN, Range, critical_batch, decided, log_ratio
from lbexp.studies._finals import final_metric, row_of_trial
from lbexp.studies._presentation.branching import Point, losses_figure, sizes_figure, table
from lbexp.studies._seeds import STRIDE, moved

_BRANCH_SEEDS = STRIDE // 2  # of the branches: examples in another order than the trunk's
_ALL_EXAMPLES = 2**31 - 1  # of the training set, however many there are
_LACKING = 'are not known'
_SCALING = {'sgd': 'linear', 'momentum': 'linear', 'adamw': 'square_root', 'lamb': 'square_root'}
_PRECONDITIONED = ('adamw', 'lamb')


class _Tolerance(NamedTuple):
    epsilon: float
    relative: bool

    def of(self, fall):
        """By how much a loss may be higher, where the smallest batch lowers it by `fall`."""
        return self.epsilon * fall if self.relative else self.epsilon


def branching(
    points: Sequence[PositiveInteger] = (64, 256, 1024, 4096),
    batch_size: PositiveInteger = 8,
    multiples: Sequence[PositiveInteger] = (2, 4, 8, 16, 32, 64),
    examples: PositiveInteger = 8192,
    epsilon: NonNegative = 0.01,
    relative: bool = False,
    scaling: Literal['linear', 'square_root', 'square_root_adam'] | None = None,
    factor: Positive = 2.0,
    seeds: Trials = 12,
) -> Study:
    """The critical batch size at points of a run, by branches that go on from there with k times
    the batch size, at equal examples (Merrill et al. 2025, arXiv:2505.23971); beside it the noise
    scale of the branch k = 1 (probe gradient_noise_scale), from the gradients of single examples.

    At a point it is the largest k B up to which the loss of each branch is at most epsilon higher
    than that of k = 1, between two k by a line in log k. The loss is that of the training set as
    it is evaluated, after the last update of a branch. Claims: it is larger at the last point than
    at the first, and so is the noise scale; at each point the noise scale is the critical batch
    size within the factor.

    The trunk is trained to each point by a trial of its own, which to there is the same run: rate
    and batch size are constant, whatever else the configuration says. A branch begins with its
    weights, model state and optimizer state (`init_from.optimizer_state`): only the order of the
    examples is new, the same for all k. A large k has fewer updates to forget the averages of the
    trunk's optimizer, which are of smaller batches: `examples` should be many times what they
    remember.

    An absolute epsilon favours the claim: where training is slower, all branches differ less. With
    SGD of a small rate and a Hessian like the identity the branch k gains (B + S) / (k B + S) of
    what k = 1 does, S the noise scale: `relative` and epsilon 1 / 2 give k B = S + 2 B.

    Not known, of a seed: that a size lies beyond the largest branch, where only that could decide;
    what branches say where k = 1 gains no more than epsilon; the noise scale, where the gradient
    is not resolved. A critical batch size below `batch_size` is not seen.

    Args:
        points: of the trunk [updates], ascending.
        batch_size: B of the trunk [examples], >= 2.
        multiples: k, ascending, > 1.
        examples: of each branch; a multiple of each k B.
        epsilon: [loss]; relative, < 1: share of what the loss falls by in the branch k = 1.
        relative: which of the two.
        scaling: of the rate with the batch size, as `batch_scaling.rule`; None: 'linear' of sgd and
            momentum, 'square_root' of adamw and lamb.
        factor: up to which the noise scale counts as right, > 1.
        seeds: of each point; below 6 nothing is decided.
    """
    points, multiples = list(points), list(multiples)
    _validate(points, batch_size, multiples, examples)
    if relative and not epsilon < 1:
        raise Refusal(f'epsilon: found {epsilon}, relative; allowed: a share < 1')
    if not factor > 1:
        raise Refusal(f'factor: found {factor}; allowed: a number > 1')

    def trials(config):
        shared = _shared(config, batch_size, scaling)
        trunk = []
        for point in points:
            for seed in range(seeds):
                overrides = {**shared, 'batch_size': batch_size, 'steps': point, 'seed': seed}
                trunk.append(Trial(overrides, dict(phase='trunk', point=point, pair=seed)))
        return moved(trunk, config.seed)

    def more(config, workdir):
        shared, begun = _shared(config, batch_size, scaling), _trunk(workdir)
        branches = []
        for (point, seed), source in begun.items():
            for k in [1, *multiples]:
                overrides = shared | _branch(source, k * batch_size, examples // (k * batch_size))
                if k == 1:
                    overrides['probes'] = [_probe(config, batch_size)]
                overrides['seed'] = _BRANCH_SEEDS + seed
                tags = dict(phase='branch', point=point, multiple=k, pair=seed)
                branches.append(Trial(overrides, tags))
        return trials(config) + moved(branches, config.seed)

    def analyse(workdir):
        sizes = [k * batch_size for k in [1, *multiples]]
        tolerance = _Tolerance(float(epsilon), relative)
        measured = _measured(workdir, points, [1, *multiples], seeds)
        ranges = [_critical(point, sizes, tolerance) for point in measured]
        return _analysis(measured, ranges, sizes, tolerance, float(factor))

    return Study(trials, analyse, more)


def _validate(points, batch_size, multiples, examples):
    problems = []
    if len(points) < 2 or points != sorted(set(points)):
        problems.append(f'points: found {tuple(points)}; allowed: 2 or more, ascending')
    if batch_size < 2:
        problems.append(f'batch_size: found {batch_size}; allowed: an integer >= 2')
    if not multiples or multiples != sorted(set(multiples)) or multiples[0] < 2:
        problems.append(f'multiples: found {tuple(multiples)}; allowed: integers > 1, ascending')
    sizes = [k * batch_size for k in multiples]
    if any(examples % size for size in sizes):
        problems.append(f'examples: found {examples}; allowed: a multiple of each of {sizes}')
    if problems:
        raise Refusal('; '.join(problems))


def _shared(config, batch_size, scaling) -> dict[str, Any]:
    """What trunk and branches set, so that all batch sizes share a program."""
    name = config.optimizer.name
    rule = scaling or _SCALING.get(name)
    if rule is None:
        raise Refusal(f'scaling: found None with {name}; allowed: a rule of batch_scaling')
    return {
        'microbatch': batch_size,
        'batch_scaling.rule': rule,
        'batch_scaling.reference': batch_size,
        'batch_growth': {},
        'schedule': dict(name='constant'),
        'num_evaluations': 1,
        'evaluate_train': config.evaluate_train or _ALL_EXAMPLES,
    }


def _branch(source, size, updates):
    return {
        'init_from.weights': 'this run',
        'init_from.trial': source,
        'init_from.optimizer_state': True,
        'batch_size': size,
        'steps': updates,
        'num_rows': 1,
    }


def _probe(config, batch_size):
    is_preconditioned = config.optimizer.name in _PRECONDITIONED
    return dict(
        name='gradient_noise_scale', groups=batch_size, preconditioned=is_preconditioned, prefix=''
    )


def _trunk(workdir: Path) -> dict[tuple[int, int], int]:
    """{(point, seed): trial} of the trunk, of those that are done."""
    finals = results.final(workdir)
    done = set(finals['trial'][finals['status'] == 'done'].tolist())
    trials = {}
    for trial, tags in results.roles(workdir):
        if tags.get('phase') == 'trunk' and trial in done:
            trials[tags['point'], tags['pair']] = trial
    return trials


def _measured(workdir, points, multiples, seeds) -> list[Point]:
    """What was measured at each point, in the order of seeds."""
    finals = results.final(workdir)
    losses = final_metric(finals, 'train_loss')
    losses = np.where(finals['status'] == 'diverged', np.inf, losses)
    scales, row_of = _noise_scales(finals), row_of_trial(finals)
    measured = {}
    for point in points:
        ends = np.full((seeds, len(multiples)), np.nan)
        measured[point] = Point(point, np.full(seeds, np.nan), ends, np.full(seeds, np.nan))
    for trial, tags in results.roles(workdir):
        at = measured.get(tags.get('point'))
        if at is None or tags['pair'] >= seeds:
            continue
        row = row_of[trial]
        if tags['phase'] == 'trunk':
            at.begun[tags['pair']] = losses[row]
        elif tags['multiple'] in multiples:
            at.ends[tags['pair'], multiples.index(tags['multiple'])] = losses[row]
        if tags.get('multiple') == 1:
            at.noise_scales[tags['pair']] = scales[row]
    return list(measured.values())


def _noise_scales(finals: Mapping[str, np.ndarray]) -> np.ndarray:
    """Of each trial, over all its updates [examples]; NaN: not measured, or not resolved."""
    trace, square = [final_metric(finals, f'gradient_{name}') for name in ('trace', 'square')]
    resolved = np.where(square > 0, square, np.nan)
    return trace / resolved


def _critical(point, sizes, tolerance) -> list[Range]:
    """The critical batch size of each seed."""
    ranges = []
    for begun, ends in zip(point.begun.tolist(), point.ends.tolist(), strict=True):
        fall = begun - ends[0]
        allowed = tolerance.of(fall)
        # else a branch that does not move at all would be as good
        is_decisive = fall > allowed
        ranges.append(critical_batch(sizes, ends, allowed) if is_decisive else UNKNOWN)
    return ranges


def _analysis(measured, ranges, sizes, tolerance, factor):
    claims = [_growth(ranges), _noise_growth(measured)]
    for point, critical in zip(measured, ranges, strict=True):
        claims.append(_prediction(point, critical, factor))
    outcomes = {claim.outcome for claim in claims}
    passed = None if UNDECIDED in outcomes else outcomes <= {REPRODUCED}
    words = []
    for point, critical in zip(measured, ranges, strict=True):
        middles = [size.middle for size in critical]
        words.append(f'{format_interval(middles)} examples after {point.updates} updates')
    return Analysis(
        'Critical batch size by branches',
        f'Critical batch size {"; ".join(words)}.',
        [table(measured, ranges)],
        [sizes_figure(measured, ranges), losses_figure(measured, sizes, tolerance.of)],
        passed,
        claims,
    )


def _growth(ranges):
    """That the critical batch size rises."""
    effects = []
    for first, last in zip(ranges[0], ranges[-1], strict=True):
        effects.append(decided(log_ratio(last, first), 0.0))
    words = f'last point over first, logarithm: {format_interval(effects)}'
    claim = 'the critical batch size rises during training (Merrill et al. 2025)'
    return judged(claim, words, above, effects, lacking=_LACKING)._replace(paper=_papers.MERRILL)


def _noise_growth(measured):
    effects = np.log(measured[-1].noise_scales / measured[0].noise_scales)
    words = f'last point over first, logarithm: {format_interval(effects)}'
    claim = 'the noise scale rises during training (McCandlish et al. 2018, arXiv:1812.06162)'
    judgement = judged(claim, words, above, effects, lacking=_LACKING)
    return judgement._replace(paper=_papers.MCCANDLISH)


def _prediction(point, critical, factor):
    """That the noise scale is the critical batch size, within a factor."""
    margin, effects = math.log(factor), []
    for scale, size in zip(point.noise_scales, critical, strict=True):
        ratio = log_ratio(Range(scale, scale), size)
        effects.append(decided(ratio, -margin, margin))
    words = f'noise scale over critical batch size, logarithm: {format_interval(effects)}'
    claim = (
        f'after {point.updates} updates the noise scale is the critical batch size within a factor '
        f'of {factor:g} (McCandlish et al. 2018, arXiv:1812.06162)'
    )
    judgement = judged(claim, words, within, effects, margin, lacking=_LACKING)
    return judgement._replace(paper=_papers.MERRILL)
