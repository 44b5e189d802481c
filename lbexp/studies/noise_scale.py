"""Does the gradient noise scale predict the critical batch size that steps to a target show?"""

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lbexp import results
from lbexp.analysis import (
    REPRODUCED,
    UNDECIDED,
    Analysis,
    Claim,
    above,
    format_interval,
    judged,
    within,
)
from lbexp.errors import Refusal
from lbexp.ranges import NonNegativeInteger, Positive, PositiveInteger, Trials
from lbexp.studies import Study, _papers
from lbexp.studies._comparison import arms
from lbexp.studies._comparison.comparison import comparison
from lbexp.studies._presentation.noise_scale import (
    PARTS,
    ClosedForm,
    Noise,
    figure,
    format_ratio,
    ratio,
    table,
)
from lbexp.studies._presentation.steps_to_target import fits_table
from lbexp.studies._spaces import optimizer_spaces
from lbexp.studies._targets import (
    SPACES,
    arm_name,
    arms_at_sizes,
    first_reached,
    lengths,
    scaling_of,
)

_PRECONDITIONED = ('adamw', 'lamb')
_MCCANDLISH = 'McCandlish et al. 2018, arXiv:1812.06162'


def noise_scale(
    optimizers: Sequence[str] = ('sgd', 'momentum', 'adamw'),
    batch_sizes: Sequence[PositiveInteger] = (4, 8, 16, 32, 64, 128, 256),
    measured_at: PositiveInteger = 32,
    target: Positive = 0.05,
    examples: PositiveInteger = 10000,
    updates: PositiveInteger = 150,
    budget: Trials = 6,
    seeds_per_point: Trials = 3,
    seeds: Trials = 10,
    extensions: NonNegativeInteger = 2,
    every: PositiveInteger = 1,
    factor: Positive = 2.0,
    spaces: Sequence[Mapping[str, Any]] = (),
    metric: str = 'error',
    groups: PositiveInteger | None = None,
    hessian_examples: NonNegativeInteger = 0,
    hessian_groups: PositiveInteger = 8,
    hessian_every: PositiveInteger = 5,
) -> Study:
    """What `steps_to_target` trains, with the noise scales measured on the way, beside the critical
    batch size of the hyperbola through the steps: B_simple = tr Sigma / |G|^2 (probe
    gradient_noise_scale) and B_noise = tr(H Sigma) / (G^T H G) (probe hessian_noise_scale).

    A run is cut in four at equal numbers of updates until it reaches the target; each part has the
    ratio of its mean numerator to its mean denominator, and the run their geometric mean. B_simple
    is that of the gradient as AdamW and LAMB precondition it, where they train; there the theory is
    a heuristic. B_noise is that of the gradient itself, whatever trains. Claims, of each optimizer:
    B_simple is the critical batch size within the factor; it is higher in the last part than in the
    first; and of those that do not precondition, B_noise is it within the factor.

    Above all stands the noisy quadratic of 100 curvatures 1 / i, for which SGD's tuned steps and
    its noise scales are known in closed form.

    Args:
        optimizers, batch_sizes, target, metric, examples, updates, budget, seeds_per_point, seeds,
        extensions, spaces: as in `steps_to_target`; batch sizes multiples of the smallest, >= 2.
        measured_at: the batch size whose runs the noise scale is of; one of `batch_sizes`.
        every: from one update whose B_simple is measured to the next.
        factor: up to which the prediction counts as right, > 1.
        groups: equal pieces of the smallest batch whose gradients B_simple compares; None: its
            examples, each alone, which a large network has no memory for.
        hessian_examples: of the training set, on which B_noise is measured; 0: it is not.
        hessian_groups: of these, whose gradients it compares, >= 3.
        hessian_every: rows from one measurement of B_noise to the next.

    Source: McCandlish et al. 2018, arXiv:1812.06162, Sections 2.2 and 2.3.
    """
    sizes = list(batch_sizes)
    _validate(sizes, measured_at, float(factor), metric, float(target))
    space_of = optimizer_spaces(spaces, SPACES, optimizers)
    length_of = lengths(sizes, examples, updates)
    score = functools.partial(first_reached, target=float(target), metric=metric)
    tuning = arms.Tuning(budget, seeds, score, seeds_per_point, extensions)
    simple = dict(name='gradient_noise_scale', groups=groups or min(sizes), every=every)
    hessian = dict(name='hessian_noise_scale', measure_at=hessian_every)
    hessian.update(examples=hessian_examples, groups=hessian_groups)

    def arms_of(config):
        compared = []
        for arm in arms_at_sizes(config['workload'], space_of, length_of):
            is_preconditioned = arm.overrides['optimizer']['name'] in _PRECONDITIONED
            probes = [dict(simple, preconditioned=is_preconditioned)]
            if hessian_examples and arm.overrides['batch_size'] == measured_at:
                probes.append(hessian)
            compared.append(arm._replace(overrides={**arm.overrides, 'probes': probes}))
        return compared

    def analyse(compared):
        reached = first_reached(compared.workdir, float(target), metric)
        rows = results.read(compared.workdir)
        noise_of = {}
        for name in optimizers:
            trials = compared.results[arm_name(name, measured_at)].trials
            scaling = scaling_of(compared, reached, name, length_of)
            noise_of[name] = _noise(name, rows, trials, reached, scaling)
        return _analysis(noise_of, measured_at, float(factor), hessian_examples > 0)

    return comparison(arms_of, tuning, analyse, reports_test=False)


def _validate(sizes, measured_at, factor, metric, target):
    is_multiple = [size % min(sizes) == 0 for size in sizes]
    if len(sizes) < 3 or sizes != sorted(set(sizes)) or min(sizes) < 2 or not all(is_multiple):
        raise Refusal(
            f'batch_sizes: found {tuple(sizes)}; allowed: 3 or more multiples of the first, '
            'ascending, from 2 on'
        )
    if measured_at not in sizes:
        raise Refusal(f'measured_at: found {measured_at}; allowed: {", ".join(map(str, sizes))}')
    if not factor > 1:
        raise Refusal(f'factor: found {factor}; allowed: a number > 1')
    if metric == 'error' and not target < 1:
        raise Refusal(f'target: found {target}; allowed: a validation error in (0, 1)')


def _noise(name, rows, trials, reached, scaling):
    """The noise scales of an optimizer's reported trials."""
    prefix = 'preconditioned_' if name in _PRECONDITIONED else ''
    simple, hessian = [], []
    for trial in trials:
        of_trial = rows['trial'] == trial
        run = {column: values[of_trial] for column, values in rows.items()}
        end = reached.get(trial, math.inf)
        simple.append(_simple(run, end, prefix))
        hessian.append(_hessian(run, end))
    return Noise(np.reshape(simple, (-1, PARTS)), np.reshape(hessian, (-1, PARTS)), scaling)


def _analysis(noise_of, measured_at, factor, has_hessian):
    claims, sentences = [], []
    for name, noise in noise_of.items():
        kind = 'noise scale'
        if name in _PRECONDITIONED:
            kind += ' of the preconditioned gradient'
        prediction = _prediction(name, kind, noise.simple, noise, factor)
        claims += [prediction, _growth(name, noise)]
        if has_hessian and name not in _PRECONDITIONED:
            kind = 'noise scale tr(H Sigma) / (G^T H G)'
            claims.append(_prediction(name, kind, noise.hessian, noise, factor))
        sentences.append(f'{name}: noise scale over critical batch size {prediction.measured}')
    outcomes = {claim.outcome for claim in claims}
    passed = None if UNDECIDED in outcomes else outcomes <= {REPRODUCED}
    scalings = {name: noise.scaling for name, noise in noise_of.items()}
    tables = [table(noise_of, _noisy_quadratic(), measured_at, has_hessian), fits_table(scalings)]
    return Analysis(
        'Noise scale and critical batch size',
        '; '.join(sentences) + '.',
        tables,
        [figure(noise_of, has_hessian)],
        passed,
        claims,
    )


def _simple(run, end, prefix):
    """B_simple of each part of a run."""
    counts, trace, square = [
        run[f'{prefix}{name}'] for name in ('noise_updates', 'gradient_trace', 'gradient_square')
    ]
    return _by_part(run['step'], end, trace, square, counts)


def _hessian(run, end):
    """B_noise of each part of a run."""
    unmeasured = np.full(len(run['step']), np.nan)
    numerator = run.get('hessian_noise', unmeasured)
    denominator = run.get('hessian_signal', unmeasured)
    return _by_part(run['step'], end, numerator, denominator, np.ones(len(numerator)))


def _by_part(steps, end, numerator, denominator, weights):
    """Ratio of the means over the rows of each part [PARTS]; NaN where the denominator is not
    resolved, or the target not reached."""
    ratios = np.full(PARTS, np.nan)
    if not math.isfinite(end):
        return ratios
    is_measured = (weights > 0) & np.isfinite(numerator) & np.isfinite(denominator)
    part_of = np.ceil(steps * PARTS / end).astype(int) - 1
    for part in range(PARTS):
        chosen = is_measured & (part_of == part)
        # ratio of means, whose denominator may have any sign
        total = np.sum(weights[chosen] * denominator[chosen])
        if total > 0:
            ratios[part] = np.sum(weights[chosen] * numerator[chosen]) / total
    return ratios


def _prediction(name, kind, scales, noise, factor):
    """That a noise scale is the critical batch size, within a factor."""
    _, low, high = ratio(scales, noise.scaling.fit)
    # 0 where no turn from perfect scaling is seen
    with np.errstate(divide='ignore'):
        ends = np.log([low, high])
    claim = f'{name}: the {kind} is the critical batch size within a factor of {factor:g}'
    outcome = within(tuple(ends), math.log(factor))
    measured = format_ratio(scales, noise.scaling.fit)
    return Claim(f'{claim} ({_MCCANDLISH})', measured, outcome, paper=_papers.MCCANDLISH)


def _growth(name, noise):
    """That the noise scale rises as the loss falls."""
    with np.errstate(invalid='ignore'):
        effects = np.log(noise.simple[:, -1] / noise.simple[:, 0])
    words = f'last quarter over first, logarithm: {format_interval(effects)}'
    claim = (
        f'{name}: the noise scale is higher at the end of training than at its beginning '
        f'({_MCCANDLISH})'
    )
    return judged(claim, words, above, effects)._replace(paper=_papers.MCCANDLISH)


@functools.cache
def _noisy_quadratic():
    """SGD with tuned rates on 100 curvatures 1 / i: at the batch size next to the critical one."""
    import jax
    import jax.numpy as jnp

    from lbexp.theory.critical_batch_size import critical_batch_size
    from lbexp.theory.noise_scale import noise_scales
    from lbexp.theory.steps_to_target import tuned_steps

    with jax.enable_x64(True):
        sizes, spectrum = 4.0 ** jnp.arange(8), 1 / jnp.arange(1, 101.0)

        def at_size(size):
            return jnp.stack(tuned_steps(size, spectrum=spectrum))

        steps, rates = np.asarray(jax.jit(lambda: jax.lax.map(at_size, sizes))()).T
    critical = critical_batch_size(sizes.tolist(), steps.tolist()).critical
    place = int(np.abs(np.log(np.asarray(sizes) / critical)).argmin())
    size, count = float(sizes[place]), int(steps[place])
    scales = noise_scales(count, size, rates[place], np.asarray(spectrum), PARTS)
    return ClosedForm(scales.simple, scales.hessian, critical)
