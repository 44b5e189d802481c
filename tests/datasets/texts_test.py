"""Texts as data: splits, vocabularies, references, copies; and the task that learns them."""

import collections
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from prepared_texts import prepared

from lbexp.data.packing import Packed
from lbexp.datasets import _texts, debian_titles, sotu
from lbexp.models.lstm import lstm
from lbexp.workloads import Ratio
from lbexp.workloads.language_model import language_model

VERBS = ('shows', 'reads', 'writes', 'plays', 'draws', 'sorts', 'counts')
NOUNS = ('files', 'chess', 'maps', 'mail', 'text', 'sounds', 'trees')
PLACES = ('here', 'on servers', 'in windows', 'for clusters (extra)', 'by hand')
TITLES = [f'{verb} {noun} {place}' for verb in VERBS for noun in NOUNS for place in PLACES]
SPEECHES = [f'Fellow citizens of {year}: naïve peace, and war. ' * 8 for year in range(40)]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path))
    prepared(tmp_path, 'debian_titles', [(title, 'misc') for title in TITLES], 'title text, s text')
    speeches = [(f'{i:04}', 1800 + i, text) for i, text in enumerate(SPEECHES)]
    prepared(tmp_path, 'sotu', speeches, 'name text, year int, text text')
    for module in (debian_titles, sotu):
        module._copied.cache_clear()
    return tmp_path


def texts_of(source, names):
    """Titles of a source, as lists of words."""
    titles = []
    for tokens, segments in zip(source.arrays['tokens'], source.arrays['segments'], strict=True):
        for segment in range(1, segments.max() + 1):
            titles.append([names[i] for i in tokens[segments == segment]][1:])
    return titles


def test_titles_with_one_beginning_are_of_one_split():
    data = debian_titles.debian_titles(vocabulary=100)
    beginnings = [
        {tuple(title[:3]) for title in texts_of(source, data.target.classes)}
        for source in (data.train, data.test)
    ]
    assert not beginnings[0] & beginnings[1]
    count = sum(len(texts_of(source, data.target.classes)) for source in (data.train, data.test))
    cleaned = {title.replace(' (extra)', '') for title in TITLES if title.count(' ') > 1}
    assert count == len(cleaned)


def test_too_few_titles_are_told(tmp_path, monkeypatch):
    monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path / 'few'))
    few = [(title, 'misc') for title in TITLES[:2]]
    prepared(tmp_path / 'few', 'debian_titles', few, 'title text, s text')
    with pytest.raises(ValueError, match='found 2 titles of 3 to 14 words; allowed: enough'):
        debian_titles.debian_titles()


def test_the_vocabulary_is_the_frequent_words_of_the_training_titles():
    data = debian_titles.debian_titles(vocabulary=9)
    everything = debian_titles.debian_titles(vocabulary=100)
    counts = collections.Counter(
        word for title in texts_of(everything.train, everything.target.classes) for word in title
    )
    words = data.target.classes[4:]
    assert len(words) == 5
    least = min(counts[word] for word in words)
    assert all(count <= least for word, count in counts.items() if word not in words)


def test_a_copy_gives_the_same_and_a_damaged_one_is_made_again(folder):
    first = debian_titles.debian_titles(vocabulary=30)
    (copy,) = folder.glob('debian_titles/*/rows-*.npz')
    debian_titles._copied.cache_clear()
    second = debian_titles.debian_titles(vocabulary=30)
    arrays = dict(np.load(copy))
    arrays['train_targets'] = arrays['train_targets'][::-1].copy()
    np.savez(copy, **arrays)
    debian_titles._copied.cache_clear()
    third = debian_titles.debian_titles(vocabulary=30)
    assert second.schema == third.schema == first.schema
    for data in (second, third):
        jax.tree.map(np.testing.assert_array_equal, data.train.arrays, first.train.arrays)


def test_ngram_perplexities_against_their_definitions():
    generator = np.random.default_rng(0)

    def packed():
        segments = np.repeat(np.array([[1, 1, 1, 2, 2, 0]]), 30, axis=0)
        tokens, targets = generator.integers(0, 7, (2, 30, 6))
        return Packed(tokens, targets, segments)

    train, test = packed(), packed()
    found = _texts.ngram_perplexities(train, test, 7)
    pairs = [(a, b) for a, b, s in zip(*(part.ravel() for part in train)) if s]
    total = collections.Counter(b for _, b in pairs)
    logs = {'unigram perplexity': [], 'bigram perplexity': []}
    for a, b, s in zip(*(part.ravel() for part in test)):
        if not s:
            continue
        unigram = (total[b] + 1) / (len(pairs) + 7)
        after = [y for x, y in pairs if x == a]
        kinds = len(set(after))
        bigram = (after.count(b) + kinds * unigram) / (len(after) + kinds) if after else unigram
        logs['unigram perplexity'].append(math.log(unigram))
        logs['bigram perplexity'].append(math.log(bigram))
    for name, values in logs.items():
        assert found[name] == pytest.approx(math.exp(-np.mean(values)), rel=1e-12)


@pytest.mark.parametrize('vocabulary', [257, 300])
def test_speeches_come_back_from_their_tokens(vocabulary):
    if vocabulary > 257:
        pytest.importorskip('tokenizers')
    data = sotu.sotu(vocabulary=vocabulary, length=16)
    names = data.target.classes
    ids = np.append(data.train.arrays['tokens'].ravel(), data.train.arrays['targets'][-1, -1])
    text = _texts.spelled(names, ids, 'bytes')
    whole = ''.join(speech for place, speech in enumerate(SPEECHES) if place % 20 != 19)
    assert whole.startswith(text.removesuffix('\ufffd'))
    assert len(text) > 0.95 * len(whole)
    assert data.schema['test'] == 'every 20th address'


def test_ids_of_a_text_spell_it():
    data = sotu.sotu(vocabulary=257, length=16)
    text = 'A naïve würd'
    ids = _texts.ids_of(text, data.target.classes, 'bytes')
    assert _texts.spelled(data.target.classes, ids, 'bytes') == text


def workload_of(data):
    return language_model(data=data, model=lstm(embedding=3, hidden=4))


@pytest.mark.long
def test_metrics_are_those_of_the_tokens_alone():
    """Losses, accuracy, perplexity and bits per byte against sums over tokens in float64."""
    data = sotu.sotu(vocabulary=257, length=16)
    workload = workload_of(data)
    params, _ = workload.init(jax.random.key(0))
    places = jnp.arange(5)
    examples = dict(data.test.read(data.test.arrays, places))
    examples['segments'] = examples['segments'].at[1, 9:].set(0)
    logits = np.asarray(workload.predict(params, {}, examples), np.float64)
    losses, hits, sizes = [], [], []
    for row in range(5):
        for t in range(16):
            if examples['segments'][row, t]:
                target = int(examples['targets'][row, t])
                z = logits[row, t]
                losses.append(np.log(np.exp(z - z.max()).sum()) + z.max() - z[target])
                hits.append(z.argmax() == target)
                sizes.append(0 if data.target.classes[target] == '<end>' else 1)
    values = workload.metrics(params, {}, examples)
    for name, expected in (('token_loss', losses), ('accuracy', hits)):
        assert isinstance(values[name], Ratio)
        ratio = values[name].numerator.sum() / values[name].denominator.sum()
        assert float(ratio) == pytest.approx(np.mean(expected), rel=1e-5)
    gathered = workload.set_metrics.outputs(params, {}, examples)
    summary = workload.set_metrics.summary(gathered)
    assert float(summary['perplexity']) == pytest.approx(np.exp(np.mean(losses)), rel=1e-5)
    bits = np.sum(losses) / np.log(2) / np.sum(sizes)
    assert float(summary['bits_per_byte']) == pytest.approx(bits, rel=1e-5)


def test_the_mean_loss_of_the_training_rows_is_the_mean_over_tokens():
    data = debian_titles.debian_titles(vocabulary=30)
    workload = workload_of(data)
    params, _ = workload.init(jax.random.key(0))
    examples = data.train.read(data.train.arrays, jnp.arange(data.train.size))
    values = workload.metrics(params, {}, examples)
    token_loss = values['token_loss'].numerator.sum() / values['token_loss'].denominator.sum()
    assert float(values['loss'].mean()) == pytest.approx(float(token_loss), rel=1e-5)


def test_padding_is_not_trained_on():
    data = debian_titles.debian_titles(vocabulary=30)
    workload = workload_of(data)
    params, _ = workload.init(jax.random.key(0))
    examples = dict(data.train.read(data.train.arrays, jnp.arange(8)))
    is_padding = examples['segments'] == 0
    assert is_padding.any()

    def gradient(examples):
        loss = workload.loss
        return jax.grad(lambda p: loss(p, {}, examples, jax.random.key(0))[0]['loss'].sum())(params)

    other = {**examples, 'targets': jnp.where(is_padding, 7, examples['targets'])}
    jax.tree.map(np.testing.assert_array_equal, gradient(examples), gradient(other))


@pytest.mark.parametrize(
    ('make', 'words'),
    [
        (lambda: debian_titles.debian_titles(length=10), 'rows of 15 positions or more'),
        (lambda: debian_titles.debian_titles(vocabulary=4), 'more than 4 tokens'),
        (lambda: sotu.sotu(vocabulary=256), '257 tokens or more'),
        (lambda: sotu.sotu(length=10**6), 'a row'),
    ],
)
def test_what_cannot_be_is_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()
