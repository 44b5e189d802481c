"""The study of the noise scale: known critical batch sizes and noise scales give known claims."""

import math
import pathlib

import numpy as np
import pytest
from rounds import analysis, rounds

import lbexp
from lbexp import config as configs
from lbexp.analysis import NOT_REPRODUCED, REPRODUCED, UNDECIDED
from lbexp.errors import Refusal
from lbexp.studies._comparison import scaling_fits
from lbexp.studies.noise_scale import PARTS, noise_scale

ROOT = pathlib.Path(__file__).parents[2]
CRITICAL = 60.0


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    """Intervals of 200 resamples are rougher, and cover as they should."""
    monkeypatch.setattr(scaling_fits, 'RESAMPLES', 200)


def experiment(**study):
    config = configs.load(str(ROOT / 'experiments' / 'noise_scale.py'))
    few = dict(optimizers=('sgd', 'adamw'), batch_sizes=(8, 32, 128, 512), examples=40000)
    few.update(updates=400, budget=3, seeds_per_point=1, hessian_examples=0)
    config.study.update({**few, **study})
    return config


def planted(config, workdir, mean_of, growth=3.0, hessian=1.0):
    """Runs that reach the target after 100 (1 + CRITICAL / B) updates, with noise scales whose
    geometric mean over the quarters is `mean_of(optimizer)` and that grow by `growth` from the
    first to the last; afterwards they are a hundred times that. B_noise is `hessian` times
    B_simple, where it is measured."""

    def answer(trial):
        name, size, seed = trial['optimizer']['name'], trial['batch_size'], trial['seed']
        probe, *others = trial['probes']
        has_hessian = size == 32 and config.study.hessian_examples > 0
        assert [other['name'] for other in others] == ['hessian_noise_scale'] * has_hessian
        assert probe['groups'] == 8 and probe['preconditioned'] == (name == 'adamw')
        prefix = 'preconditioned_' if probe['preconditioned'] else ''
        draws = np.random.default_rng([seed, size, len(name)])
        off = 0.1 * abs(math.log(trial['optimizer']['learning_rate'] / 0.1))
        until = round(100 * (1 + CRITICAL / size) * math.exp(off + 0.03 * draws.standard_normal()))
        rows, before = [], 0
        noise = math.exp(0.05 * draws.standard_normal())
        for step in sorted({*np.linspace(1, trial['steps'], 50).astype(int), until}):
            quarter = min(math.ceil(PARTS * step / until), PARTS) - 1
            scale = noise * mean_of(name) * growth ** (quarter / (PARTS - 1) - 0.5)
            if step > until:
                scale *= 100
            square = 2.0 + draws.standard_normal() / 10
            if size != 32:
                square = -1.0  # the noise scale is not of these
            row = {'step': int(step), 'validation_accuracy': 0.95 if step >= until else 0.5}
            row[f'{prefix}noise_updates'] = int(step - before)
            row[f'{prefix}gradient_trace'] = scale * square
            row[f'{prefix}gradient_square'] = square
            if has_hessian and len(rows) % 2:
                signal = 0.5 + draws.standard_normal() / 40
                row.update(hessian_noise=scale * hessian * signal, hessian_signal=signal)
            rows.append(row)
            before = step
        return rows, 'done'

    rounds(config, workdir, answer)
    return analysis(config, workdir)


def outcomes(answer):
    return [claim.outcome for claim in answer.claims]


def test_a_noise_scale_that_is_the_critical_batch_size(tmp_path):
    answer = planted(experiment(), tmp_path, lambda name: CRITICAL)
    assert answer.passed and outcomes(answer) == [REPRODUCED] * 4
    noise = answer.tables[0]
    exact, sgd, adamw = noise.rows
    ratio, *_ = map(float, sgd[-1].split(' [')[:1])
    assert 0.8 < ratio < 1.25 and adamw[0] == 'adamw, B_simple'
    # quarters grow by 3^(1/3) each
    quarters = [float(cell.split()[0]) for cell in sgd[1 : PARTS + 1]]
    np.testing.assert_allclose(quarters[3] / quarters[0], 3.0, rtol=0.1)
    # the quadratic, from its own theory: within the factor that is asked of a network
    assert 0.5 < float(exact[-1]) < 2
    assert answer.figures[0].name == 'noise_scale'


@pytest.mark.parametrize(
    'means, growth, expected',
    [
        ({'sgd': 5.0}, 3.0, [NOT_REPRODUCED, REPRODUCED] + [REPRODUCED] * 2),
        ({'adamw': 0.2}, 3.0, [REPRODUCED] * 2 + [NOT_REPRODUCED, REPRODUCED]),
        ({'sgd': 2.0}, 3.0, [UNDECIDED, REPRODUCED] + [REPRODUCED] * 2),
        ({}, 0.5, [REPRODUCED, NOT_REPRODUCED] * 2),
    ],
)
def test_another_noise_scale_is_noticed(tmp_path, means, growth, expected):
    answer = planted(experiment(), tmp_path, lambda name: CRITICAL * means.get(name, 1), growth)
    assert outcomes(answer) == expected and answer.passed is (
        None if UNDECIDED in expected else False
    )
    measured = [float(answer.claims[place].measured.split()[0]) for place in (0, 2)]
    asked = [means.get(name, 1) for name in ('sgd', 'adamw')]
    np.testing.assert_allclose(measured, asked, rtol=0.25)  # noise scale over critical batch size


@pytest.mark.parametrize('times, expected', [(1.0, REPRODUCED), (8.0, NOT_REPRODUCED)])
def test_the_noise_scale_that_knows_of_curvature(tmp_path, times, expected):
    config = experiment(hessian_examples=64)
    answer = planted(config, tmp_path, lambda name: CRITICAL, hessian=times)
    assert outcomes(answer) == [REPRODUCED, REPRODUCED, expected] + [REPRODUCED] * 2
    measured = float(answer.claims[2].measured.split()[0])
    assert measured == pytest.approx(times, rel=0.25)
    names = [row[0].split(', ')[-1] for row in answer.tables[0].rows]
    assert names == ['B_simple', 'B_noise'] * 3
    # the quadratic, from its own theory
    simple, hessian = [float(row[-1]) for row in answer.tables[0].rows[:2]]
    assert 0.5 < simple < 2 and 0.1 < hessian < simple


def test_a_gradient_that_is_not_resolved_gives_none(tmp_path):
    """At batch size 8 every |G|^2 is negative."""
    answer = planted(experiment(measured_at=8), tmp_path, lambda name: CRITICAL)
    assert outcomes(answer) == [UNDECIDED] * 4
    assert answer.claims[0].measured == 'unknown; 10 of 10 seeds have none'


@pytest.mark.parametrize(
    'arguments, words',
    [
        (dict(batch_sizes=(4, 8)), 'batch_sizes: found'),
        (dict(batch_sizes=(4, 6, 8)), 'batch_sizes: found'),
        (dict(batch_sizes=(1, 2, 4)), 'batch_sizes: found'),
        (dict(measured_at=5), 'measured_at: found 5'),
        (dict(factor=1.0), 'factor: found 1'),
        (dict(target=1.5), 'target: found 1.5'),
    ],
)
def test_what_cannot_be_measured_is_refused(arguments, words):
    with pytest.raises(Refusal, match=words):
        noise_scale(**arguments)


@pytest.mark.long
def test_it_runs(tmp_path):
    config = experiment(optimizers=('sgd',), target=0.5, updates=30, examples=320)
    small = dict(batch_sizes=(8, 16, 32), budget=1, extensions=0, seeds=2, hessian_examples=64)
    changes = {f'study.{name}': value for name, value in small.items()}
    changes |= {'num_rows': 20, 'num_evaluations': 20}
    result = lbexp.run(config, changes, workdir=tmp_path / 'run', show=False)
    assert [claim.outcome for claim in result.claims] == [UNDECIDED] * 3
    scales = result.final()['noise_scale'].to_numpy()
    assert len(scales) and np.isfinite(scales).any()
    signals = result.table()['hessian_signal'].to_numpy()
    assert np.isfinite(signals).any()
