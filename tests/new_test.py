"""lbexp.new writes an experiment that runs, and overwrites nothing."""

import pytest
from workdirs import fill

import lbexp
from lbexp import new


def test_what_it_writes_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert new.main(['', 'mine.py']) == 0
    assert '--config=mine.py' in capsys.readouterr().out
    small = {'epochs': 1.0, 'sweep': [], 'num_evaluations': 1, 'num_checkpoints': 0}
    result = lbexp.run('mine.py', small, show=False, figures=())
    assert result.status == 'done' and 'distance' in ' '.join(result.rows.columns)


def test_a_file_that_is_there_stays(tmp_path, capsys):
    path = tmp_path / 'mine.py'
    path.write_text('mine')
    assert new.main(['', str(path)]) == 2
    assert capsys.readouterr().err == f'lbexp: {path}: is there; allowed: a file that is not\n'
    assert path.read_text() == 'mine'


@pytest.mark.parametrize('words', [[], ['mine'], ['a.py', 'b.py'], ['gs://bucket/a.py']])
def test_no_name_of_a_file(tmp_path, monkeypatch, capsys, words):
    monkeypatch.chdir(tmp_path)
    assert new.main(['', *words]) == 2
    assert capsys.readouterr().err.count('\n') == 1 and not list(tmp_path.iterdir())


@pytest.mark.parametrize('words, status', [(['absent/mine.py'], 1), (['--help'], 0)])
def test_the_disk_refuses(tmp_path, monkeypatch, capsys, words, status):
    monkeypatch.chdir(tmp_path)
    assert new.main(['', *words]) == status


def test_a_full_disk_is_told_with_the_file(disk, monkeypatch, capsys):
    fill(disk)
    monkeypatch.chdir(disk)
    assert new.main(['', 'mine.py']) == 1
    assert capsys.readouterr().err == 'lbexp: No space left on device: mine.py\n'
