"""What holds of every way in which workers train one trial: any number of devices, equal starts,
going on, and what is refused."""

import re

import jax
import numpy as np
import pytest
from replica_cases import (
    DIGITS,
    NORMED,
    WAYS,
    asynchronous,
    close,
    local,
    states_of,
)
from training import of_trial, tiny, train

pytestmark = pytest.mark.usefixtures('shared_programs')


@pytest.mark.long
@pytest.mark.parametrize('devices', [pytest.param(2, marks=pytest.mark.slow), 4])
@pytest.mark.parametrize('way', WAYS, ids=lambda way: way['name'])
def test_the_same_numbers_on_any_number_of_devices(tmp_path, way, devices):
    """Rounding alone differs, in 24 updates with batch norm and dropout."""
    fields = dict(workload=dict(NORMED, dropout=0.1), batch_size=32, replicas=way)
    one = train(tiny(**fields, data_parallel=1), tmp_path / 'one')
    close(train(tiny(**fields, data_parallel=devices), tmp_path / 'many'), one, 1e-4)


@pytest.mark.long
@pytest.mark.parametrize('layout', ['map', 'vmap'])
def test_trials_beside_each_other(tmp_path, layout):
    """Two seeds, two devices: each trial as it is alone."""
    fields = dict(workload=DIGITS, batch_size=16, replicas=local(), data_parallel=2)
    together = train(tiny(**fields, layout=layout, sweep=(('seed', (0, 3)),)), tmp_path / 'both')
    close(
        of_trial(together, 1), of_trial(train(tiny(**fields, seed=3), tmp_path / 'alone'), 0), 1e-4
    )


@pytest.mark.long
@pytest.mark.parametrize('way', WAYS, ids=lambda way: way['name'])
def test_all_begin_equal(way):
    """Every array over workers holds one value W times; gradient noise alone is each worker's
    own."""
    noise = dict(transforms=(dict(name='gradient_noise', kind='isotropic'),))
    _, states = states_of(tiny(workload=NORMED, batch_size=32, replicas=way, **noise))
    held = [states.model_state]
    if way['name'] == 'local_sgd':
        held += [states.params, states.opt_state[1], states.replicas.slow]
        seeds = np.asarray(states.opt_state[0].seed)[0]
        assert len(set(seeds.tolist())) == 4 and seeds[0] == 0
    if way['name'] == 'asynchronous':
        held += [states.replicas.copies]
    for leaf in jax.tree.leaves(held):
        leaf = np.asarray(leaf)[0]
        if leaf.ndim:
            assert (leaf == leaf[:1]).all() or leaf.shape[0] != 4


@pytest.mark.long
def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(tmp_path):
    """With a clock, slow weights and workers apart in the checkpoint: the same rows, to the bit."""
    for way in (local(k=5), asynchronous(delay='geometric')):
        fields = dict(workload=DIGITS, batch_size=16, replicas=way, num_checkpoints=6)
        whole = train(tiny(**fields), tmp_path / f'{way["name"]}-whole')
        asked = iter(range(100))
        folder = tmp_path / f'{way["name"]}-cut'
        train(tiny(**fields), folder, should_stop=lambda asked=asked: next(asked) == 1)
        assert train(tiny(**fields), folder) == whole


@pytest.mark.parametrize(
    'arguments, words',
    [
        (('--config.replicas.workers=0',), 'workers: found 0; allowed: an integer >= 1'),
        (('--config.replicas.k=0',), 'k: found 0; allowed: an integer >= 1'),
        (
            ('--config.replicas.slow_step_size=1.5',),
            (
                r'slow_step_size: found 1.5; allowed: \(0, '
                r'1\]'
            ),
        ),
        (
            ('--config.replicas.outer_momentum=1.0',),
            (
                r'outer_momentum: found 1.0; allowed: a '
                r'number in \[0, 1\)'
            ),
        ),
        (
            ('--config.replicas.buffer_policy=keep',),
            ("buffer_policy: found 'keep'; allowed: 'maintain', 'reset', 'average'"),
        ),
        (
            ('--config.batch_size=30',),
            ('batch_size: found 30 with local_sgd, which cuts it into 4 equal pieces'),
        ),
        (('--config.microbatch=8',), 'microbatch: found 8 with replicas'),
        (('--config.data_parallel=3',), 'data_parallel: found 3'),
        (('--config.replicas.worker=2',), 'replicas.worker: no such field. Did you mean .workers.'),
    ],
)
def test_bad_input_is_one_line(tmp_path, capsys, arguments, words):
    from lbexp import main

    file = tmp_path / 'experiment.py'
    file.write_text(
        'from lbexp import config\n\n\ndef get_config():\n    c = config.base()\n    c.steps, '
        'c.batch_size = 4, 32\n'
        "    c.replicas = dict(name='local_sgd', workers=4, k=4)\n    return c\n"
    )
    status = main.main(['main', f'--config={file}', f'--workdir={tmp_path / "run"}', *arguments])
    told = capsys.readouterr().err.strip().splitlines()
    assert status == 2 and len(told) == 1 and re.search(words, told[0]), told
