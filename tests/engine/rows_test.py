"""Rows say where they are and what is exact, wherever they cut the run."""

import pytest
from training import tiny, train

from lbexp.config import lookup

pytestmark = pytest.mark.usefixtures('shared_programs')


def test_rows_say_where_they_are(tmp_path):
    rows = train(tiny(), tmp_path)
    assert [row['step'] for row in rows] == [4, 8, 12, 16, 20, 24]
    assert [row['examples'] for row in rows] == [64, 128, 192, 256, 320, 384]
    assert [row['epoch'] for row in rows] == pytest.approx([0.64, 1.28, 1.92, 2.56, 3.2, 3.84])
    assert ['test_loss' in row for row in rows] == [False, True] * 3


def test_segments_do_not_matter(tmp_path):
    """The same last row, however many rows, evaluations and checkpoints cut the run."""
    coarse = train(tiny(num_rows=1, num_evaluations=1, num_checkpoints=0), tmp_path / 'coarse')[-1]
    fine = train(tiny(num_rows=24, num_evaluations=24, num_checkpoints=6), tmp_path / 'fine')[-1]
    means = ('loss', 'learning_rate')  # over the rows' own intervals
    assert {k: v for k, v in coarse.items() if k not in means} == {
        k: v for k, v in fine.items() if k not in means
    }


@pytest.mark.parametrize(
    'name', [pytest.param('linear_regression', marks=pytest.mark.slow), 'digits_mlp']
)
def test_evaluation_is_exact(tmp_path, monkeypatch, name):
    """Means over the whole test set, whatever the chunk: 100 and 360 examples are no multiple of
    any chunk used."""
    config = tiny(workload=dict(name=name), num_rows=1, num_evaluations=1)
    row = train(config, tmp_path)[-1]
    monkeypatch.setattr('lbexp.engine.evaluation_chunk._EXAMPLES', 7)
    config.num_rows = 2  # another cohort: a program of its own
    other = train(config, tmp_path / 'other')[-1]
    assert other['test_loss'] == pytest.approx(row['test_loss'], rel=1e-6)
    if 'test_accuracy' in row:
        count = lookup.build('workload', dict(name=name)).test.size
        assert row['test_accuracy'] * count == pytest.approx(
            round(row['test_accuracy'] * count), abs=1e-3
        )
