"""Quantiles over time against NumPy, exact and of a sample; clip counts; refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from probe_updates import update_info
from training import tiny, train

from lbexp import config as configs
from lbexp.engine.plan import plan
from lbexp.errors import Refusal
from lbexp.optimizers import lars
from lbexp.probes.trust_ratios import trust_ratios

pytestmark = pytest.mark.usefixtures('shared_programs')
PARAMS = {'a': jnp.ones((2, 2)), 'b': jnp.ones((3, 3))}
QUANTILES = ('min', 'p10', 'median', 'p90', 'max')


def watch(part, ratios, clipped, row_at=0):
    """Summary after the ratios [updates, layers]; a row is written at update `row_at`."""
    state = lars(0.1).init(PARAMS)
    start = part.init(update_info(0, PARAMS, opt_state=state))

    def look(carry, seen):
        step, ratio, clip = seen
        stats = state.stats._replace(ratio=ratio, clipped=clip)
        opt_state = state._replace(stats=stats)
        info = update_info(step, PARAMS, opt_state=opt_state, is_row=step == row_at)
        return part.update(carry, info), None

    steps = jnp.arange(1, len(ratios) + 1)
    seen = steps, jnp.asarray(ratios, 'float32'), jnp.asarray(clipped)
    return part.summary(jax.jit(lambda *run: jax.lax.scan(look, *run)[0])(start, seen))


def test_a_short_window_is_exact():
    generator = np.random.default_rng(0)
    ratios = np.exp(generator.standard_normal((70, 2)))
    clipped = ratios > 2
    row = watch(trust_ratios(), ratios, clipped, row_at=30)
    expected = np.quantile(ratios[30:], [0, 0.1, 0.5, 0.9, 1], axis=0)
    for name, values in zip(QUANTILES, expected, strict=True):
        np.testing.assert_allclose(row[f'trust_ratio_{name}'], values, rtol=1e-5)
    np.testing.assert_allclose(row['trust_ratio_clipped'], clipped[30:].mean(0), rtol=1e-6)


@pytest.mark.parametrize('updates', [64, 65, 200, 1000])
def test_a_long_window_is_a_systematic_sample(updates):
    ratios = np.exp(np.random.default_rng(1).standard_normal((updates, 2)))
    row = watch(trust_ratios(size=64), ratios, ratios > 9)
    stride = 1
    while updates >= 64 * stride:
        stride *= 2
    sample = ratios[::stride]
    for name, q in (('p10', 0.1), ('median', 0.5), ('p90', 0.9)):
        np.testing.assert_allclose(
            row[f'trust_ratio_{name}'], np.quantile(sample, q, axis=0), rtol=1e-5
        )
    np.testing.assert_allclose(row['trust_ratio_min'], ratios.min(0), rtol=1e-6)
    np.testing.assert_allclose(row['trust_ratio_max'], ratios.max(0), rtol=1e-6)


@pytest.mark.long
@pytest.mark.parametrize('name, layers', [('lars', 2), ('novograd', 4)])
def test_in_training(tmp_path, name, layers):
    """It does not change what is trained; a bound counts. LARS adapts matrices alone."""
    fields = dict(workload=dict(name='digits_mlp', hidden=(16,)))
    optimizer = dict(name=name, learning_rate=0.1)
    if name == 'lars':
        optimizer['ratio_bounds'] = (0.0, 1e-6)
    fields['optimizer'] = optimizer
    plain = train(tiny(**fields), tmp_path / 'plain')
    rows = train(tiny(**fields, probes=(dict(name='trust_ratios'),)), tmp_path / 'probed')
    for row, of_plain in zip(rows, plain, strict=True):
        assert of_plain.items() <= row.items()
        ordered = [row[f'trust_ratio_{name}'] for name in QUANTILES]
        assert len(ordered[0]) == layers and np.all(np.diff(ordered, axis=0) >= 0)
        assert row['trust_ratio_clipped'] == [float(name == 'lars')] * layers


def test_an_optimizer_without_ratios_is_refused():
    config = tiny(probes=(dict(name='trust_ratios'),))
    with pytest.raises(Refusal, match='allowed: lars, larc, lamb, novograd'):
        plan([configs.resolve(config, {})])
