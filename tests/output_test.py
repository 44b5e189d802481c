"""A command whose output nobody reads any more: the run is not lost."""

import json
import os
import subprocess
import sys

import pytest
from jobs import ROOT, environment
from reports import sweep

pytestmark = pytest.mark.processes

EXPERIMENT = """
from lbexp import config
def get_config():
    c = config.base()
    c.workload = dict(name='noisy_quadratic')
    c.steps, c.num_rows, c.num_evaluations, c.num_checkpoints = 40, 4, 1, 1
    return c
"""


def start(*arguments, **streams):
    command = [sys.executable, '-m', *map(str, arguments)]
    return subprocess.Popen(command, env=environment(), cwd=ROOT, text=True, **streams)


def test_a_run_outlives_the_reader_of_its_output(tmp_path):
    (tmp_path / 'e.py').write_text(EXPERIMENT)
    arguments = ['lbexp.main', f'--config={tmp_path / "e.py"}', f'--workdir={tmp_path / "w"}']
    process = start(*arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    told = process.communicate(timeout=300)[1]
    assert process.returncode == 0, told
    assert (
        told.count('standard output: Broken pipe; the command goes on without it') == 1
        and 'Error' not in told
    )
    assert (tmp_path / 'w' / 'report.html').exists()
    assert json.loads((tmp_path / 'w' / 'status.json').read_text())['status'] == 'done'


def test_results_end_quietly_with_their_reader(tmp_path):
    workdir = sweep(tmp_path / 'w', rates=(0.1,) * 8, seeds=8, steps=100)
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    for form in ('--csv', '--sql=select * from rows'):
        process = start('lbexp.results', workdir, '--sql=select * from rows', form, **pipes)
        process.stdout.close()
        assert process.communicate(timeout=300)[1] == ''


def test_a_full_disk_behind_standard_output_ends_nothing():
    code = (
        'from lbexp.output import outlive_readers; outlive_readers(); print("x" * 9999, '
        'flush=True); print("y")'
    )
    with open('/dev/full', 'w') as full:
        done = subprocess.run(
            [sys.executable, '-c', code], stdout=full, stderr=subprocess.PIPE, text=True, cwd=ROOT
        )
    assert done.returncode == 0 and done.stderr.count('\n') == 1 and 'No space left' in done.stderr
    reader, writer = os.pipe()
    os.close(reader)
    silent = subprocess.run([sys.executable, '-c', code], stdout=writer, stderr=writer, cwd=ROOT)
    os.close(writer)
    assert silent.returncode == 0
