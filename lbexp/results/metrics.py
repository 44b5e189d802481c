"""The columns that every run has, and what each is for: one list, which tables, figures and the
terminal read. What a probe or a workload adds is shown after them."""

from collections.abc import Iterable
from typing import NamedTuple


class Metric(NamedTuple):
    """A column of metrics.jsonl."""

    name: str
    label: str = ''  # along an axis; '': the name
    counts: bool = False  # says how far a trial is: what to plot against
    speed: bool = False  # says how fast it got there
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
    Metric('flop_per_second', 'speed (FLOP/s)', speed=True, minor=2),
)
# Of a set that training does not see: their metrics begin like that.
HELD_OUT = ('validation_', 'test_')
# Metrics of which less is better; of every other more is.
LOWER_IS_BETTER = frozenset(
    (
        'loss',
        'token_loss',
        'log_loss',
        'error',
        'perplexity',
        'bits_per_byte',
        'squared_error',
        'absolute_error',
        'mse',
        'rmse',
        'mae',
    )
)
MOST = 10  # columns of metrics in a table
MINOR = {metric.name: metric.minor for metric in METRICS} | {'workdir': 2}
# how far a trial is, and what to write along that axis
COUNTS = {metric.name: metric.label or metric.name for metric in METRICS if metric.counts}
# which no figure has along its other axis
PROGRESS = frozenset(metric.name for metric in METRICS if metric.counts or metric.speed)


def first_figures(target: str | None = None) -> list[str]:
    """Metrics that are drawn first, in order; those of the target's metric before all."""
    names = _in_order('figure')
    if target is not None:
        names = [prefix + target for prefix in ('test_', 'validation_', '')] + names
    return list(dict.fromkeys(names))


def is_lower_better(name: str) -> bool:
    """Whether less of a metric is better: 'test_perplexity' is 'perplexity' of a set."""
    return _of_set(name) in LOWER_IS_BETTER


def headline(recorded: Iterable[str], target: str | None = None) -> list[str]:
    """Those of the recorded metrics that tables show, MOST at most, in their order: what the
    workload is about, what every run has, then what a workload adds.

    A workload's own are those of an evaluated set ('test_auc'), and those that a training row has
    under the same name ('token_loss' beside 'test_token_loss'). What a probe measures is none.

    Args:
        recorded: names of numeric columns.
        target: the metric of the workload's target, such as 'perplexity'; None: it has none.
    """
    names = list(recorded)
    evaluated = [name for name in names if name.startswith(HELD_OUT)]
    trained = [name for name in names if any(prefix + name in names for prefix in HELD_OUT)]
    first = _of_sets_alone(names)
    if target is not None:
        first = [prefix + target for prefix in ('test_', 'validation_')] + first
    order = [*first, *_in_order('headline'), *evaluated, *trained]
    return [name for name in dict.fromkeys(order) if name in names][:MOST]


def deciding(recorded: Iterable[str], target: str | None = None) -> str | None:
    """The metric by which configurations are compared; None: there is none.

    That of the target, else the first of whole sets (AUC, perplexity), else accuracy, else loss; of
    the validation set where there is one, as a choice by test examples flatters what it chooses.

    Args:
        recorded, target: as in `headline`.
    """
    names = list(recorded)
    order = [_of_set(name) for name in _of_sets_alone(names)] + ['accuracy', 'loss']
    if target is not None:
        order.insert(0, target)
    for metric in order:
        for prefix in HELD_OUT:
            if prefix + metric in names:
                return prefix + metric
    return 'loss' if 'loss' in names else None


def _of_sets_alone(names):
    """What a workload measures of whole sets, and no training row has: what it is about."""
    alone = []
    for name in names:
        metric = _of_set(name)
        is_usual = metric in ('loss', 'accuracy') or metric in names
        if name.startswith(HELD_OUT) and not is_usual:
            alone.append(name)
    return alone


def _of_set(name):
    """'perplexity' of 'test_perplexity'."""
    for prefix in (*HELD_OUT, 'train_'):
        name = name.removeprefix(prefix)
    return name


def _in_order(place):
    names = {getattr(metric, place): metric.name for metric in METRICS}
    del names[None]  # of those that are not there
    return list(dict(sorted(names.items())).values())
