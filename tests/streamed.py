"""A workload that a test names 'streamed:digits': digits_mlp, its training set read as a stream."""

from lbexp import lookup
from lbexp.data.records import records
from lbexp.data.stream import stream


def digits(**arguments):
    held = lookup.build('lbexp.workloads', {'name': 'digits_mlp', **arguments})
    return held._replace(train=stream(records('digits', 'train')))
