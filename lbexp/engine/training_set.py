"""What plans need of a training set: a study of many trials asks for each once, as its workload may
read it."""

import json
from typing import NamedTuple

from lbexp.config import lookup
from lbexp.workloads import Workload


class TrainingSet(NamedTuple):
    """Facts of a training set, without its examples."""

    size: int  # examples in an epoch
    is_stream: bool  # read from the disk as it is trained on


_known: dict[str, TrainingSet] = {}  # by the workload as text


def training_set(workload: dict) -> TrainingSet:
    """Of a workload.

    Args:
        workload: the part of a resolved configuration.
    """
    text = json.dumps(workload)
    if text not in _known:
        keep_training_set(workload, lookup.build('workload', workload))
    return _known[text]


def keep_training_set(workload: dict, built: Workload) -> None:
    """Notes the facts of a workload that was built from this part of a configuration."""
    facts = TrainingSet(built.train.size, built.train.feed is not None)
    _known[json.dumps(workload)] = facts
