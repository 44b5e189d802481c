"""The data of a workload."""

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
