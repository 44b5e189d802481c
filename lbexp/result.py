"""What `lbexp.run` returns: the tables, figures, claims and networks of a run."""

import functools
import importlib.util
import itertools
import pathlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from lbexp import results
from lbexp.analysis import Analysis, Claim
from lbexp.config import lookup
from lbexp.errors import Refusal
from lbexp.job import Outcome
from lbexp.results.database import database

if TYPE_CHECKING:
    import duckdb
    import matplotlib.figure

    from lbexp.trained import Run, Trial


class Result:
    """A run that came to its end, or was stopped.

    Attributes:
        workdir: its folder.
        report: the page; None where it was stopped.
        status: 'done', 'stopped' (the same call goes on), or 'diverged': every trial did.
    """

    def __init__(self, outcome: Outcome, trusted: Iterable[str]):
        """Args:
        trusted: names outside lbexp, which its configuration names.
        """
        self.workdir: pathlib.Path = outcome.workdir
        self.report: pathlib.Path | None = outcome.page
        self._analysis = outcome.analysis
        self._trusted = list(trusted)
        self._rows, self._finals = results.load(outcome.workdir)
        self.status = self._status()

    def __repr__(self) -> str:
        words = f': {self.verdict}' if self.verdict else ''
        return f'Result({str(self.workdir)!r}, {self.status}{words})'

    @property
    def rows(self) -> 'duckdb.DuckDBPyRelation':
        """Every row of every trial, as a DuckDB relation: .filter, .aggregate, .df(), .pl(),
        .arrow(). What its columns are: `lbexp.results.read`; what a row does not record is
        NULL."""
        return self._database.sql('from rows')

    def table(self) -> Any:
        """Every row of every trial, as a DataFrame of pandas, else of polars.

        Raises:
            Refusal: neither is installed.
        """
        return _frame(self.rows)

    def final(self) -> Any:
        """What each trial ended with, one row a trial (`lbexp.results.final`), as a DataFrame; see
        `table`."""
        return _frame(self._database.sql('from final'))

    @property
    def verdict(self) -> str:
        """The study's answer in a sentence, or ''."""
        return self._analysis.verdict if self._analysis else ''

    @property
    def claims(self) -> tuple[Claim, ...]:
        """The study's claims, each with what was measured and its outcome; () where it makes
        none."""
        return tuple(self._analysis.claims) if self._analysis else ()

    @property
    def figures(self) -> list[str]:
        """The names that `figure` takes."""
        return list(self._drawings)

    def figure(self, name: str) -> 'matplotlib.figure.Figure':
        """A figure of the report, drawn by matplotlib; a notebook shows it. Its files are in
        `workdir`/figures.

        Raises:
            Refusal: there is none of this name.
        """
        from lbexp.report import paper
        from lbexp.report.style import shared_colours

        if name not in self._drawings:
            known = ', '.join(self._drawings)
            hint = lookup.nearest(name, self._drawings)
            raise Refusal(f'figure: found {name!r}; allowed: {known}.{hint}')
        shared = shared_colours(self._analysis.figures if self._analysis else [])
        return paper.picture(self._drawings[name], shared)

    @property
    def run(self) -> 'Run':
        """Its trained networks, as `lbexp.open` gives them."""
        from lbexp.trained import Run

        return Run(self.workdir, self._trusted)

    def trial(self, number: int = 0) -> 'Trial':
        """The network of a trial: `lbexp.open(workdir).trial(number)`."""
        return self.run.trial(number)

    @functools.cached_property
    def _database(self):
        return database((self._rows, self._finals))

    @functools.cached_property
    def _drawings(self):
        from lbexp.report import best, networks
        from lbexp.report.page import drawings

        analysis = self._analysis or Analysis('', '', [], [])
        summary = results.summary(self.workdir)
        compared = best.comparison(self._finals, networks.target(summary))
        drawn = drawings(analysis, self._rows, self._finals, summary, compared)
        return {drawing.name: drawing for drawing in itertools.chain(*drawn)}

    def _status(self):
        if self._analysis is None:
            return 'stopped'
        return 'diverged' if np.all(self._finals['status'] == 'diverged') else 'done'


def _frame(relation):
    if importlib.util.find_spec('pandas'):
        return relation.df()
    if importlib.util.find_spec('polars'):
        return relation.pl()
    raise Refusal(
        'found neither pandas nor polars; allowed: either, as pip install pandas or pip install '
        'polars brings it. `rows` of the result and lbexp.results.read need neither'
    )
