"""A disk that is full when the report is written: the file is named, nothing half is left, and the
same call works."""

import pytest
from reports import sweep
from workdirs import fill

from lbexp import command
from lbexp.analysis import Analysis, Claim, Table

ANALYSIS = Analysis('t', 'v', [Table('t', ['a'], [[1]])], [], None, [Claim('c', 'm', 'reproduced')])


@pytest.mark.long
@pytest.mark.parametrize('leave', [0, 4096, 60_000, 300_000])
def test_the_report(disk, leave, capsys):
    workdir = sweep(disk / 'w', rates=(0.1,), seeds=1, steps=3)
    fill(disk, leave)
    with pytest.raises(OSError) as error:
        command.report(ANALYSIS, workdir)
    assert str(error.value.filename).startswith(str(workdir)) and error.value.errno == 28
    assert command.tell(error.value) == 1
    told = capsys.readouterr().err
    assert told.count('\n') == 1 and error.value.filename in told
    assert not list(disk.rglob('*.part'))
