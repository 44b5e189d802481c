"""Reviews of women's clothing: pairs of a title and a text, with labels of two qualities."""

import functools
import re
from typing import Any, Literal, NamedTuple

import duckdb
import numpy as np

from lbexp.data import copies
from lbexp.data import division as splitting
from lbexp.data.division import fold_places, held_out_places, known_fold
from lbexp.data.packages import examples_file
from lbexp.data.packing import Packed
from lbexp.data.source import memory
from lbexp.data.splits import divided, picked
from lbexp.datasets import Dataset, _texts, _wordpiece
from lbexp.datasets._wordpiece import (
    MARKS,
    PADDING,
    encoded_pairs,
    encoder_inputs,
    names_of,
    word_pieces,
)
from lbexp.inputs import Target
from lbexp.ranges import NonNegativeInteger, PositiveInteger

_SHARE = 0.2  # of the reviews, for testing
_LIKED = 4  # a rating from here on says the same as a recommendation, of most
_SAME = 80  # letters at the beginning or the end that only one review may have
_SEED = 54014
_CLASSES = ('not recommended', 'recommended')


class _Division(NamedTuple):
    """Which reviews are for testing."""

    fold: int | None  # None: a fifth
    folds: int

    def places(self, labels: list[int]) -> np.ndarray:
        if self.fold is None:
            return held_out_places('stratified', _SHARE, len(labels), labels)
        return fold_places(self.fold, self.folds, len(labels), labels)

    def in_words(self) -> str:
        if self.fold is None:
            return f'stratified, {_SHARE:g} of the reviews'
        return f'fold {self.fold} of {self.folds}'


def clothing_reviews(
    label: Literal['recommended', 'rating', 'tokens'] = 'recommended',
    size: PositiveInteger | None = None,
    vocabulary: PositiveInteger = 4000,
    length: PositiveInteger = 64,
    validation: NonNegativeInteger = 0,
    replacement: bool = False,
    fold: NonNegativeInteger | None = None,
    folds: PositiveInteger = 5,
) -> Dataset:
    """19,600 reviews (Agarap 2018, arXiv:1805.03687) as rows [CLS] title [SEP] text [SEP] of pieces
    of words; a text that is too long for its row is cut.

    Arrays of an example, int32 [length]: `tokens`; `segments`, 1 on them and 0 on padding; `kinds`,
    0 of the title and 1 of the text. A fifth of the reviews, with the same share of
    recommendations, is the test set; of reviews that begin or end with the same 80 letters there is
    one. The vocabulary is that of the training reviews, those for validation among them.

    Args:
        label: of the *training* examples: 'recommended', what the writers said themselves;
            'rating', whether they rated 4 or 5 of 5, which is another answer for some (the share
            that agrees is in `schema`). Validation and test examples always have the first, which
            is what is asked. 'tokens': none, for `masked_language_model`.
        size: training examples, a random choice that is always the same, where a smaller one is
            a part of a larger one; None: all.
        vocabulary: pieces, with five marks among them.
        length: of a row [positions].
        validation: reviews of the training set held out for tuning; 0: none.
        replacement: draw training reviews with replacement.
        fold: the test set is this fold of `folds` instead, and the vocabulary that of the others.
        folds: into which the reviews are cut, with the same share of recommendations.

    Raises:
        ValueError: not prepared: python -m lbexp.data.prepare clothing_reviews; the library
            `tokenizers` is not there (pip install lbexp[text]); rows that hold no title, more
            examples asked for than there are, or a fold that there is not.
    """
    if vocabulary <= len(MARKS):
        raise ValueError(f'vocabulary: found {vocabulary}; allowed: more than {len(MARKS)} pieces')
    if fold is not None:
        fold = known_fold(fold, 'the reviews that are not of the fold decide the vocabulary')
    division = _Division(fold, folds)
    arrays = _copied(str(examples_file('clothing_reviews')), vocabulary, length, division)
    names = tuple(arrays['names'].tolist())
    train, test = (_examples(arrays, part) for part in ('train', 'test'))
    parts: dict[str, Any] = {**divided(train, test, validation, replacement)}
    parts['train'] = memory(_training(parts['train'].arrays, label, size), replacement)

    target = Target('class', 'label', _CLASSES)
    if label == 'tokens':
        target = Target('masked_tokens', 'tokens', names)
    return Dataset(
        train=parts['train'],
        validation=parts['validation'],
        test=parts['test'],
        inputs=encoder_inputs(length, len(names)),
        target=target,
        source="reviews of women's clothing (CC0 1.0)",
        schema=_schema(arrays, parts, label, division),
    )


def _examples(arrays, part):
    tokens, recommended = arrays[f'{part}_tokens'], arrays[f'{part}_recommended']
    return {
        'tokens': tokens,
        'segments': (tokens != PADDING).astype(np.int32),
        'kinds': arrays[f'{part}_kinds'],
        'label': recommended,
        'rating': arrays[f'{part}_rating'],
    }


def _training(examples, label, size):
    """The examples that are trained on, with their label."""
    count = len(examples['label'])
    if size is not None:
        if size > count:
            raise ValueError(f'size: found {size}; allowed: 1 .. {count} training examples')
        places = np.random.default_rng(_SEED).permutation(count)[:size]
        examples = picked(examples, np.sort(places))
    if label == 'rating':
        return {**examples, 'label': _liked(examples['rating'])}
    return examples


def _liked(rating):
    return (rating >= _LIKED).astype(np.int32)


def _schema(arrays, parts, label, division):
    sizes = {name: part.size for name, part in parts.items() if part is not None}
    tokens = {}
    for name in ('train', 'test'):
        tokens[name] = int(np.sum(parts[name].arrays['segments']))
    recommended = arrays['test_recommended']
    agreement = _liked(arrays['test_rating']) == recommended
    return {
        'source': f'clothing_reviews, {sizes["train"]} by {label}',
        'examples': sizes,
        'test': division.in_words(),
        'tokens': tokens,
        'unit': 'pieces of words',
        'vocabulary': len(arrays['names']),
        'references': {
            'unigram token_loss': float(arrays['unigram_loss']),
            'bigram token_loss': float(arrays['bigram_loss']),
            'recommended': float(recommended.mean()),
            'rating says the same': float(agreement.mean()),
        },
    }


@functools.lru_cache(4)
def _copied(file, vocabulary, length, division):
    def arrays():
        return _rows(_reviews(file), vocabulary, length, division)

    code = [__file__, _wordpiece.__file__, _texts.__file__, copies.__file__, splitting.__file__]
    numbers = f'{vocabulary}-{length}'
    if division.fold is not None:
        numbers += f'-{division.fold}-of-{division.folds}'
    return _texts.copied_arrays(arrays, file, numbers, code)


def _rows(reviews, vocabulary, length, division):
    """Arrays of both splits, and what a unigram and a bigram reach."""
    labels = [recommended for *_, recommended, _ in reviews]
    is_test = np.zeros(len(reviews), bool)
    is_test[division.places(labels)] = True
    of_split = {'train': [], 'test': []}
    for review, tested in zip(reviews, is_test):
        of_split['test' if tested else 'train'].append(review)
    texts = []
    for title, text, *_ in of_split['train']:
        texts += [title, text]
    tokenizer = word_pieces(texts, vocabulary)
    arrays = {'names': np.array(names_of(tokenizer))}
    for split, members in of_split.items():
        titles, texts, recommended, rating = zip(*members)
        rows = encoded_pairs(tokenizer, list(zip(titles, texts)), length)
        arrays[f'{split}_tokens'], arrays[f'{split}_kinds'] = rows
        arrays[f'{split}_recommended'] = np.array(recommended, np.int32)
        arrays[f'{split}_rating'] = np.array(rating, np.int32)
    splits = arrays['train_tokens'], arrays['test_tokens'], len(arrays['names'])
    arrays['unigram_loss'] = np.array(_unigram_loss(*splits))
    arrays['bigram_loss'] = np.array(_bigram_loss(*splits))
    return arrays


def _unigram_loss(train, test, vocabulary):
    """-log p of a test token that is no mark, p = (count + 1) / (all + V) in training [nats]."""
    counts = np.bincount(train[train >= len(MARKS)], minlength=vocabulary)[len(MARKS) :] + 1
    log_p = np.log(counts / counts.sum())
    return -log_p[test[test >= len(MARKS)] - len(MARKS)].mean()


def _bigram_loss(train, test, vocabulary):
    """The same of a token after the one before it, which may be a mark and is never hidden [nats]:
    `_texts.ngram_perplexities`."""
    perplexities = _texts.ngram_perplexities(_pairs(train), _pairs(test), vocabulary)
    return np.log(perplexities['bigram perplexity'])


def _pairs(rows):
    """Each token that is no mark, after the one before it."""
    before, after = rows[:, :-1], rows[:, 1:]
    return Packed(before, after, (after >= len(MARKS)).astype(np.int32))


def _reviews(file):
    """(title, text, recommended, rating), in stored order, without those that are nearly another:
    the tokenizer is not to see a text of the test set, nor the network half of it."""
    with duckdb.connect() as connection:
        columns = 'title, review, recommended, rating'
        rows = connection.read_parquet(file).project(columns).fetchall()
    seen, reviews = set(), []
    for review in rows:
        letters = re.sub('[^a-z0-9]+', ' ', review[1].lower()).strip()
        ends = {('begins', letters[:_SAME]), ('ends', letters[-_SAME:])}
        if not seen & ends:
            reviews.append(review)
        seen |= ends
    return reviews
