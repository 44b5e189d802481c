"""The data of a workload."""

from typing import Literal

from lbexp.data.source import Source
from lbexp.workloads import Workload


def sources(workload: Workload) -> dict[str, Source]:
    """The sets that a workload has, of 'train', 'validation' and 'test'."""
    present = {}
    for name in ('train', 'validation', 'test'):
        source = getattr(workload, name)
        if source is not None:
            present[name] = source
    return present


def evaluation_sets(
    workload: Workload, train: int, test: int | Literal['all']
) -> dict[str, tuple[Source, int]]:
    """{name of a set: (its source, how many of its examples are evaluated)}.

    Args:
        train, test: as `evaluate_train` and `evaluate_test` of the configuration. A stream has no
            examples in stored order to evaluate.
    """
    present = sources(workload)
    counts = {name: source.size for name, source in present.items()}
    if test != 'all':
        counts['test'] = test
    counts['train'] = train if workload.train.feed is None else 0
    sets = {}
    for name in ('validation', 'test', 'train'):
        if name in present and counts[name]:
            sets[name] = present[name], min(counts[name], present[name].size)
    return sets
