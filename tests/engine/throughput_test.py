"""Operations a second: closed forms of dispatches, and rows that tell them."""

import json
import types

import numpy as np
from training import tiny, train

from lbexp import config as configs
from lbexp import results
from lbexp.engine.throughput import Throughput, flop_per_example

PERCEPTRON = dict(name='digits_mlp', hidden=(32,))
COST = 2 * 2 * 64 * 32 + 3 * 2 * 32 * 10  # operations of an example


def cohort(**fields):
    config = configs.resolve(tiny(workload=PERCEPTRON, **fields), {})
    return types.SimpleNamespace(config=config, microbatch=8, trials=(3, 4))


def test_what_is_done_since_the_row_before():
    throughput = Throughput(cohort())
    assert throughput.columns_of_row() == {} and throughput.examples_per_second == 0
    throughput.add(np.array([3, 1]), 0.5)
    throughput.add(np.array([5, 0]), 1.5)
    speeds = throughput.columns_of_row()['flop_per_second']
    np.testing.assert_allclose(speeds, [8 * 8 * COST / 2, 8 * COST / 2], rtol=5e-4)
    throughput.add(np.array([0, 2]), 0.25)
    speeds = throughput.columns_of_row()['flop_per_second']
    np.testing.assert_allclose(speeds, [np.nan, 8 * 2 * COST / 0.25], rtol=5e-4)
    assert throughput.columns_of_row() == {}
    assert throughput.examples_per_second == 8 * (9 + 2) / 2.25


def test_what_does_not_train_costs_less():
    assert flop_per_example(cohort()) == COST
    assert flop_per_example(cohort(freeze=('Dense_0',))) == COST - 2 * 64 * 32 - 2 * 32 * 10


def test_rows_tell_it(tmp_path):
    """But for the first dispatch, which compiles; no time is known here but that it passed."""
    train(tiny(workload=PERCEPTRON, steps=100, sweep=(('seed', (0, 1)),)), tmp_path)
    lines = (tmp_path / 'metrics.jsonl').read_text().splitlines()
    speeds = [row.get('flop_per_second') for row in map(json.loads, lines)]
    assert speeds[:2] == [None, None] and all(speed > 0 for speed in speeds[2:])
    columns = results.read(tmp_path)
    assert columns['flop_per_second'].dtype == float
