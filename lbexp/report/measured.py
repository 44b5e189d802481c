"""What the analyses of trained networks share: settings, the loss over a sample, files."""

import csv
import io
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lbexp.analysis import Figure, Table
from lbexp.engine.metrics_file import replace
from lbexp.errors import Refusal
from lbexp.report import paper, table
from lbexp.report.contour import Contour, save_contour

TOP = 4  # eigenvalues in a table


class Settings(NamedTuple):
    """What is measured, and how finely."""

    examples: int
    points: int  # of a line for each unit of its length
    products: int  # of each Lanczos run
    seed: int  # of random directions
    batch_norm: str | None  # 'frozen', 'batch'
    updates: int  # of the curve's middle
    learning_rate: float  # of those
    groups: int  # of the examples, whose gradients are compared


class Measured(NamedTuple):
    """What is printed and written."""

    table: Table
    figures: list[Figure]
    contours: list[Contour]
    table_name: str | None = None  # stem of the table's file; None: its numbers are in the figures
    notes: tuple[str, ...] = ()  # lines below the table


def sample(trial: Any, part: str, settings: Settings) -> Any:
    """The loss of the trial's network over examples of a set (`Trial.objective`); of a test set
    that is smaller over all.

    Raises:
        Refusal: what the set or the network does not allow.
    """
    count = settings.examples
    test = trial.workload.test
    if part == 'test' and test is not None:
        count = min(count, test.size)
    try:
        return trial.objective(part, count, settings.batch_norm)
    except Refusal as error:
        raise Refusal(f'--{error}') from error


def of_one_network(first: Any, last: Any, settings: Settings) -> None:
    """Refuses two trials that no path leads between.

    Raises:
        Refusal: parameters of other shapes; running averages, which belong to one of both.
    """
    shapes = [jax.tree.map(np.shape, trial.params) for trial in (first, last)]
    if shapes[0] != shapes[1]:
        raise Refusal(
            f'--other: found trial {last.number}, whose parameters have other shapes than those of '
            f'trial {first.number}; allowed: a trial of one network'
        )
    if settings.batch_norm == 'frozen' and has_statistics(first):
        raise Refusal(
            "--batch_norm: found 'frozen', the running averages of one network; allowed between "
            "two: 'batch', the statistics of the examples at each point"
        )


def has_statistics(trial: Any) -> bool:
    """Whether the network has batch norm."""
    return bool(jax.tree.leaves(trial.model_state))


def evenly(first: int, last: int, settings: Settings) -> jax.Array:
    """Evenly spaced places, every integer among them."""
    places = np.arange(first * settings.points, last * settings.points + 1)
    return jnp.asarray(places / settings.points, jnp.float32)


def save(measured: Measured, folder: Path) -> list[Path]:
    """Writes figures and numbers; the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for figure in measured.figures:
        paths += paper.save(figure, folder).values()
    for contour in measured.contours:
        paths += save_contour(contour, folder).values()
    if measured.table_name is not None:
        path = folder / f'{measured.table_name}.csv'
        replace(path, _as_csv(measured.table).encode())
        paths.append(path)
    return paths


def _as_csv(content):
    written = io.StringIO(newline='')
    csv.writer(written).writerows([content.columns, *content.rows])
    return written.getvalue()


def show(measured: Measured) -> None:
    """Prints the table with what it was measured of, and the notes."""
    table.show(measured.table)
    for note in measured.notes:
        print(note, flush=True)
