"""Examples that do not fit in memory, read with Grain a stretch at a time, in the same order as if they did."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lbexp.data.order import order
from lbexp.data.source import Source


def stream(examples: Any, prefetch: int = 2) -> Source:
    """A source that holds only the stretch of examples that is being trained on.

    Position p is the example order(seed, p, size) as in `memory`, so the batches are the same to the bit. The position of the
    reader is a function of the training step: a resumed run asks for the stretch it stopped in, and there is no other
    state to save.

    Args:
        examples: random access, examples[i] -> {name: array of one shape}; a TFDS data source, for instance.
        prefetch: stretches that Grain reads ahead, in one thread: more threads were slower (1,314 examples/s with
            Grain's 16 against 1,926 with one).
    """
    size = len(examples)
    template = jax.tree.map(lambda value: np.zeros_like(value)[None], dict(examples[0]))
    reader = _Reader(examples, size, prefetch)

    def draw(arrays, seed, positions):
        offsets = positions - arrays['first']
        return jax.tree.map(lambda values: values[offsets], arrays['examples'])

    def read(arrays, positions):
        raise NotImplementedError('a stream has no stored order: evaluate on a source in memory')

    return Source(size, {'first': np.uint32(0), 'examples': template}, draw, read, reader.feed)


class _Reader:
    """Keeps Grain's iterator while stretches are asked for in order; seeks when they are not."""

    def __init__(self, examples, size, prefetch):
        self.examples, self.size, self.prefetch = examples, size, prefetch
        self.indices = jax.jit(lambda seed, positions: order(seed, positions, size))
        self.asked = self.held = self.iterator = None

    def feed(self, seed: int, first: int, count: int) -> dict:
        """The arrays that serve positions first .. first + count - 1."""
        if self.asked != (seed, first, count):
            if self.asked != (seed, first - count, count):
                self.iterator = iter(self._stretches(seed, first, count))
            self.asked, self.held = (seed, first, count), next(self.iterator)
        return {'first': np.uint32(first), 'examples': self.held}

    def _stretches(self, seed, first, count):
        import grain

        def stretch(number):
            positions = jnp.arange(count, dtype=jnp.uint32) + np.uint32(first + number * count)
            chosen = [self.examples[int(i)] for i in np.asarray(self.indices(np.uint32(seed), positions))]
            return jax.tree.map(lambda *values: np.stack(values), *(dict(example) for example in chosen))

        stretches = grain.MapDataset.range(2**31 // count).map(stretch)
        return stretches.to_iter_dataset(grain.ReadOptions(num_threads=1, prefetch_buffer_size=self.prefetch))
