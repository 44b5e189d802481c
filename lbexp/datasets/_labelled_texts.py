"""Texts, or pairs of them, with a class for each, as rows of pieces of words."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lbexp.data.splits import divided
from lbexp.datasets import Dataset
from lbexp.datasets._decoded import Columns, cached
from lbexp.datasets._wordpiece import (
    MARKS,
    PADDING,
    encoded_pairs,
    encoded_texts,
    encoder_inputs,
    names_of,
    word_pieces,
)
from lbexp.inputs import Target


class LabelledTexts(NamedTuple):
    """Examples of one split: n of them."""

    texts: tuple[Sequence[str], ...]  # of n, of one column or two
    labels: Sequence[int]  # ids of classes


class TextOptions(NamedTuple):
    """How texts become rows, and how these are divided."""

    vocabulary: int  # pieces, with five marks among them
    length: int  # of a row [positions]
    validation: int
    replacement: bool
    fold: int | None = None
    folds: int = 5


def check_vocabulary(vocabulary: int) -> None:
    """Raises ValueError where the marks leave no room for a piece."""
    if vocabulary <= len(MARKS):
        raise ValueError(f'vocabulary: found {vocabulary}; allowed: more than {len(MARKS)} pieces')


def classified_texts(
    train: LabelledTexts,
    test: LabelledTexts,
    columns: Sequence[str],
    classes: Sequence[str],
    source: str,
    content: str,
    options: TextOptions,
) -> Dataset:
    """Rows [CLS] text [SEP], or [CLS] first [SEP] second [SEP], with a class. The vocabulary is of
    the training texts, those for validation among them.

    Args:
        columns: names of the texts.
        classes: by id.
        source: where they come from.
        content: a text that no other content of the source has, for the copy that is kept of rows.
    """
    check_vocabulary(options.vocabulary)
    key = f'texts {content} {columns} {options.vocabulary} {options.length}'
    arrays = cached(key, lambda: Columns(_rows(train, test, options), None)).arrays
    names = tuple(arrays['names'].tolist())
    examples = {}
    for split in ('train', 'test'):
        kept = ['tokens', 'segments', 'label']
        if len(columns) == 2:
            kept.append('kinds')
        examples[split] = {name: arrays[f'{split}_{name}'] for name in kept}
    parts = divided(
        examples['train'],
        examples['test'],
        options.validation,
        options.replacement,
        options.fold,
        options.folds,
    )
    sizes = {}
    for name in ('train', 'validation', 'test'):
        part = parts[name]
        if part is not None:
            sizes[name] = part.size
    counts = np.bincount(arrays['train_label'], minlength=len(classes)).tolist()
    schema = {
        'source': source,
        'examples': sizes,
        'test': 'as the source has it',
        'label': {'column': 'label', 'kind': 'class', 'classes': dict(zip(classes, counts))},
        'columns': {},
        'vocabulary': len(names),
    }
    for name, train_texts, test_texts in zip(columns, train.texts, test.texts, strict=True):
        missing = [*train_texts, *test_texts].count('')
        schema['columns'][name] = {'kind': 'text', 'missing': missing}
    return Dataset(
        train=parts['train'],
        validation=parts['validation'],
        test=parts['test'],
        inputs=encoder_inputs(options.length, len(names), has_kinds=len(columns) == 2),
        target=Target('class', 'label', tuple(classes)),
        source=source,
        schema=schema,
    )


def _rows(train, test, options):
    tokenizer = word_pieces(list(itertools.chain.from_iterable(train.texts)), options.vocabulary)
    arrays = {'names': np.array(names_of(tokenizer))}
    for split, examples in (('train', train), ('test', test)):
        if len(examples.texts) == 1:
            tokens = encoded_texts(tokenizer, examples.texts[0], options.length)
            kinds = np.zeros_like(tokens)
        else:
            pairs = list(zip(*examples.texts, strict=True))
            tokens, kinds = encoded_pairs(tokenizer, pairs, options.length)
        arrays[f'{split}_tokens'], arrays[f'{split}_kinds'] = tokens, kinds
        arrays[f'{split}_segments'] = (tokens != PADDING).astype(np.int32)
        arrays[f'{split}_label'] = np.asarray(examples.labels, np.int32)
    return arrays
