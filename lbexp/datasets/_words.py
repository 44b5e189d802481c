"""Short texts as rows of words."""

import collections
import re
from collections.abc import Iterable, Sequence

from lbexp.data.packing import pack
from lbexp.datasets._texts import BEGIN, END, MARKS, UNKNOWN, Texts, ngram_perplexities

FEWEST, MOST = 3, 14  # words of a title
Title = tuple[str, ...]


def check_sizes(vocabulary: int, length: int) -> None:
    """Raises ValueError where there is no room for words, or for the longest title."""
    if vocabulary <= len(MARKS) or length < MOST + 1:
        raise ValueError(
            f'vocabulary, length: found {vocabulary}, {length}; allowed: more than {len(MARKS)} '
            f'tokens, and rows of {MOST + 1} positions or more'
        )


def titles(texts: Iterable[str]) -> list[Title]:
    """The texts of 3 to 14 words, lower case and without what stands in brackets, each once."""
    distinct = {}
    for text in texts:
        plain = re.sub(r'[(\[{].*?[)\]}]', ' ', text.lower())
        words = re.findall(r"[a-z0-9+#.'-]*[a-z0-9+#]", plain)
        if FEWEST <= len(words) <= MOST:
            distinct[tuple(words)] = None
    return list(distinct)


def title_rows(
    train: Sequence[Title],
    test: Sequence[Title],
    vocabulary: int,
    length: int,
    source: str,
    split: str,
) -> Texts:
    """Titles packed into rows. The words are the most frequent of the training titles; the others
    are '<unknown>'.

    Args:
        vocabulary: tokens, the marks among them.
        length: of a row [positions].
        source: where they come from, and their licence.
        split: how the test titles were chosen, in words.
    """
    counts = collections.Counter(word for title in train for word in title)
    # ties in the order of the alphabet
    frequent = sorted(counts, key=lambda word: (-counts[word], word))[: vocabulary - len(MARKS)]
    names = (*MARKS, *frequent)
    ids = {word: number for number, word in enumerate(names)}
    trained, tested = (pack(_sequences(part, ids), length) for part in (train, test))
    references = ngram_perplexities(trained, tested, len(names))
    return Texts(trained, tested, names, 'words', source, split, references)


def _sequences(titles, ids):
    sequences = []
    for title in titles:
        words = [ids.get(word, UNKNOWN) for word in title]
        sequences.append([BEGIN, *words, END])
    return sequences
