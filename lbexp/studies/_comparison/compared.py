"""What the analysis of a comparison is about."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lbexp.studies._comparison.arms import Arm, Tuning, TuningResult


class Compared(NamedTuple):
    """Arms with what tuning found for each."""

    workdir: Path
    config: dict[str, Any]  # the study's configuration, as the workdir has it
    arms: Sequence[Arm]
    tuning: Tuning
    tunings: Sequence[Mapping[str, TuningResult]]  # of each, by the name of the arm

    @property
    def results(self) -> Mapping[str, TuningResult]:
        """Those of the first tuning, by the name of the arm."""
        return self.tunings[0]
