"""Small data sets of every kind of input, named 'made_data:NAME' in a configuration."""

import numpy as np

from lbexp.data.source import memory
from lbexp.datasets import Dataset
from lbexp.inputs import Input, Target

LENGTH, WORDS = 10, 12


def sentences(validation: int = 0) -> Dataset:
    """Rows of tokens with padding, each token the one before it plus one or two."""
    generator = np.random.default_rng(0)
    steps = generator.integers(1, 3, size=(96, LENGTH + 1)).cumsum(1)
    tokens = 5 + steps % (WORDS - 5)
    segments = (np.arange(LENGTH) < generator.integers(4, LENGTH + 1, size=(96, 1))).astype(int)
    arrays = dict(tokens=tokens[:, :-1], segments=segments, targets=tokens[:, 1:])
    names = tuple(f'word{number}' for number in range(WORDS))
    inputs = {'tokens': _ids(WORDS), 'segments': _ids(2)}
    return _dataset(arrays, inputs, Target('tokens', 'targets', names), validation)


def hidden_words() -> Dataset:
    """Sentences of which a task hides some words."""
    data = sentences()
    names = ('[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', *data.target.classes[5:])
    target = Target('masked_tokens', 'tokens', names)
    tokens = data.inputs['tokens']._replace(padding=0)
    return data._replace(inputs={**data.inputs, 'tokens': tokens}, target=target)


def kinds_of_sentences() -> Dataset:
    """Sentences whose class is whether the second word is the one after the first."""
    data = hidden_words()
    target = Target('class', 'label', ('far', 'near'))
    splits = {}
    for split in ('train', 'test'):
        arrays = dict(getattr(data, split).arrays)
        tokens = arrays['tokens']
        arrays['label'] = (tokens[:, 1] == tokens[:, 0] + 1).astype(np.int32)
        splits[split] = memory(arrays)
    return data._replace(target=target, **splits)


def clicks() -> Dataset:
    """A table of categories and numbers, with a yes or no that hangs on a product of them."""
    generator = np.random.default_rng(1)
    categories = generator.integers(0, 4, size=(96, 3))
    numbers = generator.normal(size=(96, 2)).astype(np.float32)
    label = (categories[:, 0] % 2) ^ (numbers[:, 0] > 0)
    inputs = {
        'categorical': Input(
            'categorical', (3,), 'int32', vocabulary=(4, 4, 4), columns=('a', 'b', 'c')
        ),
        'numeric': Input('numeric', (2,), 'float32', columns=('d', 'e')),
    }
    arrays = dict(categorical=categories, numeric=numbers, label=label)
    return _dataset(arrays, inputs, Target('class', classes=('no', 'yes')))


def pictures() -> Dataset:
    """Pictures in colour, whose class is the brightest channel."""
    generator = np.random.default_rng(2)
    x = generator.integers(0, 256, size=(96, 8, 8, 3), dtype=np.uint8)
    label = generator.integers(0, 3, size=96)
    x[np.arange(96), :, :, label] = 255
    inputs = {'image': Input('image', (8, 8, 3), 'uint8', scale=1 / 255)}
    return _dataset(dict(image=x, label=label), inputs, Target('class', classes=tuple('rgb')))


def houses() -> Dataset:
    """Numbers, and one to be told from them."""
    generator = np.random.default_rng(3)
    x = generator.normal(size=(96, 3)).astype(np.float32)
    label = x @ np.float32([1, -2, 0.5])
    target = Target('number', mean=float(label.mean()), deviation=float(label.std()))
    return _dataset(dict(x=x, label=label), {'x': Input('numeric', (3,), 'float32')}, target)


def _ids(count):
    return Input('tokens', (LENGTH,), 'int32', vocabulary=(count,))


def _dataset(arrays, inputs, target, validation=0):
    """Two thirds to train on, the last of them for validation; the rest to test on."""
    stored = {}
    for name, values in arrays.items():
        kept = values.dtype in (np.float32, np.uint8)
        stored[name] = values if kept else values.astype(np.int32)
    first = 64 - validation
    train = memory({name: values[:first] for name, values in stored.items()})
    test = memory({name: values[64:] for name, values in stored.items()})
    held_out = None
    if validation:
        held_out = memory({name: values[first:64] for name, values in stored.items()})
    return Dataset(train, inputs, target, test=test, validation=held_out)


def cifar10_files(folder, count):
    """The files of CIFAR-10's binary version, `count` pictures in each of six: a label, then red,
    green and blue, each by row."""
    generator = np.random.default_rng(0)
    folder.mkdir()
    for name in (*(f'data_batch_{number}' for number in range(1, 6)), 'test_batch'):
        labels = generator.integers(0, 10, (count, 1), np.uint8)
        pixels = generator.integers(0, 256, (count, 3 * 32 * 32), np.uint8)
        (folder / f'{name}.bin').write_bytes(np.hstack([labels, pixels]).tobytes())
