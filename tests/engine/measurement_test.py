"""Evaluation probes: what they see, when, and that training does not see them."""

import functools
import json

import evaluated
import jax
import numpy as np
import pytest
from networks import trained
from training import TIMES, of_trial, rows, tiny, train

import lbexp
from lbexp import config as configs
from lbexp import results
from lbexp.engine.plan import plan
from lbexp.errors import describe

pytestmark = pytest.mark.usefixtures('shared_programs')

CLICKS = dict(name='evaluated:clicks')
DIGITS = dict(name='digits_mlp', hidden=(16,))


def seen(**arguments):
    return dict(name='evaluated:seen', **arguments)


def clicks(**fields):
    optimizer = dict(name='momentum', learning_rate=0.1, momentum=0.9)
    schedule = dict(name='cosine')
    return tiny(**{'workload': CLICKS, 'optimizer': optimizer, 'schedule': schedule, **fields})


def without(rows, prefix='seen_'):
    """The rows without what was measured."""
    plain = []
    for row in rows:
        plain.append({name: value for name, value in row.items() if not name.startswith(prefix)})
    return plain


def state_of(workdir):
    return lbexp.open(workdir, trust_workdir=True).trial(0).state


@pytest.mark.long
def test_what_a_probe_sees(tmp_path):
    """The whole test set as its subset: the loss is the test loss, the rate that of the row."""
    workload = dict(name='evaluated:without_set_metrics', size=40)
    config = clicks(workload=workload, probes=(seen(examples=40, part='test'),))
    measured = train(config, tmp_path)
    assert [('seen_loss' in row) for row in measured] == [('test_loss' in row) for row in measured]
    for row in (measured[1], measured[-1]):
        assert row['seen_loss'] == pytest.approx(row['test_loss'], rel=1e-6)
        assert row['seen_mean'] == pytest.approx(row['test_loss'], rel=1e-6)
        assert row['seen_step'] == row['step']
        assert row['seen_rate'] == row['learning_rate']
        assert row['seen_parameters'] == pytest.approx(row['parameter_norm'], rel=1e-6)
        assert len(row['seen_losses']) == 40 and 0 <= row['seen_key'] < 1
    assert measured[1]['seen_key'] != measured[-1]['seen_key']
    # drawn without replacement: every loss of the set, in another order
    losses = np.asarray(measured[-1]['seen_losses'], np.float32)
    assert len(set(losses.tolist())) == 40


def test_its_loss_passes_large_subsets_in_chunks(tmp_path):
    """1,100 examples are one chunk of 1,024 and a padded one."""
    measured = train(clicks(probes=(seen(examples=1100, part='test'),)), tmp_path)
    for row in (measured[1], measured[-1]):
        assert row['seen_loss'] == pytest.approx(row['seen_mean'], rel=1e-6)


@pytest.mark.long
def test_training_does_not_see_it(tmp_path):
    """Rows and states with and without are the same to the bit."""
    probes = (seen(), dict(name='directional_curvature', examples=50))
    measured = rows(trained(clicks(probes=probes), tmp_path / 'with'))
    plain = rows(trained(clicks(), tmp_path / 'without'))
    assert without(without(measured), 'directional_') == plain and measured != plain
    states = [state_of(tmp_path / name) for name in ('with', 'without')]
    for field in ('params', 'opt_state', 'metric_sums', 'probes'):
        pair = [jax.tree.leaves(getattr(state, field)) for state in states]
        assert len(pair[0]) == len(pair[1])
        for leaf, other in zip(*pair, strict=True):
            np.testing.assert_array_equal(leaf, other)


@pytest.mark.long
def test_alone_is_as_in_company(tmp_path):
    """Numbers, vectors and random draws, to the bit; and trials of other seeds draw others."""
    sweep = (('optimizer.learning_rate', (0.1, 0.02)), ('seed', (0, 1)))
    probes = (seen(), dict(name='directional_curvature', examples=50))
    together = train(clicks(probes=probes, sweep=sweep), tmp_path / 'all')
    alone = clicks(probes=probes, seed=1)
    alone.optimizer.learning_rate = 0.02
    assert of_trial(train(alone, tmp_path / 'alone'), 0) == of_trial(together, 3)
    ends = [of_trial(together, trial)[-1] for trial in range(4)]
    assert len({end['seen_key'] for end in ends}) == 2


@pytest.mark.long
def test_the_subset_is_drawn_with_a_seed_of_its_own(tmp_path):
    """The same of all trials and rows, another for another `subset`, and not the first examples."""
    drawn = {}
    for subset in (0, 1):
        config = clicks(probes=(seen(subset=subset),), sweep=(('seed', (0, 1)),), steps=6)
        measured = [row for row in train(config, tmp_path / str(subset)) if 'seen_loss' in row]
        drawn[subset] = {row['seen_examples'] for row in measured}
    assert len(drawn[0]) == len(drawn[1]) == 1 and drawn[0] != drawn[1]
    first = evaluated.arrays(100, 0)['tokens'][:20].sum()
    assert float(first) not in drawn[0] | drawn[1]


@pytest.mark.long
def test_what_is_stopped_measures_the_same(tmp_path):
    config = clicks(probes=(seen(), dict(name='directional_curvature', examples=50)))
    whole = train(config, tmp_path / 'whole')
    for _ in range(50):
        left = iter([False, True])
        train(config, tmp_path / 'cut', should_stop=functools.partial(next, left, True))
        if json.loads((tmp_path / 'cut' / 'status.json').read_text())['status'] == 'done':
            break
    columns = results.read(tmp_path / 'cut')
    expected = results.read(tmp_path / 'whole')
    assert len(whole) == 6
    for name in results.measured(expected):
        if name not in TIMES:
            for cell, other in zip(columns[name], expected[name], strict=True):
                np.testing.assert_array_equal(cell, other)


def test_measured_at_rows_that_double(tmp_path):
    config = clicks(probes=(seen(measure_at='log'),), steps=22, num_rows=11, num_evaluations=1)
    measured = train(config, tmp_path)
    steps = [row['step'] for row in measured if 'seen_loss' in row]
    assert steps == [2, 4, 8, 16, 22]
    assert [row['step'] for row in measured if 'test_loss' in row] == [22]


def test_measured_at_every_third_row_and_the_last(tmp_path):
    config = clicks(probes=(seen(measure_at=3),), steps=22, num_rows=11, num_evaluations=1)
    steps = [row['step'] for row in train(config, tmp_path) if 'seen_loss' in row]
    assert steps == [6, 12, 18, 22]


@pytest.mark.long
def test_fast_and_evaluated_weights(tmp_path):
    """With Lookahead the weights that are trained and those that are evaluated differ between its
    synchronisations."""
    inner = dict(name='sgd', learning_rate=0.3)
    ends = {}
    for weights in ('fast', 'evaluation'):
        config = clicks(
            optimizer=dict(name='lookahead', k=5, inner=inner), probes=(seen(weights=weights),)
        )
        ends[weights] = train(config, tmp_path / weights)[-1]
    assert ends['fast']['seen_parameters'] != ends['evaluation']['seen_parameters']
    parameters = ends['fast']['parameter_norm']
    assert ends['fast']['seen_parameters'] == pytest.approx(parameters, rel=1e-6)


def test_vectors_are_read_and_left_out_of_curves(tmp_path):
    from lbexp.report import curves

    train(clicks(probes=(seen(),)), tmp_path)
    columns = results.read(tmp_path)
    assert columns['seen_losses'].dtype == object and columns['seen_losses'][-1].shape == (20,)
    assert columns['seen_losses'][0] is None
    numeric = results.numeric(columns)
    assert 'seen_losses' not in numeric and 'seen_loss' in numeric
    assert curves.curves(columns)


@pytest.mark.long
@pytest.mark.parametrize('sharding', ['replicated', 'fsdp'])
def test_devices_do_not_change_it(tmp_path, sharding):
    """64 examples on eight devices, and 50, which they cannot share."""
    probes = (
        dict(name='directional_curvature', examples=64),
        seen(examples=50, part='test'),
    )
    fields = dict(workload=DIGITS, batch_size=64, steps=6, num_rows=2, num_evaluations=2)
    one = train(tiny(probes=probes, data_parallel=1, **fields), tmp_path / 'one')[-1]
    config = tiny(probes=probes, data_parallel=8, sharding=sharding, **fields)
    eight = train(config, tmp_path / 'eight')[-1]
    for name in ('directional_curvature', 'directional_curvature_residual', 'seen_loss'):
        assert eight[name] == pytest.approx(one[name], rel=1e-4)
    assert eight['seen_key'] == one['seen_key']


@pytest.mark.long
def test_many_trials_at_once_measure_as_each_does(tmp_path):
    """Vectorised over trials, as on an accelerator, and over two devices of trials."""
    sweep = (('seed', (0, 1, 2, 3)),)
    measured = {}
    for layout in ('map', 'vmap'):
        config = clicks(probes=(seen(),), sweep=sweep, layout=layout)
        measured[layout] = train(config, tmp_path / layout)
    for row, other in zip(measured['map'], measured['vmap'], strict=True):
        assert row.keys() == other.keys()
        if 'seen_loss' in row:
            assert row['seen_loss'] == pytest.approx(other['seen_loss'], rel=1e-5)
            assert row['seen_losses'] == pytest.approx(other['seen_losses'], rel=1e-4)
            assert row['seen_key'] == other['seen_key']


def test_what_is_measured_is_said_in_the_configuration(tmp_path):
    trained(clicks(probes=(seen(examples=30, part='test'),), steps=2, num_rows=1), tmp_path)
    environment = json.loads((tmp_path / 'config.json').read_text())['environment']
    words = environment['probe evaluated:seen']
    assert '30 examples of the test set' in words and 'evaluation mode' in words


def trials(**fields):
    config = tiny(**fields)
    return [configs.resolve(config, overrides) for overrides in configs.trials(config)]


CURVATURE = dict(name='directional_curvature', examples=64)
WITH_NORM = dict(name='digits_mlp', hidden=(16,), batch_norm=True)


@pytest.mark.long
@pytest.mark.parametrize(
    'fields, told',
    [
        (
            dict(workload=WITH_NORM, probes=(CURVATURE,)),
            ['a workload with a model state, as batch norm has', "batch_norm='frozen'"],
        ),
        (
            dict(workload=dict(name='streamed:digits', hidden=(16,)), probes=(CURVATURE,)),
            ["found 'train', which is a stream", "allowed: 'test'"],
        ),
        (dict(probes=(CURVATURE | dict(examples=101),)), ['found 101', 'a train set of 100']),
        (
            dict(probes=(CURVATURE,), num_evaluations=0),
            ['num_evaluations: found 0 with directional_curvature', "measure_at='log'"],
        ),
        (
            dict(probes=(CURVATURE, CURVATURE)),
            ["'directional_curvature', 'directional_curvature_residual' twice"],
        ),
        (
            dict(
                probes=(CURVATURE | dict(weights='fast'),),
                replicas=dict(name='local_sgd', workers=2, k=2),
            ),
            ["weights: found 'fast' with replicas", "allowed: 'evaluation'"],
        ),
        (
            dict(workload=dict(name='evaluated:no_loss'), probes=(CURVATURE,)),
            ["found metrics ['error']", "'loss' among them"],
        ),
        (dict(probes=(dict(name='evaluated:broken', breach='text'),)), ["'mine': 'text'"]),
        (dict(probes=(dict(name='evaluated:broken', breach='number'),)), ['a dict of columns']),
        (dict(probes=(dict(name='evaluated:broken', breach='taken'),)), ["gives 'step'"]),
        (dict(probes=(dict(name='evaluated:broken', breach='twice'),)), ["'test_loss' twice"]),
        (
            dict(probes=(dict(name='evaluated:broken', breach='no examples'),)),
            ['examples: found 0', 'an integer >= 1'],
        ),
        (
            dict(probes=(dict(name='evaluated:broken', breach='no such set'),)),
            ["part: found 'validation'; allowed: 'train', 'test'"],
        ),
        (
            dict(probes=(dict(name='evaluated:broken', breach='no such row'),)),
            ["measure_at: found 'always'; allowed: 'evaluations', 'log'"],
        ),
        (
            dict(probes=(CURVATURE | dict(measure_at=0),)),
            ['measure_at: found 0; allowed: '],
        ),
    ],
)
def test_what_cannot_be_measured_is_told(fields, told):
    with pytest.raises(ValueError) as caught:
        plan(trials(**fields))
    line = describe(caught.value)
    assert all(words in line for words in told), line
    assert '\n' not in line and 'Tracer' not in line


def test_batch_norm_is_measured_with_its_averages_held(tmp_path):
    """Of the whole test set: the loss is the test loss, in which the averages are constants."""
    config = tiny(
        workload=WITH_NORM,
        steps=6,
        probes=(seen(examples=359, part='test', batch_norm='frozen'),),
    )
    row = train(config, tmp_path)[-1]
    assert row['seen_loss'] == pytest.approx(row['test_loss'], rel=1e-5)


def test_a_probe_is_found_among_both_kinds():
    from lbexp.config import lookup

    assert {'norms', 'directional_curvature'} <= set(lookup.names('probe'))
