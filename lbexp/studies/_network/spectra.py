"""Hessian and gradient noise of a network at the mean weights of each trial: a step of the run,
kept in the workdir."""

import io
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lbexp import results
from lbexp.config import lookup
from lbexp.engine.metrics_file import replace
from lbexp.engine.precision import in_precision
from lbexp.errors import Refusal, describe
from lbexp.parallel import hosts
from lbexp.studies._finals import row_of_trial
from lbexp.workloads import Workload

SPECTRA_FILE = 'spectra.npz'  # by trial: Hessian eigenvalues, gradient variance along each, weights


class Setting(NamedTuple):
    """What the seeds of a trial share."""

    alpha: float | None  # slow step size; None: SGD
    gamma: float  # learning rate
    size: int  # examples per update

    @property
    def optimizer(self):
        if self.alpha is None:
            return 'SGD'
        return f'Lookahead, alpha {self.alpha}'

    def tags(self) -> dict[str, Any]:
        return {'case': self.optimizer, 'gamma': self.gamma, 'B': self.size}


def settings_of_trials(workdir: Path, settings: Sequence[Setting]) -> Iterator[tuple[int, Setting]]:
    """(trial, setting) of the trials of a workdir that are of one of these settings."""
    by_tags = {tuple(setting.tags().items()): setting for setting in settings}
    for trial, tags in results.roles(workdir):
        setting = by_tags.get(tuple(tags.items()))
        if setting is not None:
            yield trial, setting


def measure_spectra(workdir: Path, settings: Sequence[Setting], count: int | None):
    """Hessian eigenvalues, gradient variances and the mean weights of each trial at which they are
    [3, weights], kept in SPECTRA_FILE; what is there already is not computed again.

    Args:
        count: examples of the training set; None: all.
    """
    finals = results.final(workdir)
    row_of = row_of_trial(finals)
    spectra = read_spectra(workdir)
    spectrum = None
    for trial, _ in settings_of_trials(workdir, settings):
        weights = np.asarray(finals['evaluation_coordinate_mean'][row_of[trial]], np.float32)
        # a trial that was trained anew has other weights
        if trial in spectra and np.array_equal(spectra[trial][-1], weights):
            continue
        # compiled for the first trial that needs it; a workdir that has all compiles nothing
        spectrum = spectrum or _spectrum(_workload(workdir), count)
        spectra[trial] = np.stack([*spectrum(weights), weights])
    if spectrum is not None and hosts.is_primary():
        content = io.BytesIO()
        arrays = {str(trial): numbers for trial, numbers in spectra.items()}
        np.savez(content, allow_pickle=False, **arrays)
        replace(Path(workdir) / SPECTRA_FILE, content.getvalue())


def read_spectra(workdir: Path) -> dict[int, np.ndarray]:
    """What `measure_spectra` kept, by trial; {}: nothing was computed.

    Raises:
        Refusal: the file is damaged; the message names it.
    """
    file = Path(workdir) / SPECTRA_FILE
    if not file.exists():
        return {}
    try:
        # from bytes: of a damaged file np.load leaves the handle open
        with np.load(io.BytesIO(file.read_bytes()), allow_pickle=False) as arrays:
            return {int(trial): arrays[trial] for trial in arrays.files}
    except (ValueError, OSError, zipfile.BadZipFile, EOFError) as error:
        rule = 'allowed: what lbexp wrote. Remove it, and it is computed anew'
        raise Refusal(f'{file}: found a damaged file ({describe(error)}); {rule}') from error


def _workload(workdir: Path) -> Workload:
    """What a workdir trains, in the precision that it trains in."""
    part = results.part(workdir, 'workload')
    precision = results.configuration(workdir)['config'].get('precision', 'float32')
    return in_precision(part['name'], lookup.build('workload', part), precision)


def _losses(workload: Workload, count: int | None) -> Callable:
    """Function of flat weights: the loss of each of the first `count` training examples."""
    import jax
    import jax.numpy as jnp
    from jax.flatten_util import ravel_pytree

    train = workload.train
    params, model_state = workload.init(jax.random.key(0))
    _, unravel = ravel_pytree(params)
    count = min(count or train.size, train.size)
    examples = train.read(train.arrays, jnp.arange(count))

    def losses(weights):
        params, key = unravel(weights), jax.random.key(0)
        metrics, _ = workload.loss(params, model_state, examples, key)
        return metrics['loss']

    return losses


def _spectrum(workload: Workload, count: int | None) -> Callable:
    """Function of flat weights: (Hessian eigenvalues of the training loss, gradient variance along
    each)."""
    import jax
    import jax.numpy as jnp

    from lbexp.curvature.operators import hessian_product

    losses = _losses(workload, count)

    def mean_loss(weights):
        return losses(weights).mean()

    @jax.jit
    def spectrum(weights):
        column = hessian_product(mean_loss, weights)

        def derivatives(direction):
            return jax.jvp(losses, (weights,), (direction,))[1]

        # A column at a time: jax.hessian would hold the gradients of all columns at once.
        directions = jnp.eye(len(weights), dtype=weights.dtype)
        hessian = jax.lax.map(column, directions, batch_size=16)
        # Rounding leaves it not quite symmetric.
        values, vectors = jnp.linalg.eigh((hessian + hessian.T) / 2)
        # d loss_n / d w along each eigenvector: one forward pass a direction.
        along = jax.lax.map(derivatives, vectors.T)
        return values, along.var(axis=1)

    def of_weights(weights):
        values, variances = spectrum(jnp.asarray(weights, jnp.float32))
        return np.asarray(values), np.asarray(variances)

    return of_weights
