"""summary.json: what a run says of its networks and of the learning rate as planned."""

import json

import numpy as np
import pytest

from lbexp import config as configs
from lbexp import results
from lbexp.engine.summary import NETWORKS, SCHEDULES, keep_summary


def kept(workdir, overrides, **fields):
    workdir.mkdir(exist_ok=True)
    config = configs.base()
    config.workload = dict(name='digits_mlp', hidden=(4,))
    config.optimizer = dict(name='momentum', learning_rate=0.1, momentum=0.9)
    config.schedule = dict(name='cosine', warmup=0.25)
    config.steps, config.batch_size = 40, 32
    for name, value in fields.items():
        config[name] = value
    trials = [configs.resolve(config, changes) for changes in overrides]
    keep_summary(workdir, dict(enumerate(trials)), 'A claim.\n\nMore.')
    return results.summary(workdir)


def test_layers_parameters_examples_and_target(tmp_path):
    summary = kept(tmp_path, [{'seed': 0}, {'seed': 1}])
    (network,) = summary.networks
    shapes = {layer.path: tuple(layer.shape) for layer in network.layers}
    # 64 pixels, 4 hidden units, 10 digits
    assert sorted(shapes.values()) == [(4,), (4, 10), (10,), (64, 4)]
    assert network.parameters == 64 * 4 + 4 + 4 * 10 + 10
    assert sum(network.examples.values()) == 1797 and network.trials == [0, 1]
    assert network.target == ('accuracy', 0.96)
    assert summary.docstring == 'A claim.\n\nMore.'


def test_the_schedule_is_warmed_up_and_falls_along_a_cosine(tmp_path):
    rates = [
        {'optimizer.learning_rate': rate, 'seed': seed} for rate in (0.1, 0.4) for seed in (0, 1)
    ]
    first, second = kept(tmp_path, rates).schedules
    assert (first.trials, second.trials) == ([0, 1], [2, 3])
    assert first.steps == list(range(40))
    np.testing.assert_allclose(second.rates, 4 * np.asarray(first.rates), rtol=1e-5)
    # 10 updates of warm-up, then half a period
    step = np.arange(10, 40)
    expected = 0.05 * (1 + np.cos(np.pi * (step - 10) / 30))
    np.testing.assert_allclose(first.rates[10:], expected, rtol=1e-4, atol=1e-7)


def test_of_many_networks_and_schedules_some_are_kept_the_first_and_the_last_among_them(tmp_path):
    overrides = [{'workload.hidden': (width,)} for width in range(1, 13)]
    networks = kept(tmp_path / 'a', overrides).networks
    assert len(networks) == NETWORKS
    assert [networks[0].trials, networks[-1].trials] == [[0], [11]]
    overrides = [{'optimizer.learning_rate': 0.1 * place} for place in range(1, 21)]
    assert len(kept(tmp_path / 'b', overrides).schedules) == SCHEDULES


@pytest.mark.parametrize('text', ['{', '[]', '{"networks": 3}', '{"schedules": [{"steps": [-1]}]}'])
def test_a_damaged_summary_is_told_and_left_out(tmp_path, text, capsys):
    (tmp_path / 'summary.json').write_text(text)
    summary = results.summary(tmp_path)
    assert summary.networks == [] and summary.schedules == []
    assert 'summary.json: found a damaged file' in capsys.readouterr().err
    assert results.summary(tmp_path / 'none').docstring == ''


def test_nothing_is_written_where_nothing_changed(tmp_path):
    kept(tmp_path, [{}])
    before = (tmp_path / 'summary.json').stat().st_mtime_ns
    kept(tmp_path, [{}])
    assert (tmp_path / 'summary.json').stat().st_mtime_ns == before
    json.loads((tmp_path / 'summary.json').read_text())
