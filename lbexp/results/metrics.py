"""The columns that every run has, and what each is for: one list, which tables, figures and the
terminal read. What a probe or a workload adds is shown after them."""

from typing import NamedTuple


class Metric(NamedTuple):
    """A column of metrics.jsonl."""

    name: str
    label: str = ''  # along an axis; '': the name
    counts: bool = False  # says how far a trial is: what to plot against
    # place among the figures and in the closing table; None: not there
    figure: int | None = None
    headline: int | None = None
    minor: int = 0  # 0: told first where there is little room; 2: last


METRICS = (
    Metric('loss', figure=0, headline=0),
    Metric('accuracy', figure=2, headline=1),
    Metric('test_loss', figure=1, headline=2),
    Metric('test_accuracy', figure=3, headline=3),
    Metric('test_auc', headline=4),
    Metric('learning_rate', figure=4, minor=2),
    Metric('gradient_norm', figure=5, minor=1),
    Metric('parameter_norm', figure=6, minor=2),
    Metric('update_norm', figure=7, minor=2),
    Metric('step', 'step (optimizer updates)', counts=True),
    Metric('examples', counts=True, minor=2),
    Metric('epoch', 'epochs', counts=True, minor=2),
    Metric('wall_time', 'wall time (s)', counts=True, minor=2),
)
MINOR = {metric.name: metric.minor for metric in METRICS} | {'workdir': 2}
# how far a trial is, and what to write along that axis
COUNTS = {metric.name: metric.label or metric.name for metric in METRICS if metric.counts}


def first_figures() -> list[str]:
    """Metrics that are drawn first, in order."""
    return _in_order('figure')


def headline() -> list[str]:
    """Metrics of the closing table, in order."""
    return _in_order('headline')


def _in_order(place):
    names = {getattr(metric, place): metric.name for metric in METRICS}
    del names[None]  # of those that are not there
    return list(dict(sorted(names.items())).values())
