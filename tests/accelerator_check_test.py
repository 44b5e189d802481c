"""The script for a machine with an accelerator, on a CPU: stages of their own, whatever becomes of
one."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

pytestmark = pytest.mark.processes

ROOT = pathlib.Path(__file__).parent.parent
SCRIPT = ROOT / 'scripts' / 'accelerator_check.py'


def check(out, *arguments, **environment):
    command = [sys.executable, str(SCRIPT), f'--out={out}', '--quick', *arguments]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True)


def rows(out):
    return [json.loads(line) for line in (out / 'results.jsonl').read_text().splitlines()]


@pytest.mark.long
def test_stages_are_measured_and_told(tmp_path):
    done = check(tmp_path, '--stages=environment,peaks')
    assert done.returncode == 0, done.stderr
    values = {(row['stage'], row['metric']): row['value'] for row in rows(tmp_path)}
    assert values['environment', 'backend'] == 'cpu'
    assert values['peaks', 'copy'] > 0 and values['peaks', 'matmul float32'] > 0
    summary = (tmp_path / 'summary.md').read_text()
    assert '## peaks' in summary and '--stages=environment,peaks' in summary


def test_a_stage_that_fails_or_has_no_time_stops_no_other(tmp_path):
    """Of two stages the first cannot start JAX; for a third no time is left."""
    done = check(tmp_path, '--stages=peaks,environment', JAX_PLATFORMS='no_such_platform')
    assert done.returncode == 1
    errors = [row for row in rows(tmp_path) if 'error' in row]
    assert any(row['stage'] == 'peaks' and 'no_such_platform' in row['error'] for row in errors)
    told = {row['metric'] for row in rows(tmp_path) if row['stage'] == 'environment'}
    assert 'jax' in told
    done = check(tmp_path, '--stages=peaks', '--limit=5')
    assert done.returncode == 1
    assert 'not started' in rows(tmp_path)[0]['error']


def test_packed_data_is_what_was_packed(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    from accelerator import packed_data

    from lbexp.data.load import load
    from lbexp.data.prepared import complete

    monkeypatch.setattr(packed_data, '_NAMES', ('digits',))
    before = {split: load('digits', split) for split in ('train', 'test')}
    assert packed_data.pack(tmp_path / 'data.tar.xz') == 0
    folder = packed_data.ready(tmp_path / 'data.tar.xz', tmp_path / 'unpacked')
    monkeypatch.setenv('TFDS_DATA_DIR', str(folder))
    assert complete('digits').is_relative_to(tmp_path)
    for split, arrays in before.items():
        for key, values in load('digits', split).items():
            np.testing.assert_array_equal(values, arrays[key])


@pytest.mark.slow
def test_every_stage_measures_on_a_cpu(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    import accelerator_check

    check(tmp_path)
    stages = {row['stage'] for row in rows(tmp_path) if 'error' not in row}
    assert stages == accelerator_check.STAGES.keys()
    errors = [row for row in rows(tmp_path) if 'error' in row]
    # Fashion-MNIST and the State of the Union may be absent
    assert {row['stage'] for row in errors} <= {'training', 'networks'}
    assert all('not prepared' in row['error'] for row in errors)
