"""Pairs of texts as data: marks, kinds, what is cut, labels and splits; and the task that hides."""

import collections
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from prepared_texts import prepared

from lbexp.data.source import memory
from lbexp.datasets import clothing_reviews as module
from lbexp.datasets._wordpiece import MARKS, encoded_pairs, names_of, word_pieces
from lbexp.datasets.clothing_reviews import clothing_reviews
from lbexp.models.encoder import encoder
from lbexp.models.transformer import transformer
from lbexp.workloads.binary import binary
from lbexp.workloads.masked_language_model import masked_language_model

pytest.importorskip('tokenizers')

SENTENCE = 'soft warm nice long short red blue green wool silk coat dress skirt shirt scarf'
WORDS = SENTENCE.split()
COLUMNS = 'title text, review text, rating int, recommended int, department text, clothing int'
SIZES = dict(vocabulary=90, length=16)


def reviews():
    """200 of them: each seventh not recommended, each fifth rated otherwise."""
    generator = np.random.default_rng(0)
    rows = []
    for i in range(200):
        text = ' '.join(generator.choice(WORDS, 20))
        recommended = int(i % 7 != 0)
        rating = 5 if (recommended == 1) != (i % 5 == 0) else 3
        title = '' if i == 3 else ' '.join(generator.choice(WORDS, 2))
        rows.append((title, 'Soft' if i == 4 else text, rating, recommended, 'Tops', i))
    # nearly another review: it begins alike
    return [*rows, ('copy', f'{rows[9][1]}!! wool', 5, 1, 'Tops', 200)]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path))
    prepared(tmp_path, 'clothing_reviews', reviews(), COLUMNS)
    module._copied.cache_clear()
    return tmp_path


def spelled(names, ids):
    return ' '.join(names[i] for i in ids).replace(' ##', '')


def test_pairs_have_marks_and_kinds_and_lose_the_end_of_the_second_text():
    tokenizer = word_pieces([f'{SENTENCE} sep'] * 3, 200)
    names = names_of(tokenizer)
    assert names[:5] == MARKS
    pairs = [
        ('Nice coat', 'soft warm wool'),
        ('', 'silk'),
        ('red', ''),
        ('', ''),
        ('red', '[SEP] é'),
    ]
    tokens, kinds = encoded_pairs(tokenizer, pairs, 7)
    assert [spelled(names, row) for row in tokens] == [
        '[CLS] nice coat [SEP] soft warm [SEP]',
        '[CLS] [SEP] silk [SEP] [PAD] [PAD] [PAD]',
        '[CLS] red [SEP] [SEP] [PAD] [PAD] [PAD]',
        '[CLS] [SEP] [SEP] [PAD] [PAD] [PAD] [PAD]',
        # a mark in a text is text; brackets are not in the vocabulary
        '[CLS] red [SEP] [UNK] sep [UNK] [SEP]',
    ]
    assert kinds[0].tolist() == [0, 0, 0, 0, 1, 1, 1]
    assert kinds[1].tolist() == [0, 0, 1, 1, 0, 0, 0]
    with pytest.raises(ValueError, match='found 4 with a first text of 2 pieces'):
        encoded_pairs(tokenizer, [('nice coat', 'x')], 4)


def test_the_vocabulary_is_the_same_each_time():
    texts = [row[1] for row in reviews()]
    assert names_of(word_pieces(texts, 70)) == names_of(word_pieces(texts, 70))


def test_the_test_set_shares_no_text_and_has_the_share_of_each_label():
    data = clothing_reviews(**SIZES)
    assert data.train.size + data.test.size == 200  # without the one that begins as another
    rows = [set(map(bytes, source.arrays['tokens'])) for source in (data.train, data.test)]
    assert not rows[0] & rows[1]
    shares = [1 - source.arrays['label'].mean() for source in (data.train, data.test)]
    assert shares == pytest.approx([29 / 200] * 2, abs=0.01)


def test_each_review_is_in_one_fold_with_the_share_of_each_label():
    sizes, shares, seen = [], [], []
    for fold in range(4):
        data = clothing_reviews(fold=fold, folds=4, **SIZES)
        assert data.schema['test'] == f'fold {fold} of 4'
        sizes.append(data.test.size)
        shares.append(1 - data.test.arrays['label'].mean())
        rows = [set(map(bytes, source.arrays['tokens'])) for source in (data.train, data.test)]
        assert not rows[0] & rows[1]
        seen.append(data.test.arrays['rating'])
    assert sizes == [50] * 4 and shares == pytest.approx([29 / 200] * 4, abs=0.02)
    ratings = [row[2] for row in reviews()[:200]]
    assert sorted(np.concatenate(seen).tolist()) == sorted(ratings)
    with pytest.raises(ValueError, match=r'fold: found 4; allowed: 0 .. 3 of 4 folds'):
        clothing_reviews(fold=4, folds=4, **SIZES)


def test_training_labels_are_of_two_qualities_and_test_labels_of_one():
    clean, noisy = clothing_reviews(**SIZES), clothing_reviews('rating', **SIZES)
    np.testing.assert_array_equal(clean.test.arrays['label'], noisy.test.arrays['label'])
    arrays = noisy.train.arrays
    np.testing.assert_array_equal(arrays['label'], arrays['rating'] >= 4)
    agreement = (arrays['label'] == clean.train.arrays['label']).mean()
    assert agreement == pytest.approx(0.8, abs=0.05)


def test_a_smaller_training_set_is_a_part_of_a_larger_one():
    rows = []
    for size in (20, 50):
        data = clothing_reviews(size=size, **SIZES)
        assert data.train.size == size
        rows.append(set(map(bytes, data.train.arrays['tokens'])))
    assert rows[0] <= rows[1]


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match='more than 5 pieces'):
        clothing_reviews(vocabulary=5)
    with pytest.raises(ValueError, match=r'size: found 1000; allowed: 1 \.\. 160'):
        clothing_reviews(size=1000, **SIZES)
    data = clothing_reviews('tokens', **SIZES)
    with pytest.raises(ValueError, match="found 'label', a class, with masked_language_model"):
        masked_language_model(clothing_reviews(**SIZES), encoder())
    with pytest.raises(ValueError, match=r"transformer: found .*allowed: 'tokens' and 'segments'"):
        masked_language_model(data, transformer())
    beyond = {**data.train.arrays, 'tokens': data.train.arrays['tokens'] + 90}
    with pytest.raises(ValueError, match=r'train: tokens: found id .* the vocabulary'):
        masked_language_model(data._replace(train=memory(beyond)), encoder())


def pairs_of(rows):
    """(token before, token) of each that is no mark."""
    pairs = []
    for row in rows.tolist():
        pairs += [(a, b) for a, b in itertools.pairwise(row) if b >= len(MARKS)]
    return pairs


def test_what_a_unigram_and_a_bigram_reach_is_by_their_definitions():
    data = clothing_reviews('tokens', **SIZES)
    train, test = (pairs_of(part.arrays['tokens']) for part in (data.train, data.test))
    count, kinds = collections.Counter(b for _, b in train), len(data.target.classes)
    of_pair, of_before = collections.Counter(train), collections.Counter(a for a, _ in train)
    after = collections.Counter(a for a, _ in of_pair)  # different tokens after each
    unigram, bigram = [], []
    for a, b in test:
        # no mark is told from others: the unigram of those that may be hidden, or of all
        unigram.append(-math.log((count[b] + 1) / (len(train) + kinds - len(MARKS))))
        p = (count[b] + 1) / (len(train) + kinds)
        if of_before[a]:
            p = (of_pair[a, b] + after[a] * p) / (of_before[a] + after[a])
        bigram.append(-math.log(p))
    references = data.schema['references']
    assert references['unigram token_loss'] == pytest.approx(np.mean(unigram), rel=1e-9)
    assert references['bigram token_loss'] == pytest.approx(np.mean(bigram), rel=1e-9)


def grown(part):
    """Parameters whose outputs depend on what is read."""
    params, _ = part.init(jax.random.key(0))
    return jax.tree.map(lambda leaf: leaf * 10, params)


@pytest.fixture
def hiding_task():
    data = clothing_reviews('tokens', **SIZES)
    return masked_language_model(data, encoder(width=8, heads=2))


@pytest.mark.long
def test_losses_are_of_the_hidden_tokens_alone(hiding_task):
    params = grown(hiding_task)
    examples = dict(hiding_task.test.read(hiding_task.test.arrays, jnp.arange(40)))
    logits = np.asarray(hiding_task.predict(params, {}, examples), np.float64)
    losses = []
    for row, slot in zip(*np.nonzero(examples['hidden'])):
        z = logits[row, slot]
        losses.append(
            np.log(np.exp(z - z.max()).sum()) + z.max() - z[examples['targets'][row, slot]]
        )
    values = hiding_task.metrics(params, {}, examples)
    ratio = values['token_loss'].numerator.sum() / values['token_loss'].denominator.sum()
    assert float(ratio) == pytest.approx(np.mean(losses), rel=1e-5)
    gathered = hiding_task.set_metrics.outputs(params, {}, examples)
    found = hiding_task.set_metrics.summary(gathered)['perplexity']
    assert float(found) == pytest.approx(np.exp(np.mean(losses)), rel=1e-4)
    # the rows that have fewer: what stands in their other slots changes nothing
    is_spare = examples['hidden'] == 0
    assert is_spare.any()
    other = {**examples, 'targets': jnp.where(is_spare, 7, examples['targets'])}
    np.testing.assert_array_equal(hiding_task.metrics(params, {}, other)['loss'], values['loss'])


@pytest.mark.long
def test_the_loss_of_the_training_rows_is_the_mean_over_hidden_tokens(hiding_task):
    params = grown(hiding_task)
    places = jnp.arange(hiding_task.train.size)
    examples = hiding_task.train.read(hiding_task.train.arrays, places)
    values = hiding_task.metrics(params, {}, examples)
    ratio = values['token_loss'].numerator.sum() / values['token_loss'].denominator.sum()
    assert float(values['loss'].mean()) == pytest.approx(float(ratio), rel=1e-5)


@pytest.mark.long
def test_the_order_of_a_batch_and_what_stands_on_padding_change_nothing(hiding_task):
    task = binary(clothing_reviews(**SIZES), encoder(width=8, heads=2))
    for part in (task, hiding_task):
        params, source = grown(part), part.train
        rows = np.flatnonzero((source.arrays['segments'] == 0).any(1))
        places = jnp.asarray([*rows[:2], *range(6)])
        examples = dict(source.read(source.arrays, places))
        outputs = np.asarray(part.predict(params, {}, examples))
        backwards = jax.tree.map(lambda values: values[::-1], examples)
        np.testing.assert_allclose(
            np.asarray(part.predict(params, {}, backwards))[::-1], outputs, rtol=1e-4, atol=1e-4
        )
        is_padding = examples['segments'] == 0
        assert is_padding.any()
        tokens = jnp.where(is_padding, 9, examples['tokens'])
        other = part.predict(params, {}, {**examples, 'tokens': tokens})
        real = np.asarray(examples['hidden']) > 0 if 'hidden' in examples else slice(None)
        np.testing.assert_array_equal(np.asarray(other)[real], outputs[real])
        # while the kinds do change something
        kinds = part.predict(params, {}, {**examples, 'kinds': 1 - examples['kinds']})
        assert (np.asarray(kinds) != outputs).any()


def test_a_classifier_can_begin_with_the_trunk_of_the_other(hiding_task):
    task = binary(clothing_reviews(**SIZES), encoder(width=8, heads=2))
    shapes = []
    for part in (task, hiding_task):
        params, _ = jax.eval_shape(part.init, jax.random.key(0))
        shapes.append(params['trunk'])
    assert shapes[0] == shapes[1]
