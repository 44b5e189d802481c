"""The walk of `config` from the command to the first row grows no longer, and no wider."""

import re
import subprocess
import sys

import pytest
from jobs import ROOT

ROOMS = 16  # files of lbexp in which a function is called with it
CLIMBS = 40  # calls of such a function from another file
RETURNS = 36  # of those that return something


@pytest.mark.long
@pytest.mark.processes
def test_config_passes_through_no_more_files_than_it_did(tmp_path):
    done = subprocess.run(
        [sys.executable, f'{ROOT}/scripts/walk.py'],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    rooms, climbs, returns = map(int, re.findall(r'\d+', done.stdout.splitlines()[-1]))
    assert 'engine/components.py' in done.stdout and climbs >= returns
    assert rooms <= ROOMS and climbs <= CLIMBS and returns <= RETURNS
