"""A file of tokens, read while training goes on."""

import functools
import json

import numpy as np
import pytest
from training import tiny, train

import lbexp
from lbexp import generate
from lbexp.config import lookup
from lbexp.datasets.token_file import token_file
from lbexp.workloads import language_model

LENGTH, VOCABULARY = 8, 11


@pytest.fixture(scope='module')
def file(tmp_path_factory):
    """1,000 tokens: 124 rows of 8, of which 100 train."""
    path = tmp_path_factory.mktemp('tokens') / 'tokens.npy'
    np.save(path, np.random.default_rng(0).integers(VOCABULARY, size=1000).astype(np.uint16))
    return str(path)


def workload(file, **fields):
    data = dict(name='token_file', path=file, vocabulary=VOCABULARY, length=LENGTH, test=24)
    model = dict(name='transformer', width=8, blocks=1, heads=2)
    return dict(name='language_model', data={**data, **fields}, model=model)


def config(file, **fields):
    """Two epochs and a half."""
    return tiny(workload=workload(file, **fields), steps=25, batch_size=10, num_rows=5)


def drawn(data, count):
    positions = np.arange(count, dtype=np.uint32)
    arrays = data.train.arrays if data.train.feed is None else data.train.feed(3, 0, count)
    return data.train.draw(arrays, np.uint32(3), positions)


def test_a_row_is_a_piece_of_the_file_and_its_target_the_token_after_it(file):
    ids = np.load(file)
    data = token_file(file, VOCABULARY, LENGTH, test=20, validation=4)
    assert (data.train.size, data.validation.size, data.test.size) == (100, 4, 20)
    rows = drawn(data, 100)
    pieces = ids[:800].reshape(100, 8)
    assert sorted(rows['tokens'].tolist()) == sorted(pieces.tolist())
    for tokens, targets in zip(rows['tokens'].tolist(), rows['targets'].tolist(), strict=True):
        place = pieces.tolist().index(tokens)
        assert targets == ids[8 * place + 1 : 8 * place + 9].tolist()
    for source, first in ((data.validation, 100), (data.test, 104)):
        held = source.read(source.arrays, np.arange(source.size))
        last = first + source.size
        np.testing.assert_array_equal(held['tokens'].ravel(), ids[8 * first : 8 * last])
        np.testing.assert_array_equal(held['targets'].ravel(), ids[8 * first + 1 : 8 * last + 1])


def test_a_raw_file_is_the_same(file, tmp_path):
    raw = tmp_path / 'tokens.bin'
    np.load(file).astype('<u2').tofile(raw)
    of_array, of_raw = (token_file(str(path), VOCABULARY, LENGTH, 24) for path in (file, raw))
    for name, values in drawn(of_array, 30).items():
        np.testing.assert_array_equal(values, drawn(of_raw, 30)[name])


def test_what_is_trained_is_that_of_a_set_in_memory(file, tmp_path):
    """To the bit, also where the run was stopped and went on after each row."""
    held = train(config(file, streamed=False), tmp_path / 'held')
    assert train(config(file), tmp_path / 'streamed') == held
    status = tmp_path / 'cut' / 'status.json'
    rows = []
    while not status.exists() or json.loads(status.read_text())['status'] != 'done':
        left = iter([False, True])
        rows = train(
            config(file), tmp_path / 'cut', should_stop=functools.partial(next, left, True)
        )
    assert rows == held and len(held) == 5


def test_numbers_are_written(file, tmp_path, capsys):
    lbexp.run(config(file), workdir=tmp_path / 'run', show=False)
    command = ['generate', f'--workdir={tmp_path / "run"}', '--tokens=4']
    assert generate.main([*command, '--prompt=3 10']) == 0
    output = capsys.readouterr()
    text = list(map(int, output.out.split()))
    assert text[:2] == [3, 10] and len(text) == 6 and max(text) < VOCABULARY
    assert 'training set' not in output.err
    assert generate.main([*command, '--prompt=3 11']) == 2
    assert "prompt: found '11'; allowed: tokens, 0 .. 10" in capsys.readouterr().err


@pytest.mark.parametrize(
    'name, values, words',
    [
        ('none.npy', None, 'path: found no file'),
        ('few.npy', np.zeros(200, np.int32), 'path: found 200 tokens'),
        ('floats.npy', np.zeros(2000), r'path: found float64 \(2000,\)'),
        ('square.npy', np.zeros((50, 50), int), r'path: found int64 \(50, 50\)'),
        ('text.npy', b'tokens', 'path: found no array'),
        ('odd.bin', b'123', 'path: found an odd number of bytes'),
        ('large.npy', np.full(2000, 11), 'vocabulary: found token 11'),
        ('negative.npy', np.full(2000, -1), 'vocabulary: found token -1'),
    ],
)
def test_another_file_is_refused(tmp_path, name, values, words):
    path = tmp_path / name
    if isinstance(values, bytes):
        path.write_bytes(values)
    elif values is not None:
        np.save(path, values)
    with pytest.raises(ValueError, match=words):
        token_file(str(path), VOCABULARY, LENGTH, 24)


def test_a_token_outside_the_vocabulary_is_told_when_its_row_is_read(tmp_path):
    ids = np.zeros(1000, np.int32)
    ids[17] = 300
    path = tmp_path / 'tokens.npy'
    np.save(path, ids)
    data = token_file(str(path), VOCABULARY, LENGTH, 24)
    with pytest.raises(ValueError, match=r'found token 300 in .*tokens.npy; allowed: 0 .. 10'):
        drawn(data, 100)


def test_a_stream_says_how_many_tokens_it_has(file):
    data = token_file(file, VOCABULARY, LENGTH, 24)
    model = lookup.build('model', dict(name='transformer', width=8, blocks=1, heads=2))
    with pytest.raises(ValueError, match='whose schema has no number of tokens'):
        language_model.language_model(data._replace(schema={}), model)
