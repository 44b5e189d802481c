"""Rows that are gone or altered are missed: no report stands on half a curve."""

import pytest
from training import rows, train
from workdirs import LOSABLE, copy

from lbexp.errors import Damaged

pytestmark = [
    pytest.mark.usefixtures('collected', 'shared_programs'),
    pytest.mark.filterwarnings('ignore::pytest.PytestUnraisableExceptionWarning'),
]


def drop(*places):
    """Without the rows at these places."""

    def lose(file):
        lines = file.read_bytes().splitlines(keepends=True)
        file.write_bytes(b''.join(line for place, line in enumerate(lines) if place not in places))

    return lose


def cut(file):
    file.write_bytes(file.read_bytes()[:-30])


def alter(file):
    file.write_bytes(file.read_bytes().replace(b'"epoch": 0.', b'"epoch": 1.', 1))


def empty(file):
    file.write_bytes(b'')


def delete(file):
    file.unlink()


ROWS = {
    'deleted': delete,
    'emptied': empty,
    'first': drop(0),
    'middle': drop(3),
    'last': drop(7),
    'altered': alter,
}


@pytest.mark.parametrize('lose', ROWS.values(), ids=ROWS)
def test_rows_that_are_lost_are_missed_when_a_run_goes_on(stopped, whole, tmp_path, lose):
    workdir = copy(stopped, tmp_path)
    lose(workdir / 'metrics.jsonl')
    left = (
        (workdir / 'metrics.jsonl').read_bytes() if (workdir / 'metrics.jsonl').exists() else None
    )
    with pytest.raises(Damaged, match=r'metrics\.jsonl: rows are lost .*--restart_lost'):
        train(LOSABLE, workdir)
    assert left is None or (workdir / 'metrics.jsonl').read_bytes() == left
    assert train(LOSABLE, workdir, restart_lost=True) == rows(whole)


def test_a_restart_that_is_stopped_goes_on_as_any_run(stopped, whole, tmp_path):
    """Its checkpoints are new: those from before it would want the rows that are lost."""
    workdir = copy(stopped, tmp_path)
    delete(workdir / 'metrics.jsonl')
    left = iter([False])
    train(LOSABLE, workdir, restart_lost=True, should_stop=lambda: next(left, True))
    assert train(LOSABLE, workdir) == rows(whole)


@pytest.mark.parametrize('lose', [*ROWS.values(), cut], ids=[*ROWS, 'cut'])
def test_rows_that_are_lost_are_missed_when_all_is_done(whole, tmp_path, lose):
    workdir = copy(whole, tmp_path)
    lose(workdir / 'metrics.jsonl')
    with pytest.raises(Damaged, match=r'metrics\.jsonl: rows are lost'):
        train(LOSABLE, workdir)
    assert train(LOSABLE, workdir, restart_lost=True) == rows(whole)


@pytest.mark.parametrize(
    'lose', [delete, empty, drop(0), alter], ids=['deleted', 'emptied', 'first', 'altered']
)
def test_rows_that_are_lost_while_it_runs(tmp_path, lose):
    def watch(progress):
        if progress.step == 40:  # of both trials together
            lose(tmp_path / 'run' / 'metrics.jsonl')

    with pytest.raises(Damaged, match=r'metrics\.jsonl'):
        train(LOSABLE, tmp_path / 'run', on_progress=watch)
