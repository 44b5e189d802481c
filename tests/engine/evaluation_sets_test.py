"""Which sets are evaluated, and how many of their examples."""

import numpy as np
import pytest
from training import tiny, train

from lbexp import results
from lbexp.data.source import memory
from lbexp.engine.evaluation import chunk_of_set
from lbexp.engine.sources import evaluation_sets
from lbexp.workloads import Workload

pytestmark = pytest.mark.usefixtures('shared_programs')


def clicks(**fields):
    workload, optimizer = dict(name='evaluated:clicks'), dict(name='sgd', learning_rate=0.3)
    return tiny(workload=workload, optimizer=optimizer, keep_examples=('loss',), **fields)


def last(workdir, config):
    return train(config, workdir)[-1]


def test_sets_are_those_that_there_are_up_to_what_is_asked_for():
    of_size = {size: memory({'x': np.zeros(size)}) for size in (5, 7, 9)}
    workload = Workload(None, None, None, train=of_size[9], test=of_size[7])

    def sizes(workload, **asked):
        return {name: size for name, (_, size) in evaluation_sets(workload, **asked).items()}

    assert sizes(workload, train=0, test='all') == {'test': 7}
    assert sizes(workload, train=4, test=3) == {'test': 3, 'train': 4}
    assert sizes(workload, train=40, test=30) == {'test': 7, 'train': 9}
    held_out = workload._replace(validation=of_size[5])
    assert sizes(held_out, train=0, test=0) == {'validation': 5}
    assert list(sizes(held_out, train=1, test=1)) == ['validation', 'test', 'train']
    assert sizes(workload._replace(test=None), train=0, test=3) == {}
    streamed = workload._replace(train=of_size[9]._replace(feed=lambda *_: None))
    assert sizes(streamed, train=4, test='all') == {'test': 7}


@pytest.mark.parametrize('count', [70, 0, 10_000])
def test_of_the_test_set_the_first_are_evaluated(tmp_path, count):
    """And what is trained is the same, to the bit."""
    whole = last(tmp_path / 'whole', clicks())
    row = last(tmp_path / 'some', clicks(evaluate_test=count))
    columns = {name for name in whole if name.startswith('test_')}
    for name in whole.keys() - columns:
        if 'second' not in name:  # those of the clock
            assert row[name] == whole[name], name
    if not count:
        assert not columns & row.keys()
        return
    _, losses = results.per_example(tmp_path / 'whole', 'loss')
    _, some = results.per_example(tmp_path / 'some', 'loss')
    np.testing.assert_array_equal(some, losses[:, :count])
    assert row['test_loss'] == pytest.approx(losses[0, :count].mean(), rel=1e-6)
    assert columns <= row.keys()


@pytest.mark.parametrize(('size', 'passed'), [(88, 96), (96, 96), (5000, 1024)])
def test_a_small_set_is_not_padded_to_a_thousand(size, passed):
    """But to a multiple of 32, which as many devices share equally."""
    assert [chunk_of_set(size, 1024, shards) for shards in (1, 8, 32)] == [passed] * 3
    assert chunk_of_set(size, 1026, 3) % 3 == 0
