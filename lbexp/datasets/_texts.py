"""What data sets of texts share: rows of tokens, their description, and what simpler models reach
on them."""

import hashlib
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from lbexp.data import copies, packing
from lbexp.data.packing import Packed
from lbexp.data.splits import divided
from lbexp.datasets import Dataset
from lbexp.errors import Refusal
from lbexp.inputs import Input, Target


class Texts(NamedTuple):
    """Texts as rows of tokens, and what the tokens are."""

    train: Packed
    test: Packed
    names: Sequence[str]  # of the tokens, by id
    unit: str  # what a token is: 'words', 'bytes' or 'numbers'
    source: str
    split: str  # how the test texts were chosen, in words
    references: dict[str, float]  # what simpler models reach on the test set, by name


def copied(
    make: Callable[..., Texts], file: str, vocabulary: int, length: int, code: Sequence[str] = ()
) -> Texts:
    """make(file, vocabulary, length), from the copy beside `file` where there is one.

    A copy is of one content of the file, one code and these numbers; what is damaged is made again.

    Args:
        code: files that the rows are computed by, beside that of `make`.
    """

    def arrays():
        return _arrays(make(file, vocabulary, length))

    code = [make.__code__.co_filename, *code, __file__, packing.__file__]
    return _of_arrays(copied_arrays(arrays, file, f'{vocabulary}-{length}', code))


def copied_arrays(
    make: Callable[[], dict[str, np.ndarray]], file: str, numbers: str, code: Sequence[str]
) -> dict[str, np.ndarray]:
    """make(), from the copy beside `file` where there is one.

    Args:
        numbers: that the arrays depend on, as a part of a file's name.
        code: files that the arrays are computed by.
    """
    digest = hashlib.sha256()
    for path in (file, *code):
        digest.update(pathlib.Path(path).read_bytes())
    copy = pathlib.Path(file).with_name(f'rows-{numbers}-{digest.hexdigest()[:16]}.npz')
    arrays, _ = copies.stored(copy)
    if arrays is None:
        arrays = make()
        if os.access(copy.parent, os.W_OK):
            copies.keep(copy, arrays)
    return arrays


def _arrays(texts):
    arrays = {}
    for part in ('train', 'test'):
        for name, values in getattr(texts, part)._asdict().items():
            arrays[f'{part}_{name}'] = values
    for name in ('names', 'unit', 'source', 'split'):
        arrays[name] = np.array(getattr(texts, name))
    arrays['references'] = np.array(list(texts.references.values()))
    arrays['reference_names'] = np.array(list(texts.references))
    return arrays


def _of_arrays(arrays):
    train, test = (
        Packed(*(arrays[f'{part}_{name}'] for name in Packed._fields)) for part in ('train', 'test')
    )
    references = dict(zip(arrays['reference_names'].tolist(), arrays['references'].tolist()))
    return Texts(
        train,
        test,
        tuple(arrays['names'].tolist()),
        str(arrays['unit']),
        str(arrays['source']),
        str(arrays['split']),
        references,
    )


def next_token_data(texts: Texts, validation: int, replacement: bool) -> Dataset:
    """Rows of inputs, segments and targets, as a data set."""
    train, test = (packed._asdict() for packed in (texts.train, texts.test))
    parts = divided(train, test, validation, replacement)
    length = texts.train.tokens.shape[1]
    largest = max(int(packed.segments.max()) for packed in (texts.train, texts.test))

    def of_ids(count):
        return Input('tokens', (length,), 'int32', vocabulary=(count,))

    return Dataset(
        train=parts['train'],
        validation=parts['validation'],
        test=parts['test'],
        inputs={'tokens': of_ids(len(texts.names)), 'segments': of_ids(largest + 1)},
        target=Target('tokens', 'targets', tuple(texts.names)),
        source=texts.source,
        schema=_schema(texts, parts),
    )


def _schema(texts, parts) -> dict[str, Any]:
    sizes = {name: part.size for name, part in parts.items() if part is not None}
    tokens = {}
    for name, packed in (('train', texts.train), ('test', texts.test)):
        tokens[name] = int((packed.segments > 0).sum())
    return {
        'source': texts.source,
        'examples': sizes,
        'test': texts.split,
        'tokens': tokens,
        'unit': texts.unit,
        'vocabulary': len(texts.names),
        'references': texts.references,
    }


def ngram_perplexities(train: Packed, test: Packed, vocabulary: int) -> dict[str, float]:
    """Perplexities on the test set of the unigram and of the interpolated bigram of the training
    set, which a model of sequences should beat.

    Unigram: p(w) = (c(w) + 1) / (N + V). Bigram (Witten and Bell 1991, as in Chen and Goodman 1999,
    section 2.4): with c(v w) pairs, T(v) different tokens after v and c(v) tokens,

        p(w | v) = (c(v w) + T(v) p(w)) / (c(v) + T(v))
    """
    inside = train.segments > 0
    # A pair is numbered before * V + after, which 32 bits may not hold.
    before, after = train.tokens[inside].astype(np.int64), train.targets[inside]
    counts = np.bincount(after, minlength=vocabulary)
    unigram = (counts + 1) / (counts.sum() + vocabulary)
    pairs, of_pair = np.unique(before * vocabulary + after, return_counts=True)
    of_before = np.bincount(before, minlength=vocabulary)
    different = np.bincount(pairs // vocabulary, minlength=vocabulary)

    inside = test.segments > 0
    before, after = test.tokens[inside].astype(np.int64), test.targets[inside]
    keys = before * vocabulary + after
    # What lies behind all pairs is compared with the last one, and is another.
    place = np.minimum(np.searchsorted(pairs, keys), len(pairs) - 1)
    seen = np.where(pairs[place] == keys, of_pair[place], 0)
    weight = different[before]
    total = of_before[before] + weight
    mixed = (seen + weight * unigram[after]) / np.maximum(total, 1)
    bigram = np.where(total > 0, mixed, unigram[after])
    return {
        'unigram perplexity': float(np.exp(-np.log(unigram[after]).mean())),
        'bigram perplexity': float(np.exp(-np.log(bigram).mean())),
    }


def rows_of(ids: np.ndarray, length: int) -> Packed:
    """One long text as rows of `length` positions, without padding; what is left over is dropped.

    Raises:
        ValueError: a text that is no row long.
    """
    count = (len(ids) - 1) // length
    if count < 1:
        raise ValueError(f'text: found {len(ids)} tokens; allowed: more than {length}, a row')
    used = np.asarray(ids[: count * length + 1], np.int32)
    tokens = used[:-1].reshape(count, length)
    targets = used[1:].reshape(count, length)
    return Packed(tokens, targets, np.ones_like(tokens))


PADDING, BEGIN, END, UNKNOWN = range(4)  # ids of texts of words
MARKS = ('<pad>', '<begin>', '<end>', '<unknown>')


# The letters in which byte-level tokenizers write bytes: printable ones as they are, others from
# 256 on (Radford et al. 2019).
def _letters():
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    letters = {byte: chr(byte) for byte in printable}
    for place, byte in enumerate(others):
        letters[byte] = chr(256 + place)
    return letters


BYTE_LETTERS = _letters()
LETTER_BYTES = {letter: byte for byte, letter in BYTE_LETTERS.items()}


END_MARK = '<end>'  # of a text of bytes


def byte_count(name: str) -> int:
    """How many bytes a token of this name stands for."""
    return 0 if name == END_MARK else len(name)


def spelled(names: Sequence[str], ids: Sequence[int], unit: str) -> str:
    """The text of these tokens."""
    tokens = [names[i] for i in ids]
    if unit == 'numbers':
        return ' '.join(tokens)
    if unit == 'words':
        return ' '.join(token for token in tokens if token != MARKS[BEGIN])
    letters = ''.join(token for token in tokens if token != END_MARK)
    raw = bytes(LETTER_BYTES[letter] for letter in letters)
    return raw.decode(errors='replace')


def ids_of(text: str, names: Sequence[str], unit: str) -> list[int]:
    """The tokens that a text begins with, for a model to go on from; of no text, the beginning.

    Of bytes the longest tokens that fit are taken, from the left. A tokenizer that merges pairs may
    cut elsewhere; the text is the same.

    Raises:
        Refusal: of tokens that are numbers, another word.
    """
    known = {name: number for number, name in enumerate(names)}
    if unit == 'numbers':
        unknown = [word for word in text.split() if word not in known]
        if unknown:
            raise Refusal(f'prompt: found {unknown[0]!r}; allowed: tokens, 0 .. {len(names) - 1}')
        return [known[word] for word in text.split()] or [0]
    if unit == 'words':
        words = text.lower().split()
        return [BEGIN, *(known.get(word, UNKNOWN) for word in words)]
    letters = ''.join(BYTE_LETTERS[byte] for byte in text.encode())
    longest = max(map(len, names))
    ids = [] if letters else [known[END_MARK]]
    while letters:
        size = next(n for n in range(longest, 0, -1) if letters[:n] in known)
        ids.append(known[letters[:size]])
        letters = letters[size:]
    return ids


def stops(names: Sequence[str]) -> tuple[set[int], set[int]]:
    """Ids that end a text, and ids that no text has."""
    ends = {number for number, name in enumerate(names) if name == END_MARK}
    never = {number for number, name in enumerate(names) if name in MARKS} - ends
    return ends, never
