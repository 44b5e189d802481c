"""What the hosts of a job read: one order in slices, or an order each, as functions of the position
alone."""

import json

import numpy as np
import pytest
from training import tiny, train

from lbexp.data.partition import distinct, partition
from lbexp.data.source import memory
from lbexp.data.stream import stream

SIZE = 1000
SOURCE = memory({'place': np.arange(SIZE)})


def drawn(source, first, count, seed=3):
    positions = np.arange(first, first + count, dtype=np.uint32)
    return np.asarray(source.draw(source.arrays, np.uint32(seed), positions)['place'])


def test_slices_of_one_order_are_that_order():
    whole = partition(SOURCE, 'shuffle_then_shard', 4, 8)
    assert (drawn(whole, 16, 8) == drawn(SOURCE, 16, 8)).all()
    assert distinct(whole, 3) == 1


@pytest.mark.parametrize('hosts', [1, 2, 4])
def test_each_host_goes_through_the_whole_set(hosts):
    """Host h gives places h*2 .. h*2+1 of a microbatch; in `hosts` epochs of draws it has read each
    example once."""
    own, size = 2, 2 * hosts
    source = partition(SOURCE, 'independent', hosts, size)
    read = drawn(source, 0, SIZE * hosts).reshape(-1, hosts, own)
    orders = [read[:, host].reshape(-1) for host in range(hosts)]
    assert all(sorted(order) == list(range(SIZE)) for order in orders)
    assert len({tuple(order) for order in orders}) == hosts
    # However it is asked for: one microbatch, or from the middle of one.
    assert (drawn(source, 7 * size, size) == read[7].reshape(-1)).all()
    assert (
        drawn(source, 7 * size + 1, size)
        == np.append(read[7].reshape(-1)[1:], read[8].reshape(-1)[0])
    ).all()
    assert (drawn(source, 0, size, seed=4) != drawn(source, 0, size)).any()


@pytest.mark.parametrize('hosts, expected', [(2, 0.750), (4, 0.684), (8, 0.656)])
def test_the_share_of_the_set_in_an_epoch(hosts, expected):
    """1 - (1 - 1/H)^H. Over 20 epochs of 1,000 examples: a standard error below 0.0025, so within 4
    of them."""
    assert 1 - (1 - 1 / hosts) ** hosts == pytest.approx(expected, abs=5e-4)
    assert distinct(partition(SOURCE, 'independent', hosts, 8), 0, epochs=20) == pytest.approx(
        expected, abs=0.01
    )


@pytest.mark.long
def test_the_run_says_what_it_read(tmp_path):
    said = []
    config = tiny(data=dict(partition='independent', hosts=4))
    (tmp_path / 'config.json').write_text(
        json.dumps({'config': {}, 'trials': [], 'environment': {}})
    )
    rows = train(config, tmp_path, log=said.append)
    share = distinct(partition(memory({'place': np.arange(100)}), 'independent', 4, 16), 0)
    told = f'independent orders of 4 hosts, {share:.3f} of the examples are in the first epoch'
    assert any(line.endswith(told) for line in said) and 0.6 < share < 0.8
    assert told in json.loads((tmp_path / 'config.json').read_text())['environment'].values()
    shared = train(tiny(), tmp_path / 'shared')
    assert rows != shared


def test_what_cannot_be_divided_is_refused():
    with pytest.raises(
        ValueError,
        match=(
            r'data.hosts: found 3 with 8 examples a microbatch; '
            r'allowed: a divisor'
        ),
    ):
        partition(SOURCE, 'independent', 3, 8)
    with pytest.raises(ValueError, match=r"found 'independent' with a stream"):
        partition(stream([{'place': 1}] * 4), 'independent', 2, 8)
