"""Cases on the noisy quadratic: the tags by which a trial says which it is, and a row of
measurement beside theory for each."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lbexp import results
from lbexp.errors import Refusal

Case = Mapping[str, Any]  # 'label' of the optimizer, and its numbers


class Row(NamedTuple):
    """One measured variance beside its theory."""

    label: str  # of the optimizer
    facts: dict[str, Any]  # gamma, a, k, alpha, beta, B, weights
    measured: float
    error: float  # standard error of `measured`
    theory: float  # NaN: no closed form
    trial: int

    @property
    def z(self) -> float:
        return (self.measured - self.theory) / self.error


def tags_of(case: Case) -> dict[str, Any]:
    """The tags of a trial of a case: what it is, with its label as 'case'."""
    return {'case' if name == 'label' else name: value for name, value in case.items()}


def cases_of_trials(workdir: Path, cases: Sequence[Case]) -> Iterator[tuple[int, Case]]:
    """(trial, case) of the trials of a workdir that are of one of these cases.

    Raises:
        Refusal: none is; the message names the file.
    """
    known = [(tags_of(case), case) for case in cases]
    some = False
    for trial, tags in results.roles(workdir):
        case = next((case for expected, case in known if expected == tags), None)
        if case is not None:
            some = True
            yield trial, case
    if not some:
        rule = "allowed: those that the study's command trains"
        raise Refusal(
            f"{Path(workdir) / results.CONFIG}: found no trial of the study's cases; {rule}"
        )


def verdict(rows: Sequence[Row]) -> tuple[bool, str]:
    """Whether measurement and theory agree, in one sentence."""
    from scipy import stats

    z = np.array([row.z for row in rows])
    # Fast and deployed weights of a trial are correlated; each trial and curvature counts once in
    # the chi-square.
    deployed = np.array([row.z for row in rows if row.facts['weights'] == 'deployed'])
    largest = float(np.abs(z).max())
    chi = stats.chi2.sf(float(deployed @ deployed), len(deployed))
    # Sidak's correction: the chance that the largest of as many is as large
    sidak = -np.expm1(len(z) * np.log1p(-2 * stats.norm.sf(largest)))
    widest = max(row.error / row.theory for row in rows)
    passed = bool(largest <= 4 and 0.001 < chi < 0.999)
    words = (
        f'{len(rows)} variances with a closed form: largest |z| {largest:.2f} (p {sidak:.3g} for '
        f'the largest of {len(z)}), chi-square p {chi:.3g} over {len(deployed)}, largest standard '
        f'error {100 * widest:.2f} % of the value: theory and trainer '
        f'{"agree" if passed else "do NOT agree"}.'
    )
    return passed, words


def bars(values: Sequence[float], errors: Sequence[float]) -> tuple[list[float], list[float]]:
    """Two standard errors below and above."""
    pairs = list(zip(values, errors, strict=True))
    return [v - 2 * e for v, e in pairs], [v + 2 * e for v, e in pairs]
