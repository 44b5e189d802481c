"""The long reproductions: experiments as a user runs them, cold, with what their docstrings expect.
pytest -m slow"""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from lbexp import results

ROOT = pathlib.Path(__file__).parents[2]
DEBIAN = pathlib.Path('/usr/share/datasets/fashion-mnist')
pytestmark = [pytest.mark.slow, pytest.mark.processes]


def run(tmp_path, experiment, data=None):
    """The command, with an empty compilation cache. Returns the workdir and what was printed."""
    workdir = tmp_path / 'run'
    command = [
        sys.executable,
        '-m',
        'lbexp.main',
        f'--config=experiments/{experiment}',
        f'--workdir={workdir}',
    ]
    given = {
        'XDG_CACHE_HOME': str(tmp_path / 'cache'),
        **({'TFDS_DATA_DIR': str(data)} if data else {}),
    }
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **given}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return workdir, done.stdout


@pytest.mark.parametrize('name', ['lamb', 'momentum', 'adamw'])
def test_digits(tmp_path, name):
    workdir, printed = run(tmp_path, f'{name}.py')
    assert results.final(workdir)['test_accuracy'][0] >= 0.96
    assert 'report:' in printed and (workdir / 'report.html').stat().st_size > 1e6


def test_lamb_on_fashion_mnist(tmp_path):
    if not DEBIAN.is_dir():
        pytest.skip('apt-get install dataset-fashion-mnist')
    prepare = [sys.executable, '-m', 'lbexp.data.prepare', 'fashion_mnist', f'--from={DEBIAN}']
    subprocess.run(
        [*prepare, f'--data_dir={tmp_path}/data'], cwd=ROOT, check=True, capture_output=True
    )
    workdir, _ = run(tmp_path, 'lamb.py:fashion_mnist', tmp_path / 'data')
    assert results.final(workdir)['test_accuracy'][0] >= 0.87


def test_steady_state(tmp_path):
    """Every variance within four standard errors of its closed form, and the errors small enough to
    say so."""
    from lbexp.studies import steady_state as steady
    from lbexp.studies._noisy_quadratic.steady_state import grid_cases

    workdir, printed = run(tmp_path, 'steady_state.py')
    study = json.loads((workdir / 'config.json').read_text())['config']['study']
    grid = {key: value for key, value in study.items() if key not in ('name', 'updates')}
    rows = steady.measured(workdir, list(grid_cases(**grid)), steady.predicted)
    known = [row for row in rows if np.isfinite(row.theory)]
    assert len(known) >= 60
    assert max(abs(row.z) for row in known) <= 4
    assert max(row.error / row.theory for row in known) <= 0.01
    assert 'theory and trainer agree' in ' '.join(printed.split())


def test_claims_on_ten_thousand_coordinates():
    """Zhang et al. 2019 (arXiv:1907.04164): momentum and preconditioning extend perfect scaling;
    EMA helps before."""
    script = ROOT / 'scripts' / 'benchmarks' / 'critical_batch_size.py'
    spec = importlib.util.spec_from_file_location('critical_batch_size', script)
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    steps, critical = benchmark.measure(10_000, 0.01, [4, 256, 16384, 262144])
    sgd, momentum, ema = (steps[name] for name in ('SGD', 'momentum 0.9', 'EMA 0.99'))
    preconditioned = 'preconditioned SGD, p 0.5'
    assert momentum[0] > 0.95 * sgd[0] and momentum[-1] < 0.2 * sgd[-1]
    assert critical['momentum 0.9'] > 3 * critical['SGD'] < critical[preconditioned] / 3
    assert ema[0] < 0.9 * sgd[0] and ema[-1] > 0.95 * sgd[-1]
