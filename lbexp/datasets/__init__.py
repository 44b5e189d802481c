"""A data set is examples, split, and a description of their arrays. One file, one data set or one
kind of source.

The function of a data set takes how it is split, and returns a `Dataset`. Any task and any model
that its description fits can be trained on it:

    dict(name='classification', data=dict(name='digits', validation=300), model=dict(name='mlp'))

    import jax.numpy as jnp
    from lbexp.data.source import memory
    from lbexp.datasets import Dataset
    from lbexp.inputs import Input, Target

    def signs(size: int = 64) -> Dataset:
        x = jnp.arange(size * 2.0).reshape(size, 2) / size - 1
        examples = {'x': x, 'label': (x[:, 0] > 0).astype('int32')}
        return Dataset(
            train=memory(examples),
            test=memory(examples),
            inputs={'x': Input('numeric', (2,), 'float32')},
            target=Target('class', classes=('negative', 'positive')),
        )
"""

from typing import Any, NamedTuple

from lbexp.data.source import Source
from lbexp.inputs import Input, Target


class Dataset(NamedTuple):
    """Examples, split, and what they are."""

    train: Source  # in the order of training
    inputs: dict[str, Input]  # the arrays that a model is given, by name
    target: Target  # the array that it is to tell
    test: Source | None = None  # held out, in stored order
    validation: Source | None = None  # held out of the training set, for tuning
    source: str = ''  # where it comes from, and under which licence
    # what was inferred of a file (types, classes, missing values, which rows are test), as plain
    # data: shown at the start, and kept in the workdir as schema.json; {}: nothing was
    schema: dict[str, Any] = {}  # noqa: RUF012 (a tuple's default, which nobody writes to)
