"""Examples that do not fit in memory, read with Grain a stretch at a time, in the same order as if
they did."""

from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from lbexp.data.order import order
from lbexp.data.source import Source


def stream(examples: Sequence[dict], prefetch: int = 2) -> Source:
    """A source that holds only the stretch of positions that is being trained on.

    Position p is the example order(seed, p, size), as in `memory`, so the batches are the same to
    the bit. Where the reader stands is a function of the training step: a resumed run asks for the
    stretch it stopped in, from whatever position, and there is no state to save.

    Args:
        examples: random access, examples[i] -> {name: array or number of one shape}, as from
            `records`; many at once by examples.__getitems__(indices) if it has that.
        prefetch: stretches that Grain reads ahead, >= 1, in one thread (with array_record more
            threads are slower).

    Raises:
        ValueError: no examples; whatever `examples` raises comes out of `feed`.
    """
    size = len(examples)
    if not size:
        raise ValueError('examples: found 0; allowed: 1 or more')
    template = {name: np.asarray(value)[None] for name, value in examples[0].items()}
    reader = _Reader(examples, size, prefetch)

    def draw(arrays, seed, positions):
        offsets = positions - arrays['first']  # modulo 2^32, as positions are
        return jax.tree.map(lambda values: jnp.asarray(values)[offsets], arrays['examples'])

    def read(arrays, positions):
        raise NotImplementedError('a stream has no stored order: evaluate on a source in memory')

    return Source(size, {'first': np.uint32(0), 'examples': template}, draw, read, reader.feed)


class _Reader:
    """Keeps Grain's iterator while stretches are asked for in order; seeks when they are not."""

    def __init__(self, examples, size, prefetch):
        self.examples, self.size, self.prefetch = examples, size, prefetch
        self.indices = jax.jit(lambda seed, positions: order(seed, positions, size))
        self.asked: tuple[int, int, int] | None = None
        self.held: dict | None = None
        self.iterator: Iterator[dict] = iter(())

    def feed(self, seed: int, first: int, count: int) -> dict:
        """The arrays that serve positions first .. first + count - 1."""
        if self.asked != (seed, first, count):
            if self.asked != (seed, first - count, count):
                self.iterator = iter(self._stretches(seed, first, count))
            # until the stretch is there: an error in the reader must not serve the old one
            self.asked = None
            self.held = next(self.iterator)
            self.asked = (seed, first, count)
        return {'first': np.uint32(first % 2**32), 'examples': self.held}

    def _stretches(self, seed, first, count):
        import grain  # slow to import

        def stretch(number):
            # In 64 bits until the sum wraps as positions do.
            wide = np.arange(count, dtype=np.uint64) + first + number * count
            positions = wide.astype(np.uint32)
            # On the host: on an accelerator this thread would wait for the training that it reads
            # ahead of.
            arguments = jax.device_put((np.uint32(seed % 2**32), positions), _host())
            indices = jax.device_get(self.indices(*arguments))
            return _stacked(self._many(indices.tolist()))

        # As many as there are positions: no run is longer.
        stretches = grain.MapDataset.range(2**32 // count + 1).map(stretch)
        return stretches.to_iter_dataset(
            grain.ReadOptions(num_threads=1, prefetch_buffer_size=self.prefetch)
        )

    def _many(self, indices):
        if hasattr(self.examples, '__getitems__'):
            return self.examples.__getitems__(indices)
        return [self.examples[i] for i in indices]


def _stacked(examples):
    """{name: [n, ...]} of n examples."""
    return {name: np.stack([example[name] for example in examples]) for name in examples[0]}


def _host():
    try:
        return jax.local_devices(backend='cpu')[0]
    except RuntimeError:  # JAX_PLATFORMS names the accelerator alone
        return None
