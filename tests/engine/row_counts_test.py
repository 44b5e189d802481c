"""Counts of the rows of tables reach an optimizer that asks, and are those of its global batch."""

import jax
import numpy as np
import pytest
from replica_cases import local, states_of
from training import of_trial, tiny, train

from lbexp.config import lookup
from lbexp.errors import Refusal

pytestmark = pytest.mark.usefixtures('shared_programs')

CLICKS = dict(name='binary', data=dict(name='made_data:clicks'), model=dict(name='linear'))
COUNTING = dict(name='counting:counting', learning_rate=0.1, tables='categories')
COWCLIP = dict(name='cowclip', learning_rate=0.01, tables='categories', zeta=1e-3, l2=1e-3)


def counts_of(positions):
    """By NumPy: how often the examples at these positions read each of the 3 x 4 rows."""
    source = lookup.build('workload', CLICKS).train
    ids = source.draw(source.arrays, np.uint32(0), positions.astype(np.uint32))['categorical']
    return np.bincount((np.asarray(ids) + [0, 4, 8]).reshape(-1), minlength=12)


def counted(ticks, **fields):
    """(counts of the last update, counts of all) after so many ticks of seed 0."""
    made, states = states_of(tiny(workload=CLICKS, optimizer=COUNTING, **fields))
    n = np.array([ticks])
    states, _ = made.segment(states, n, np.array([0]), n)
    return jax.tree.map(lambda x: np.asarray(x[0]), states.opt_state)


TWO = dict(name='synchronous', workers=2)
ASYNCHRONOUS = dict(name='asynchronous', workers=3)
CASES = [
    dict(batch_size=48),
    dict(batch_size=48, microbatch=8),
    pytest.param(dict(batch_size=48, microbatch=16, data_parallel=2), marks=pytest.mark.long),
    pytest.param(dict(batch_size=48, replicas=TWO), marks=pytest.mark.long),
    pytest.param(dict(batch_size=48, replicas=TWO, data_parallel=2), marks=pytest.mark.long),
    pytest.param(dict(batch_size=48, replicas=ASYNCHRONOUS), marks=pytest.mark.long),
]


@pytest.mark.usefixtures('quick_compilation')
@pytest.mark.parametrize(
    'fields',
    CASES,
    ids=lambda fields: ' '.join(sorted(fields)),
)
def test_counts_are_those_of_the_global_batch(fields):
    """Of updates that straddle an epoch of the 96 examples or of its part that trains."""
    passes = fields['batch_size'] // fields.get('microbatch', fields['batch_size'])
    last, total = counted(3 * passes, **fields)
    positions = np.arange(3 * 48)
    np.testing.assert_array_equal(last, counts_of(positions[-48:]))
    np.testing.assert_array_equal(total, counts_of(positions))
    assert last.sum() == 3 * 48 and len(set(last.tolist())) > 3


def test_counts_follow_a_batch_that_grows():
    growth = dict(boundaries=(0.5,), factor=2.0)
    fields = dict(batch_size=16, microbatch=8, batch_growth=growth, steps=None, epochs=4.0)
    # 96 examples and some: two updates of 16, then whatever the schedule has
    last, _ = counted(4, **fields)
    np.testing.assert_array_equal(last, counts_of(np.arange(16, 32)))


@pytest.mark.long
@pytest.mark.parametrize('fields', [dict(), dict(microbatch=8)])
def test_a_trial_is_the_same_alone_and_in_company(tmp_path, fields):
    """To the bit, of rates, batch ratios, and seeds."""
    fields = dict(workload=CLICKS, optimizer=COWCLIP, **fields)
    sweep = (('optimizer.batch_ratio', (1.0, 4.0)), ('seed', (0, 7)))
    together = train(tiny(**fields, sweep=sweep), tmp_path / 'all')
    alone = tiny(**fields, sweep=(('optimizer.batch_ratio', (4.0,)), ('seed', (7,))))
    assert of_trial(train(alone, tmp_path / 'alone'), 0) == of_trial(together, 3)


def test_lookahead_around_it_and_a_frozen_rest(tmp_path):
    inside = dict(name='lookahead', inner=COWCLIP, k=3)
    rows = train(tiny(workload=CLICKS, optimizer=inside, freeze=('bias',)), tmp_path / 'run')
    assert rows[-1]['loss'] < rows[0]['loss']


@pytest.mark.parametrize(
    'fields, told',
    [
        (
            dict(workload=dict(name='digits_mlp')),
            'cowclip, which needs the count of each row, with a workload that does not count them',
        ),
        (
            dict(workload=CLICKS, replicas=local(workers=2)),
            'workers that have optimizers of their own; allowed: workers that share one',
        ),
    ],
)
def test_where_there_are_no_counts(fields, told):
    with pytest.raises(Refusal, match=told):
        states_of(tiny(optimizer=COWCLIP, **fields))
