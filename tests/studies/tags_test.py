"""Studies find their trials by tags, whatever else is in the workdir; what they analyse they only
read."""

import json
import pathlib

import jax
import numpy as np
import pytest
from reports import sweep
from rounds import analysis, rounds

from lbexp import config as configs
from lbexp import results
from lbexp.analysis import Analysis
from lbexp.config import lookup
from lbexp.engine import record
from lbexp.errors import Refusal
from lbexp.studies import Trial, generalization_gap
from lbexp.studies._comparison import arms
from lbexp.studies._comparison.comparison import comparison
from lbexp.studies._network.spectra import SPECTRA_FILE

ROOT = pathlib.Path(__file__).parents[2]


def gap():
    config = configs.load(str(ROOT / 'experiments' / 'generalization_gap.py') + ':digits')
    config.study.update(batch_sizes=(64, 256), budget=3, seeds=2, tunings=1, extensions=0)
    return config


def answer(config):
    """Rows in place of training: the rate 0.1 is the best, large batches are worse."""
    rate, size = config['optimizer']['learning_rate'], config['batch_size']
    error = 0.1 + 0.02 * abs(np.log10(rate / 0.1)) + size / 1e4 + config['seed'] % 7 / 1e3
    row = {f'{part}_accuracy': 1 - error for part in ('test', 'validation', 'train')}
    return [{'step': step, 'epoch': step / 10.0, **row} for step in (10, 20)], 'done'


def entries_of(workdir):
    return json.loads((workdir / 'config.json').read_text())['trials']


def rewrite(workdir, entries):
    document = json.loads((workdir / 'config.json').read_text())
    (workdir / 'config.json').write_text(json.dumps({**document, 'trials': entries}))


def test_tags_say_arm_and_phase(tmp_path):
    rounds(gap(), tmp_path, answer)
    finals = results.final(tmp_path)
    assert results.tags(finals) == ['arm', 'phase', 'extension', 'point']
    reported = finals['phase'] == 'reporting'
    assert finals['seed'][reported].tolist() == [1, 2] * 3
    # each arm is tried at its points and reported at the best of them
    for arm in ('equal epochs, B 64', 'equal epochs, B 256', 'equal updates, B 256'):
        of_arm = finals['arm'] == arm
        assert finals['point'][of_arm & ~reported].tolist() == [0, 1, 2]
        assert len(set(finals['point'][of_arm & reported])) == 1


def test_foreign_trials_change_nothing(tmp_path):
    """Of another hand, with tags that nobody asked for, or with none: they are left out."""
    config = gap()
    rounds(config, tmp_path, answer)
    before, entries = analysis(config, tmp_path), entries_of(tmp_path)
    foreign = [{'arm': 'theirs', 'phase': 'tuning'}, {'case': 'SGD'}, {'arm': 5, 'phase': None}]
    for number, tags in enumerate(foreign, len(entries)):
        entries.append({'trial': number, 'round': 0, 'overrides': {'seed': 3}, 'tags': [tags]})
    entries.append({'trial': 99, 'round': 0, 'overrides': {}})
    rewrite(tmp_path, entries)
    after = analysis(config, tmp_path)
    assert after.tables == before.tables and after.claims == before.claims


STUDIES = ('convergence', 'generalization_gap', 'network_steady_state', 'steady_state')


@pytest.mark.parametrize('name', STUDIES)
def test_a_workdir_of_other_trials_is_refused_in_one_line(tmp_path, name):
    workdir = sweep(tmp_path, steps=2, seeds=1)
    study = lookup.build('study', {'name': name})
    with pytest.raises(Refusal, match=r'config\.json: found no trial with tags; allowed: '):
        study.analyse(workdir)


def test_a_workdir_without_tags_gets_them_when_it_is_gone_on_with(tmp_path):
    """As those of earlier versions: the study asks for all of its trials again, round by round."""
    config = gap()
    before = rounds(config, tmp_path, answer)
    rewrite(tmp_path, [{k: v for k, v in entry.items() if k != 'tags'} for entry in before])
    assert rounds(config, tmp_path, answer) == before


def test_arms_that_meet_at_one_trial_share_it(tmp_path):
    """Two arms that are the same: one trial for each point and seed, which both report."""
    space = {'optimizer.learning_rate': ('log', 0.01, 1.0)}
    pair = [arms.Arm(name, {'batch_size': 64}, space) for name in ('one', 'other')]
    tuning = arms.Tuning(3, 2, arms.validation_error, extensions=0)
    seen = {}

    def analyse(compared):
        seen.update(compared.results)
        return Analysis('Twins', '', [], [])

    config = gap()
    study = comparison(lambda config: pair, tuning, analyse)
    asked = study.trials(config)
    entries = record.record(tmp_path, configs.plain(config), asked, grows=True)
    assert len(asked) == 6 and len(entries) == 3
    assert [tags['arm'] for tags in entries[0]['tags']] == ['one', 'other']
    study.analyse(tmp_path)
    assert seen['one'].tried == seen['other'].tried == [0, 1, 2]


@pytest.fixture
def compilations():
    """Names of what JAX compiles, as it happens."""
    names = []

    def listen(event, duration, **_):
        if 'compile' in event:
            names.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield names
    jax.monitoring.unregister_event_duration_listener(listen)


def test_an_analysis_compiles_and_measures_nothing(tmp_path, monkeypatch, compilations):
    """A report on a login node reads what the run left there."""
    config = gap()
    rounds(config, tmp_path, answer)
    study = lookup.build('study', configs.plain(config.study))
    monkeypatch.setattr(
        generalization_gap.speeds, 'speed', lambda config: [1000.0 + config['batch_size']] * 5
    )
    study.measure(config, tmp_path)
    assert set(generalization_gap.read_speeds(tmp_path)) == {'64', '256'}

    def never(config):
        raise AssertionError('trained')

    monkeypatch.setattr(generalization_gap.speeds, 'speed', never)
    study.measure(config, tmp_path)  # what is there is not measured again
    jax.jit(lambda x: x + 1.5)(np.ones(3))
    assert compilations, 'the listener hears nothing'
    compilations.clear()
    figures = study.analyse(tmp_path).figures
    assert not compilations
    assert {'speed', 'speed_epochs'} <= {figure.name for figure in figures}
    # where nothing was measured the figures are left out
    (tmp_path / generalization_gap.SPEED_FILE).unlink()
    assert not {'speed'} & {figure.name for figure in study.analyse(tmp_path).figures}


def test_spectra_are_computed_by_the_run_and_read_by_the_analysis(tmp_path, compilations):
    config = configs.load(str(ROOT / 'experiments' / 'network_steady_state.py'))
    config.workload.hidden = (2,)
    short = dict(learning_rates=(0.1,), batch_sizes=(8, 16), seeds=1, spectrum_examples=20)
    config.study.update(short)
    weights = 64 * 2 + 2 + 2 * 10 + 10

    def rows(trial):
        generator = np.random.default_rng(trial['batch_size'])
        at_rest = {
            'coordinate_mean': generator.standard_normal(weights).tolist(),
            'coordinate_variance': generator.random(weights).tolist(),
            'count': 20000,
            'burn_in': 7500,
            'loss_mean': 0.1,
            'loss_stationarity_z': 1.0,
        }
        return [{'step': 1, **{f'evaluation_{k}': v for k, v in at_rest.items()}}], 'done'

    rounds(config, tmp_path, rows)
    study = lookup.build('study', configs.plain(config.study))
    with pytest.raises(Refusal, match=r'spectra\.npz: found none; allowed: '):
        study.analyse(tmp_path)
    study.measure(config, tmp_path)
    content = (tmp_path / SPECTRA_FILE).read_bytes()
    compilations.clear()
    (table,) = study.analyse(tmp_path).tables
    assert not compilations
    assert [row[2] for row in table.rows] == [8, 16, 8]  # SGD twice, Lookahead
    study.measure(config, tmp_path)
    assert (tmp_path / SPECTRA_FILE).read_bytes() == content
    (tmp_path / SPECTRA_FILE).write_bytes(content[:100])
    with pytest.raises(Refusal, match=r'spectra\.npz: found a damaged file'):
        study.analyse(tmp_path)


def test_a_study_may_give_bare_overrides():
    study = lookup.build('study', {'name': 'training'})
    assert study.trials(configs.base()) == [Trial({}, {})]
