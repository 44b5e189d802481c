"""Streams: what memory gives, in the same order, from any position, holding little."""

import subprocess
import sys

import jax
import numpy as np
import pytest

from lbexp.data.load import load
from lbexp.data.records import records
from lbexp.data.source import memory
from lbexp.data.stream import stream


class Disk:
    """Random access to examples, as a TFDS data source gives it; remembers what is read."""

    def __init__(self, size):
        self.size, self.reads = size, []

    def __len__(self):
        return self.size

    def __getitem__(self, i):
        self.reads.append(i)
        return {'image': np.full((2, 2), i, np.float32), 'label': np.int32(i % 10)}


class BulkDisk(Disk):
    def __getitems__(self, indices):
        return [self[i] for i in indices]


def in_memory(disk):
    examples = [disk[i] for i in range(len(disk))]
    return memory({name: np.stack([example[name] for example in examples]) for name in examples[0]})


def same(streamed, held, seed, first, count):
    arrays = streamed.feed(seed, first, count)
    positions = (np.arange(count, dtype=np.uint64) + first).astype(np.uint32)
    got = jax.jit(streamed.draw)(arrays, np.uint32(seed), positions)
    wanted = jax.jit(held.draw)(held.arrays, np.uint32(seed), positions)
    jax.tree.map(np.testing.assert_array_equal, got, wanted)
    assert jax.tree.map(lambda x: x.dtype, got) == jax.tree.map(lambda x: x.dtype, wanted)


@pytest.mark.parametrize('disk', [Disk, BulkDisk])
def test_a_stream_gives_what_memory_gives(disk):
    """To the bit: in sequence, after a jump, in stretches of any length, straddling epochs, for
    another seed."""
    streamed, held = stream(disk(50)), in_memory(disk(50))
    for seed, first in [
        (9, 0),
        (9, 20),
        (9, 40),
        (9, 60),
        (9, 33),
        (8, 53),
        (2**32 - 1, 2**32 - 20),
    ]:
        same(streamed, held, seed, first, 20)
    same(streamed, held, 9, 40, 64)


def test_a_microbatch_of_a_stretch():
    """The engine feeds many microbatches at once and draws one of them."""
    streamed, held = stream(Disk(30)), in_memory(Disk(30))
    arrays = streamed.feed(1, 64, 32)
    positions = np.arange(80, 88, dtype=np.uint32)
    got, wanted = (
        s.draw(a, np.uint32(1), positions) for s, a in ((streamed, arrays), (held, held.arrays))
    )
    assert (got['label'] == wanted['label']).all() and (got['image'] == wanted['image']).all()


def test_the_template_has_the_shape_of_what_is_fed():
    streamed = stream(Disk(30))
    fed = streamed.feed(1, 0, 8)
    assert jax.tree.structure(fed) == jax.tree.structure(streamed.arrays)
    assert jax.tree.map(lambda x: (x.dtype, x.shape[1:]), fed) == jax.tree.map(
        lambda x: (x.dtype, x.shape[1:]), streamed.arrays
    )


def test_a_resumed_stream_reads_nothing_again():
    """A new reader that starts in the middle reads the stretch it is asked for, and a bounded
    number ahead."""
    disk = Disk(1000)
    held = in_memory(Disk(1000))
    streamed = stream(disk, prefetch=2)
    disk.reads.clear()
    first = streamed.feed(3, 5000, 10)
    wanted = held.draw(held.arrays, np.uint32(3), np.arange(5000, 5040, dtype=np.uint32))['label']
    assert (first['examples']['label'] == wanted[:10]).all()
    assert streamed.feed(3, 5000, 10)['examples'] is first['examples']  # asked again, it is at hand
    streamed.feed(3, 5010, 10)
    # served, buffered, and one on either side in the making
    assert len(disk.reads) <= 10 * (2 + 2 + 2)
    assert (np.array(disk.reads[:20]) % 10 == wanted[:20]).all()


def test_a_prepared_data_set_streams():
    streamed = stream(records('digits', 'train'))
    held = memory(load('digits', 'train'))
    assert streamed.size == held.size == 1438
    for first in (0, 200, 1400):
        same(streamed, held, 0, first, 200)


def test_an_error_of_the_disk_arrives():
    """Every time that the stretch is asked for; and once the disk is repaired, the right
    stretch."""

    class Broken(Disk):
        bad = None

        def __getitem__(self, i):
            if i == self.bad:
                raise ValueError(f'example {i}: damaged')
            return super().__getitem__(i)

    disk, held = Broken(20), in_memory(Disk(20))
    streamed = stream(disk)
    disk.bad = int(held.draw(held.arrays, np.uint32(0), np.uint32([7]))['image'][0, 0, 0])
    streamed.feed(0, 0, 5)
    for _ in range(2):
        with pytest.raises(ValueError, match='damaged'):
            streamed.feed(0, 5, 5)
    disk.bad = None
    same(streamed, held, 0, 5, 5)


def test_a_stream_has_no_stored_order_and_is_not_empty():
    with pytest.raises(NotImplementedError, match='in memory'):
        stream(Disk(3)).read(None, np.arange(2))
    with pytest.raises(ValueError, match='examples'):
        stream(Disk(0))


@pytest.mark.processes
def test_without_tensorflow_and_torch():
    code = (
        'import sys; from lbexp.data.stream import stream; from lbexp.data.records import records\n'
        'stream(records("digits", "test")).feed(0, 0, 10)\n'
        'print("grain" in sys.modules, sorted({"tensorflow", "torch"} & set(sys.modules)))'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == 'True []'
