"""A cohort as it is compiled and watched: large models train in place, and what is shown is a
number."""

import re

import jax
import numpy as np
import pytest
from training import tiny, train

from lbexp import config as configs
from lbexp.engine import program as programs
from lbexp.engine.plan import plan

pytestmark = pytest.mark.quick

LARGE = dict(name='digits_mlp', hidden=(256, 256))


@pytest.mark.long
def test_a_large_model_is_not_copied_at_each_step(monkeypatch):
    texts, compiled = [], programs._compiled

    def kept(*arguments, **options):
        made = compiled(*arguments, **options)
        texts.append(made.as_text())
        return made

    def copies(**fields):
        texts.clear()
        (cohort,) = plan([configs.resolve(tiny(workload=LARGE, **fields), {})])
        made, at = programs.program(cohort, 'auto', 1), np.array([2])
        jax.block_until_ready(made.segment(made.init(), at, at, at))
        return sum(len(re.findall(r'= f32\[256,256\]\S* copy\(', text)) for text in texts)

    adamw = dict(name='optax:adamw', learning_rate=0.01)
    monkeypatch.setattr(programs, '_compiled', kept)
    assert copies() == 0 and copies(optimizer=adamw) == 0
    monkeypatch.setattr(programs, '_LARGE', 10**9)
    # What the option is for; when the compiler no longer needs it, it can go.
    assert copies(optimizer=adamw) > 0


@pytest.mark.long
def test_the_numbers_do_not_know_of_it(tmp_path, monkeypatch):
    config = tiny(workload=LARGE)
    rows = train(config, tmp_path / 'in_place')
    monkeypatch.setattr(programs, '_LARGE', 10**9)
    assert train(config, tmp_path / 'copied') == rows


def test_a_compiler_that_has_no_such_option_does_without(tmp_path, monkeypatch):
    monkeypatch.setattr(programs, '_IN_PLACE', {'xla_cpu_of_another_version': True})
    assert len(train(tiny(workload=LARGE), tmp_path)) == 6


def test_a_row_without_an_update_shows_no_nan(tmp_path):
    """Where a trial has fewer updates than rows."""
    seen = []
    train(
        tiny(steps=3, num_rows=6, num_evaluations=1),
        tmp_path,
        on_progress=lambda progress: seen.append(progress.metrics),
    )
    assert any(seen) and all(np.isfinite(value) for metrics in seen for value in metrics.values())
