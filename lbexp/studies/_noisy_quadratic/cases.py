"""Cases on the noisy quadratic: the tags by which a trial says which it is, and a row of
measurement beside theory for each."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lbexp import results
from lbexp.analysis import Series
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

    def cells(self) -> list[Any]:
        """Measurement, error, theory and z in a table."""
        theory, z = 'none', ''
        if math.isfinite(self.theory):
            theory, z = self.theory, round(self.z, 2)
        return [self.measured, self.error, theory, z]


def tags_of(case: Case) -> dict[str, Any]:
    """The tags of a trial of a case: what it is, with its label as 'case'."""
    return {'case' if name == 'label' else name: value for name, value in case.items()}


def cases_of_trials(workdir: Path, cases: Sequence[Case]) -> Iterator[tuple[int, Case]]:
    """(trial, case) of the trials of a workdir that are of one of these cases.

    Raises:
        Refusal: none is; the message names the file.
    """
    tags_of_cases = list(map(tags_of, cases))
    none_found = True
    for trial, tags in results.roles(workdir):
        if tags in tags_of_cases:
            none_found = False
            yield trial, cases[tags_of_cases.index(tags)]
    if none_found:
        rule = "allowed: those that the study's command trains"
        raise Refusal(
            f"{Path(workdir) / results.CONFIG}: found no trial of the study's cases; {rule}"
        )


def verdict(rows: Sequence[Row]) -> tuple[bool, str]:
    """Whether measurement and theory agree, in one sentence."""
    from scipy import special, stats

    z = np.array([row.z for row in rows])
    # Fast and deployed weights of a trial are correlated; each trial and curvature counts once in
    # the chi-square.
    deployed = np.array([row.z for row in rows if row.facts['weights'] == 'deployed'])
    largest = float(np.abs(z).max())
    chi = stats.chi2.sf(float(deployed @ deployed), len(deployed))
    # Sidak's correction: the chance that the largest of as many is as large
    two_sided = 2 * stats.norm.sf(largest)
    sidak = -np.expm1(special.xlog1py(len(z), -two_sided))  # 1, where every z is 0
    widest = max(row.error / row.theory for row in rows)
    # Too small a chi-square fails, too: the errors are then told too large.
    passed = bool(largest <= 4 and 0.001 < chi < 0.999)
    agree = 'agree' if passed else 'do NOT agree'
    words = (
        f'{len(rows)} variances with a closed form: largest |z| {largest:.2f} (p {sidak:.3g} for '
        f'the largest of {len(z)}), chi-square p {chi:.3g} over {len(deployed)}, largest standard '
        f'error {100 * widest:.2f} % of the value: theory and trainer {agree}.'
    )
    return passed, words


def theory_and_points(
    group: str,
    line: tuple[np.ndarray, np.ndarray],
    points: Sequence[np.ndarray] | np.ndarray,
) -> list[Series]:
    """Theory as a line (x, y), the trainer as points (x, y, standard error) with bars of two
    standard errors."""
    exact_x, exact_y = line
    x, y, errors = points
    low, high = y - 2 * errors, y + 2 * errors
    ends = low.tolist(), high.tolist()
    return [
        Series(group, exact_x.tolist(), exact_y.tolist(), group=group),
        Series(group, x.tolist(), y.tolist(), *ends, 'points', group),
    ]
