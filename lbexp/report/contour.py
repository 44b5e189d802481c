"""A function of two variables for slides, the paper and other programs."""

import csv
import io
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lbexp.engine.metrics_file import replace


class Contour(NamedTuple):
    """Values on a grid; `name` is the stem of its files."""

    name: str
    title: str
    x_label: str
    y_label: str
    value_label: str
    x: np.ndarray  # [columns]
    y: np.ndarray  # [rows]
    values: np.ndarray  # [rows, columns]


def save_contour(drawing: Contour, folder: PathLike | str) -> dict[str, Path]:
    """Writes NAME.csv, a line for each point, and NAME.png, lines of equal value: evenly spaced in
    the logarithm of what a value has above the least.

    Returns:
        The paths, by format.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    contents = {'csv': _numbers(drawing).encode(), 'png': _picture(drawing)}
    paths = {}
    for kind, content in contents.items():
        paths[kind] = folder / f'{drawing.name}.{kind}'
        replace(paths[kind], content)
    return paths


def _numbers(drawing):
    content = io.StringIO(newline='')
    writer = csv.writer(content)
    writer.writerow([drawing.x_label, drawing.y_label, drawing.value_label])
    for row, y in enumerate(drawing.y):
        for column, x in enumerate(drawing.x):
            writer.writerow([x, y, drawing.values[row, column]])
    return content.getvalue()


def _picture(drawing):
    from matplotlib import figure as canvas

    page = canvas.Figure(figsize=(5.2, 4.2), layout='constrained')
    axes = page.add_subplot()
    levels = _levels(drawing.values)
    if len(levels) > 1:
        lines = axes.contour(drawing.x, drawing.y, drawing.values, levels, cmap='viridis')
        axes.clabel(lines, fmt='%.3g', fontsize=7)
    axes.plot(0, 0, '+', color='black')
    axes.set(xlabel=drawing.x_label, ylabel=drawing.y_label, title=drawing.title)
    content = io.BytesIO()
    page.savefig(content, format='png', dpi=160)
    return content.getvalue()


def _levels(values):
    """Twelve values between the least and the largest; none where all are the same."""
    finite = values[np.isfinite(values)]
    if not finite.size or finite.max() <= finite.min():
        return []
    height = finite.max() - finite.min()
    return finite.min() + height * np.geomspace(1e-3, 0.95, 12)
