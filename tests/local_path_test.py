"""Paths as users write them: home folders, URLs, and homes that are not there."""

import pathlib

import pytest

from lbexp import command, workdirs
from lbexp.errors import Refusal
from lbexp.local_path import local_path
from lbexp.sweep.__main__ import main as sweep_main

EXPERIMENT = 'from lbexp import config\n\n\ndef get_config():\n    return config.base()\n'


def test_the_home_folder(monkeypatch):
    monkeypatch.setenv('HOME', '/home/me')
    assert local_path('~/runs/a', '--workdir') == pathlib.Path('/home/me/runs/a')
    assert local_path('runs/~/[a]', '--workdir') == pathlib.Path('runs/~/[a]')
    assert local_path('a:b/c', '--workdir') == pathlib.Path('a:b/c')


@pytest.mark.parametrize(
    'text', ['gs://bucket/run', 's3://bucket', 'file:///tmp/x', 'https://host/x', 'gs:/bucket']
)
def test_a_url_is_refused_by_its_flag(text):
    with pytest.raises(Refusal, match=f"--workdir: found '{text}'; allowed:"):
        local_path(text, '--workdir')


@pytest.mark.parametrize('text', ['~nobody-of-this-name/x', 'a\0b'])
def test_what_no_path_is_is_refused(text):
    with pytest.raises(Refusal, match=r'--from: found .*allowed: a path'):
        local_path(text, '--from')


def test_no_home_at_all(monkeypatch):
    monkeypatch.delenv('HOME', raising=False)
    monkeypatch.setattr('os.getuid', lambda: 4_000_000_000)  # of whom the system knows nothing
    with pytest.raises(Refusal, match='allowed: a path, without ~'):
        local_path('~/x', '--workdir')


def test_every_command_takes_them_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv('HOME', str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'e.py').write_text(EXPERIMENT)
    flags = command.own_flags()
    command.parse(flags, ['', '--config=~/e.py', '--workdir=~/runs/x'])
    _, problems = command.read(flags, [])
    assert not problems and workdirs.chosen_workdir(flags.workdir) == tmp_path / 'runs' / 'x'
    before = set(tmp_path.iterdir())
    for word in ('status', 'report'):
        assert sweep_main(['', '--workdir=gs://bucket/run', word]) == 2
        told = capsys.readouterr().err
        assert told.count('\n') == 1 and "--workdir: found 'gs://bucket/run'" in told
    assert set(tmp_path.iterdir()) == before
