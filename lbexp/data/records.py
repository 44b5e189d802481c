"""The examples of a prepared data set by random access, read from the disk when asked for."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from lbexp.data.prepared import damaged, prepared


def records(name: str, split: str) -> 'Records':
    """Examples {'image': uint8 [h, w, c], 'label': int32 scalar} of one split, in stored order,
    read with TFDS.

    `stream` takes it, and whatever else has __len__ and __getitem__. `load` reads all of it at
    once.

    Raises:
        ValueError: no such data set or split, not prepared, or damaged (when the damaged part is
            read).
    """
    files = prepared(name, split)
    import tensorflow_datasets as tfds  # 2 s

    try:
        source = tfds.builder_from_directory(files[0].parent).as_data_source(split=split)
    # array_record and the decoders raise what they like on damaged bytes
    except Exception as error:
        raise damaged(files[0], error) from error
    return Records(source, files)


class Records(Sequence[dict]):
    """The examples of one split."""

    def __init__(self, source, files):
        self.source, self.files = source, files

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: Any) -> Any:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Iterable[int]) -> list[dict]:
        """Many at once, which is several times faster than one by one."""
        try:
            examples = self.source.__getitems__(list(map(int, indices)))
        except Exception as error:  # as above
            raise damaged(self.files[0], error) from error
        return list(map(_with_short_label, examples))


def _with_short_label(example):
    """A class is 64 bits long in TFDS; a number stays what it is."""
    label = example.get('label')
    if label is not None and np.asarray(label).dtype.kind in 'iu':
        return {**example, 'label': np.int32(label)}
    return example
