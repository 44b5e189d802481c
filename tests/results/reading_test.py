"""Reading workdirs that the tests write: torn lines, nulls, diverged trials, trees, thousands of
trials."""

import math

import numpy as np
import pytest
from written_workdirs import write

from lbexp import results


def test_rows_are_sorted_and_carry_the_overrides_of_their_trial(tmp_path):
    rows = [{'trial': t, 'step': s, 'loss': 10 * t + s} for s in (2, 1) for t in (1, 0)]
    own = [{'optimizer.learning_rate': 0.1, 'seed': 3}, {'optimizer.learning_rate': 1, 'seed': 4}]
    columns = results.read(write(tmp_path / 'run', rows, own))
    assert list(columns) == ['workdir', 'trial', 'optimizer.learning_rate', 'seed', 'step', 'loss']
    assert columns['trial'].tolist() == [0, 0, 1, 1] and columns['step'].tolist() == [1, 2, 1, 2]
    assert columns['loss'].tolist() == [1, 2, 11, 12]
    assert columns['optimizer.learning_rate'].tolist() == [0.1, 0.1, 1, 1]
    assert columns['seed'].tolist() == [3, 3, 4, 4] and columns['seed'].dtype == np.int64
    assert set(columns['workdir']) == {str(tmp_path / 'run')}
    assert results.varied(columns) == ['optimizer.learning_rate', 'seed'] and results.measured(
        columns
    ) == ['loss']


@pytest.mark.parametrize(
    'tail',
    [
        b'{"trial": 0, "step": 3, "lo',
        b'{"trial": 0,',
        b'\x00\x00\x00\n',
        b'\xff\xfe{"trial": 0}\n',
        b'\n\n',
        b'null\n',
        b'[1]\n',
    ]
    + [b'{"loss": 4}\n', b'{"trial": 0, "st\n{"trial": 0, "step": 3, "loss": 8}\n'],
)
def test_torn_and_damaged_lines_are_skipped_and_the_others_kept(tmp_path, tail):
    rows = [{'trial': 0, 'step': s, 'loss': s / 2} for s in (1, 2)]
    columns = results.read(write(tmp_path, rows, tail=tail))
    expected = [0.5, 1, 8] if b'8' in tail else [0.5, 1]
    assert columns['loss'].tolist() == expected and len(columns['workdir']) == len(expected)


def test_of_two_rows_of_one_step_the_later_stands(tmp_path):
    rows = [
        {'trial': 0, 'step': s, 'loss': loss}
        for s, loss in ((1, 5.0), (2, 6.0), (2, 7.0), (1, 8.0))
    ]
    assert results.read(write(tmp_path, rows))['loss'].tolist() == [8, 7]


def test_null_and_absent_are_nan_but_final_knows_them_apart(tmp_path):
    rows = [
        {'trial': 0, 'step': 1, 'loss': 2.0, 'test_loss': 3.0},
        {'trial': 0, 'step': 2, 'loss': None},
        {'trial': 1, 'step': 1, 'loss': 4, 'test_loss': None},
        {'trial': 1, 'step': 2, 'loss': 1},
    ]
    folder = write(tmp_path, rows, [{}, {}], ['diverged', 'done'])
    assert np.isnan(results.read(folder)['test_loss']).tolist() == [False, True, True, True]
    final = results.final(folder)
    assert math.isnan(final['loss'][0]), 'a diverged loss is not the last finite one'
    assert final['test_loss'][0] == 3.0, 'the last evaluation, though the last row has none'
    assert final['loss'][1] == 1 and math.isnan(final['test_loss'][1])
    assert final['status'].tolist() == ['diverged', 'done'] and final['step'].tolist() == [2, 2]


def test_a_trial_without_rows_is_in_final(tmp_path):
    folder = write(
        tmp_path,
        [{'trial': 1, 'step': 5, 'loss': 1.0}],
        [{'seed': 0}, {'seed': 1}],
        ['pending', 'running'],
    )
    final = results.final(folder)
    assert final['step'].tolist() == [0, 5] and math.isnan(final['loss'][0])
    assert final['status'].tolist() == ['pending', 'interrupted'] and final['seed'].tolist() == [
        0,
        1,
    ]


def test_no_rows_at_all(tmp_path):
    folder = write(tmp_path, overrides=[{'seed': 0}, {'seed': 1}])
    assert len(results.read(folder)['trial']) == 0
    assert results.final(folder)['trial'].tolist() == [0, 1]
    (folder / 'metrics.jsonl').unlink()
    assert len(results.read(folder)['step']) == 0 and results.final(folder)['step'].tolist() == [
        0,
        0,
    ]


@pytest.mark.parametrize('content', [None, '', '{"status": "do', '[]'])
def test_without_a_readable_status_the_state_is_unknown(tmp_path, content):
    folder = write(tmp_path, [{'trial': 0, 'step': 1, 'loss': 1.0}])
    if content is not None:
        (folder / 'status.json').write_text(content)
    assert results.final(folder)['status'].tolist() == ['unknown']


def test_a_probe_that_starts_late_and_whole_numbers_before_fractions(tmp_path):
    rows = [{'trial': 0, 'step': s, 'loss': 1 if s < 5000 else 0.5} for s in range(1, 6000)]
    rows[-1] |= {'eigenvalues': [3.0, None, 1], 'note': 'late', 'sharpness': 7.5}
    columns = results.read(write(tmp_path, rows))
    assert (
        columns['loss'][0] == 1 and columns['loss'][-1] == 0.5 and columns['sharpness'][-1] == 7.5
    )
    assert np.isnan(columns['sharpness'][:-1]).all()
    assert columns['eigenvalues'][0] is None and columns['note'][0] is None
    assert np.array_equal(columns['eigenvalues'][-1], [3, np.nan, 1], equal_nan=True)
    assert columns['note'][-1] == 'late'


def test_overrides_of_every_type(tmp_path):
    own = [{'optimizer.nesterov': True, 'optimizer.b1': None, 'model.widths': [8, 8]}]
    own.append({'optimizer.nesterov': False, 'optimizer.b1': 0.5, 'model.widths': 'wide'})
    final = results.final(write(tmp_path, overrides=own))
    assert final['optimizer.nesterov'].tolist() == [True, False]
    assert math.isnan(final['optimizer.b1'][0]) and final['optimizer.b1'][1] == 0.5
    assert final['model.widths'].tolist() == ['[8, 8]', 'wide']


def test_an_override_absent_from_a_trial_is_the_value_of_its_config(tmp_path):
    config = {'optimizer': {'name': 'lamb', 'b1': 0.9}}
    final = results.final(write(tmp_path, overrides=[{}, {'optimizer.b1': 0.5}], config=config))
    assert final['optimizer.b1'].tolist() == [0.9, 0.5]


def test_an_override_named_like_a_metric_does_not_hide_it(tmp_path):
    columns = results.read(
        write(tmp_path, [{'trial': 0, 'step': 1, 'loss': 2.0}], [{'loss': 'huber'}])
    )
    assert columns['loss'].tolist() == [2.0] and columns['config.loss'].tolist() == ['huber']


def test_a_tree_of_workdirs_is_one_table_with_what_differs_between_configs(tmp_path):
    for rate in (0.1, 0.2):
        config = {
            'optimizer': {'name': 'lamb', 'learning_rate': rate},
            'seed': 0,
            'workdir': str(rate),
        }
        write(
            tmp_path / 'deep' / f'rate={rate}',
            [{'trial': 0, 'step': 1, 'loss': rate}],
            config=config,
        )
    write(tmp_path / 'deep' / 'rate=0.1' / 'checkpoints' / 'inner')
    columns = results.read(tmp_path)
    assert results.varied(columns) == ['optimizer.learning_rate']
    assert columns['optimizer.learning_rate'].tolist() == columns['loss'].tolist() == [0.1, 0.2]
    assert columns['workdir'].tolist() == [
        str(tmp_path / 'deep' / f'rate={rate}') for rate in (0.1, 0.2)
    ]


def test_thousands_of_trials(tmp_path):
    count = 3000
    rows = [{'trial': t, 'step': s, 'loss': t + s / 10} for s in range(1, 6) for t in range(count)]
    own = [{'optimizer.learning_rate': t / 7, 'seed': t % 4} for t in range(count)]
    older = [row | {'loss': -1.0} for row in rows[:count]]
    folder = write(tmp_path, older + rows, own, ['done'] * count)
    final = results.final(folder)
    assert np.array_equal(final['trial'], np.arange(count)) and np.allclose(
        final['loss'], np.arange(count) + 0.5
    )
    assert np.allclose(final['optimizer.learning_rate'], np.arange(count) / 7)
    columns = results.read(folder)
    assert (
        np.allclose(columns['loss'], columns['trial'] + columns['step'] / 10)
        and len(columns['loss']) == 5 * count
    )


def test_errors_say_what_to_do(tmp_path):
    with pytest.raises(ValueError, match=r'holds no config\.json'):
        results.read(tmp_path)
    with pytest.raises(ValueError, match='not a folder'):
        results.final(tmp_path / 'absent')
    write(tmp_path)
    (tmp_path / 'config.json').write_text('{"config": {}, "trials": [{"number": 1}]}')
    with pytest.raises(
        ValueError,
        match=(
            r'config\.json: found a damaged file \(.*`trial` - at '
            r'`\$\.trials\[0\]`'
        ),
    ):
        results.read(tmp_path)
