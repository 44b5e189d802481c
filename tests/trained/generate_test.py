"""Texts of a trained language model: drawn by seed and position, copies told, refusals."""

import numpy as np
import pytest
from networks import one_line, trained
from prepared_texts import prepared
from training import tiny

import lbexp
from lbexp import generate
from lbexp.config import lookup
from lbexp.datasets import debian_titles
from lbexp.errors import Refusal
from lbexp.trained import predictions

VERBS, NOUNS = ('reads', 'plays', 'draws', 'sorts'), ('mail', 'chess', 'go', 'maps', 'text')
TITLES = [f'{verb} {noun} daily' for verb in VERBS for noun in NOUNS]
MODEL = dict(name='titles_lstm', vocabulary=20, embedding=16, hidden=16, dropout=None)


@pytest.fixture(scope='module')
def titles(tmp_path_factory):
    """A workdir whose model knows its few titles by heart."""
    folder = tmp_path_factory.mktemp('titles')
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('TFDS_DATA_DIR', str(folder))
        debian_titles._copied.cache_clear()
        rows = [(title, 'misc') for title in TITLES]
        prepared(folder, 'debian_titles', rows, 'title text, section text')
        optimizer = dict(name='adamw', learning_rate=0.02, weight_decay=0.0)
        config = tiny(workload=MODEL, optimizer=optimizer, steps=150, batch_size=2)
        yield trained(config, folder / 'run')
    debian_titles._copied.cache_clear()


def written(capsys, workdir, *flags):
    """Texts, and what is said of them."""
    assert generate.main(['', f'--workdir={workdir}', *flags]) == 0
    output = capsys.readouterr()
    return output.out.splitlines(), output.err


def test_texts_are_a_function_of_seed_and_number(titles, capsys):
    three, _ = written(capsys, titles, '--samples=3', '--seed=5')
    assert written(capsys, titles, '--samples=3', '--seed=5')[0] == three
    assert written(capsys, titles, '--samples=2', '--seed=5')[0] == three[:2]
    others = written(capsys, titles, '--samples=8', '--seed=6')[0]
    assert len(set(others)) > 1


def test_the_most_probable_token_is_the_top_one_and_that_at_no_temperature(titles, capsys):
    cold, _ = written(capsys, titles, '--temperature=0', '--prompt=plays chess')
    assert written(capsys, titles, '--top_k=1', '--prompt=plays chess')[0] == cold
    assert cold == ['plays chess daily']


def test_copies_of_training_titles_are_told(titles, capsys):
    _, said = written(capsys, titles, '--temperature=0', '--samples=2')
    assert said.startswith('2 of 2 are texts of the training set, distinct-2 ')
    _, said = written(capsys, titles, '--temperature=0', '--tokens=1')
    assert said.startswith('0 of 1 are texts')


def test_marks_are_never_written_and_unknown_words_are(titles, capsys):
    texts, _ = written(capsys, titles, '--samples=5', '--prompt=xyzzy', '--temperature=3')
    for text in texts:
        assert text.startswith('<unknown>')
        assert not {'<pad>', '<begin>', '<end>'} & set(text.split())


def test_what_is_wrong_is_one_line(titles, tmp_path, capsys):
    for flag in ('--temperature=-1', '--top_k=-1', '--samples=0', '--trial=3', '--prmpt=a'):
        assert generate.main(['', f'--workdir={titles}', flag]) == 2
        one_line(capsys)
    other = trained(tiny(), tmp_path / 'other')
    assert generate.main(['', f'--workdir={other}']) == 2
    assert 'linear_regression: it writes no texts' in one_line(capsys)


@pytest.mark.parametrize('wrong', [-1, 14])
def test_ids_outside_the_vocabulary_are_refused(titles, wrong):
    """An embedding would be read beyond its end."""
    trial = lbexp.open(titles).trial(0)
    arrays = lookup.build('workload', trial.config['workload']).train.arrays
    examples = {name: np.array(values[:3]) for name, values in arrays.items()}
    assert np.isfinite(trial.predict(examples)).all()
    examples['tokens'][1, 2] = wrong
    for give, what in ((trial.predict, 'inputs'), (trial.evaluate, 'data')):
        words = rf'{what}: tokens: found id {wrong}; allowed: 0 \.\. 13, the vocabulary'
        with pytest.raises(Refusal, match=words):
            give(examples)


def test_the_report_shows_what_the_model_writes(titles, tmp_path, capsys):
    run = lbexp.open(titles)
    kept = predictions.keep(run)
    drawn, _ = written(capsys, titles, '--samples=12', '--tokens=60')
    assert kept.texts == drawn and not kept.confusion
