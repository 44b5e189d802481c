"""Where the values of each example of a cohort's last evaluation go."""

import pathlib
from collections.abc import Callable, Sequence
from typing import Any

from lbexp.engine.metrics_file import replace
from lbexp.parallel import hosts
from lbexp.results import examples


def keeper(workdir: pathlib.Path, cohort: Sequence[int]) -> Callable[..., Any]:
    """(trials, {metric: [T, N, ...]}) -> a file of the cohort, whole or not at all; process 0 alone
    writes it.

    Args:
        cohort: numbers of its trials, which name the file.
    """
    folder = workdir / examples.FOLDER

    def keep(trials, metrics):
        if hosts.is_primary():
            folder.mkdir(exist_ok=True)
            replace(folder / f'trial-{min(cohort):05d}.npz', examples.packed(trials, metrics))

    return keep
