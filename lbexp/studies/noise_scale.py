"""Does the gradient noise scale predict the critical batch size that steps to a target show?"""

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

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
from lbexp.errors import Refusal
from lbexp.ranges import NonNegativeInteger, OpenFraction, Positive, PositiveInteger, Trials
from lbexp.studies import Study, _papers
from lbexp.studies._comparison import arms, compare
from lbexp.studies._comparison.comparison import comparison
from lbexp.studies._comparison.scaling_fits import span
from lbexp.studies._presentation.steps_to_target import Scaling, fits_table, format_span
from lbexp.studies._spaces import optimizer_spaces
from lbexp.studies._targets import (
    SPACES,
    arm_name,
    arms_at_sizes,
    first_reached,
    lengths,
    scaling_of,
)

PARTS = 4  # of a run, each with a noise scale of its own
_SEED = 18120
_PRECONDITIONED = ('adamw', 'lamb')


class _Noise(NamedTuple):
    """Of an optimizer."""

    scales: np.ndarray  # noise scale by seed and part [seeds, PARTS]; NaN: not known
    scaling: Scaling

    @property
    def of_run(self):
        """By seed, the geometric mean over the parts."""
        return np.exp(np.mean(np.log(self.scales), axis=1))


def noise_scale(
    optimizers: Sequence[str] = ('sgd', 'momentum', 'adamw'),
    batch_sizes: Sequence[PositiveInteger] = (4, 8, 16, 32, 64, 128, 256),
    measured_at: PositiveInteger = 32,
    target: OpenFraction = 0.05,
    examples: PositiveInteger = 10000,
    updates: PositiveInteger = 150,
    budget: Trials = 6,
    seeds_per_point: Trials = 3,
    seeds: Trials = 10,
    extensions: NonNegativeInteger = 2,
    every: PositiveInteger = 1,
    factor: Positive = 2.0,
    spaces: Sequence[Mapping[str, Any]] = (),
) -> Study:
    """What `steps_to_target` trains, with the noise scale measured on the way (probe
    gradient_noise_scale), beside the critical batch size of the hyperbola through the steps.

    A run is cut in four at equal numbers of updates until it reaches the target; each part has the
    ratio of its mean tr Sigma to its mean |G|^2, from the gradients of single examples, and the run
    their geometric mean. Of AdamW and LAMB it is that of the preconditioned gradient, for which the
    theory is a heuristic. Claims, of each optimizer: the noise scale is the critical batch size
    within the factor; it is higher in the last part than in the first.

    Above all stands the noisy quadratic of 100 curvatures 1 / i, for which SGD's tuned steps and
    its noise scale are known in closed form.

    Args:
        optimizers, batch_sizes, target, examples, updates, budget, seeds_per_point, seeds,
        extensions, spaces: as in `steps_to_target`; batch sizes multiples of the smallest, >= 2.
        measured_at: the batch size whose runs the noise scale is of; one of `batch_sizes`.
        every: from one update measured to the next.
        factor: up to which the prediction counts as right, > 1.

    Source: McCandlish et al. 2018, arXiv:1812.06162, Sections 2.2 and 2.3.
    """
    sizes = list(batch_sizes)
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
    space_of = optimizer_spaces(spaces, SPACES, optimizers)
    length_of = lengths(sizes, examples, updates)
    score = functools.partial(first_reached, target=float(target))
    tuning = arms.Tuning(budget, seeds, score, seeds_per_point, extensions)

    def arms_of(config):
        probe = dict(name='gradient_noise_scale', groups=min(sizes), every=every)
        compared = []
        for arm in arms_at_sizes(config['workload'], space_of, length_of):
            is_preconditioned = arm.overrides['optimizer']['name'] in _PRECONDITIONED
            probes = [dict(probe, preconditioned=is_preconditioned)]
            compared.append(arm._replace(overrides={**arm.overrides, 'probes': probes}))
        return compared

    def analyse(compared):
        return _analysis(compared, optimizers, length_of, measured_at, float(target), float(factor))

    return comparison(arms_of, tuning, analyse, reports_test=False)


def _analysis(compared, optimizers, length_of, measured_at, target, factor):
    reached, rows = first_reached(compared.workdir, target), results.read(compared.workdir)
    noise_of = {}
    for name in optimizers:
        trials = compared.results[arm_name(name, measured_at)].trials
        prefix = 'preconditioned_' if name in _PRECONDITIONED else ''
        scales = [_scales(rows, trial, reached.get(trial, math.inf), prefix) for trial in trials]
        scaling = scaling_of(compared, reached, name, length_of)
        noise_of[name] = _Noise(np.reshape(scales, (-1, PARTS)), scaling)
    claims, sentences = [], []
    for name, noise in noise_of.items():
        prediction = _prediction(name, noise, factor)
        claims += [prediction, _growth(name, noise)]
        sentences.append(f'{name}: noise scale over critical batch size {prediction.measured}')
    outcomes = {claim.outcome for claim in claims}
    passed = None if UNDECIDED in outcomes else outcomes <= {REPRODUCED}
    scalings = {name: noise.scaling for name, noise in noise_of.items()}
    return Analysis(
        'Noise scale and critical batch size',
        '; '.join(sentences) + '.',
        [_table(noise_of, measured_at), fits_table(scalings)],
        [_figure(noise_of)],
        passed,
        claims,
    )


def _scales(rows, trial, reached, prefix):
    """Noise scale of each part of a run [PARTS]; NaN where its gradient is not resolved, or the
    target not reached."""
    scales = np.full(PARTS, np.nan)
    of_trial = rows['trial'] == trial
    if not math.isfinite(reached) or not of_trial.any():
        return scales
    steps = rows['step'][of_trial]
    counts, trace, square = [
        rows[f'{prefix}{name}'][of_trial]
        for name in ('noise_updates', 'gradient_trace', 'gradient_square')
    ]
    is_measured = (counts > 0) & np.isfinite(trace) & np.isfinite(square)
    part_of = np.ceil(steps * PARTS / reached).astype(int) - 1
    for part in range(PARTS):
        chosen = is_measured & (part_of == part)
        weights = counts[chosen]
        # ratio of means, whose denominator may have any sign
        gradient = np.sum(weights * square[chosen])
        if gradient > 0:
            scales[part] = np.sum(weights * trace[chosen]) / gradient
    return scales


def _ratio(noise):
    """(estimate, low, high) of the noise scale over the critical batch size: medians of resampled
    seeds over the fits of resampled seeds."""
    of_run, fit = noise.of_run, noise.scaling.fit
    known = of_run[np.isfinite(of_run)]
    if not len(known):
        return math.nan, math.nan, math.nan
    draws = np.random.default_rng(_SEED)
    places = draws.integers(len(known), size=(len(fit.critical) - 1, len(known)))
    medians = np.concatenate([[np.median(known)], np.median(known[places], axis=1)])
    return span(medians / fit.critical, min(fit.seeds, len(known)))


def _ratio_words(noise):
    ratio, low, high = _ratio(noise)
    words = 'unknown'
    if math.isfinite(ratio):
        words = format_span((ratio, low, high))
    lost = int(np.sum(~np.isfinite(noise.of_run)))
    if lost:
        words += f'; {lost} of {len(noise.scales)} seeds have none'
    return words


def _prediction(name, noise, factor):
    """That the noise scale is the critical batch size, within a factor."""
    _, low, high = _ratio(noise)
    # 0 where no turn from perfect scaling is seen
    with np.errstate(divide='ignore'):
        ends = np.log([low, high])
    kind = 'noise scale'
    if name in _PRECONDITIONED:
        kind += ' of the preconditioned gradient'
    claim = (
        f'{name}: the {kind} is the critical batch size within a factor of {factor:g} (McCandlish '
        'et al. 2018, arXiv:1812.06162)'
    )
    outcome = within(tuple(ends), math.log(factor))
    return Claim(claim, _ratio_words(noise), outcome, paper=_papers.MCCANDLISH)


def _growth(name, noise):
    """That the noise scale rises as the loss falls."""
    with np.errstate(invalid='ignore'):
        effects = np.log(noise.scales[:, -1] / noise.scales[:, 0])
    words = f'last quarter over first, logarithm: {format_interval(effects)}'
    claim = (
        f'{name}: the noise scale is higher at the end of training than at its beginning '
        '(McCandlish et al. 2018, arXiv:1812.06162)'
    )
    return judged(claim, words, above, effects)._replace(paper=_papers.MCCANDLISH)


class _ClosedForm(NamedTuple):
    scales: np.ndarray  # [PARTS]
    critical: float


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
    return _ClosedForm(
        noise_scales(count, size, rates[place], np.asarray(spectrum), PARTS), critical
    )


def _table(noise_of, measured_at):
    columns = ['', *(f'noise scale, quarter {part + 1}' for part in range(PARTS))]
    columns += ['over the run', 'critical batch size', 'noise scale / critical']
    exact = _noisy_quadratic()
    mean = float(np.exp(np.mean(np.log(exact.scales))))
    cells = [
        f'{value:.3g}' for value in (*exact.scales, mean, exact.critical, mean / exact.critical)
    ]
    rows = [['SGD on a noisy quadratic, closed form', *cells]]
    for name, noise in noise_of.items():
        parts = [format_interval(scales) for scales in noise.scales.T]
        critical = format_span(span(noise.scaling.fit.critical, noise.scaling.fit.seeds))
        cells = [format_interval(noise.of_run), critical, _ratio_words(noise)]
        rows.append([name, *parts, *cells])
    caption = (
        f'tr Sigma / |G|^2 [examples] over quarters of the updates until the target, at batch '
        f'size {measured_at}: medians and intervals over seeds; of AdamW and LAMB of the '
        'preconditioned gradient. Over the run: the geometric mean. Intervals of the last two '
        'columns: bootstrap over seeds. Closed form: 100 curvatures 1 / i, loss 0.01.'
    )
    return Table('Noise scale', columns, rows, caption)


def _figure(noise_of):
    """Noise scale along the run, with the critical batch size as a line."""
    x = [(part + 0.5) / PARTS for part in range(PARTS)]
    series = []
    for name, noise in noise_of.items():
        dots, line = compare.points(name, x, noise.scales.T)
        series += [dots, line]
        critical = float(noise.scaling.fit.critical[0])
        if math.isfinite(critical):
            series.append(Series(f'{name}, critical', [0, 1], [critical, critical], group=name))
    caption = (
        'Points: medians and intervals over seeds, by quarters of the run. Level lines: the '
        'critical batch size of the same optimizer.'
    )
    labels = 'share of the updates to the target', 'noise scale [examples]'
    return Figure('noise_scale', 'Noise scale', *labels, series, 'linear', 'log', caption)
