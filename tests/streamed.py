"""Workloads that tests name 'streamed:digits', 'streamed:one_digit': digits_mlp with another
training set."""

import numpy as np

from lbexp.config import lookup
from lbexp.data.records import records
from lbexp.data.source import memory
from lbexp.data.stream import stream


def digits(**arguments):
    """Read as a stream."""
    held = lookup.build('workload', {'name': 'digits_mlp', **arguments})
    return held._replace(train=stream(records('digits', 'train')))


def one_digit(**arguments):
    """One example, 64 times: batches do not differ."""
    held = lookup.build('workload', {'name': 'digits_mlp', **arguments})
    return held._replace(
        train=memory({k: np.repeat(v[:1], 64, 0) for k, v in held.train.arrays.items()})
    )
