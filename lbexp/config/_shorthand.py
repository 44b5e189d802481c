"""Parts that are written as a text in place of a dict: the name of a part without arguments, or a
file."""

from typing import Any

SHORT = ('data', 'model')  # kinds of parts that may be


def spelled_out(kind: str, text: str) -> Any:
    """The part that a text stands for; of other kinds than SHORT the text itself.

    'digits' and 'package.module:function' are names; of data, 'tfds:cifar10' is that of TFDS, and
    anything else is a file: 'mine.npz', 'data/table.csv', './photos'.
    """
    if kind not in SHORT:
        return text
    first, colon, rest = text.partition(':')
    if kind == 'data' and first == 'tfds' and colon:
        return {'name': 'tfds', 'dataset': rest}
    is_function = colon and rest.isidentifier() and all(map(str.isidentifier, first.split('.')))
    if kind == 'data' and not is_function and not text.isidentifier():
        return {'name': 'file', 'path': text}
    return {'name': text}
