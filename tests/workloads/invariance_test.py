"""Every kind of workload: a trial is the same alone and in company, whole and in pieces, on one
device and on several."""

import json

import pytest
from training import assert_close, of_trial, rows, tiny, train

pytestmark = [pytest.mark.long, pytest.mark.usefixtures('shared_programs')]

WORKLOADS = {
    'language_model, lstm': dict(
        name='language_model',
        data=dict(name='made_data:sentences'),
        model=dict(name='lstm', embedding=4, hidden=6, dropout=0.1),
    ),
    'language_model, transformer': dict(
        name='language_model',
        data=dict(name='made_data:sentences'),
        model=dict(name='transformer', width=8, blocks=1, dropout=0.1),
    ),
    'masked_language_model': dict(
        name='masked_language_model',
        data=dict(name='made_data:hidden_words'),
        model=dict(name='encoder', width=8, blocks=1),
    ),
    'binary, dcn': dict(
        name='binary',
        data=dict(name='made_data:clicks'),
        model=dict(name='dcn', embedding=3, hidden=(4,)),
    ),
    'binary, autoint': dict(
        name='binary', data=dict(name='made_data:clicks'), model=dict(name='autoint')
    ),
    'regression': dict(
        name='regression',
        data=dict(name='made_data:houses'),
        model=dict(name='mlp', hidden=(4,)),
    ),
    'classification, resnet': dict(
        name='classification',
        data=dict(name='made_data:pictures'),
        model=dict(name='resnet', depth=20, ghost='sync'),
    ),
    'classification, cnn': dict(
        name='classification',
        data=dict(name='made_data:pictures'),
        model=dict(
            name='cnn',
            channels=(4,),
            hidden=8,
            batch_norm=True,
            dropout=0.2,
            block_dropout=0.1,
        ),
    ),
    'contrastive, cnn': dict(
        name='contrastive',
        data=dict(name='made_data:pictures'),
        model=dict(name='cnn', channels=(4,), hidden=8, batch_norm=True),
        augment=dict(shift=0.2, flip=0.5),
        projection=4,
        contrasted=16,
    ),
}

SLOW = 'language_model, transformer', 'binary, autoint', 'classification, resnet'


def config(workload, **fields):
    return tiny(
        workload=workload,
        optimizer=dict(name='lamb', learning_rate=0.01),
        steps=6,
        batch_size=16,
        num_rows=3,
        num_evaluations=2,
        num_checkpoints=3,
        **fields,
    )


def assert_same(alone, together):
    """To the bit; of a perplexity the logarithm to the last bit of a float32 (2.4e-7 at 3 nats):
    XLA sums the losses of a set in the order that suits its program."""
    for left, right in zip(alone, together, strict=True):
        left, right = dict(left), dict(right)
        for name in left.keys() & {'test_perplexity'}:
            assert left.pop(name) == pytest.approx(right.pop(name), rel=5e-7)
        assert left == right


@pytest.mark.parametrize(
    'name',
    [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in WORKLOADS],
)
def test_a_workload_of_every_kind(tmp_path, name):
    workload = WORKLOADS[name]
    seeds = (('seed', (0, 5, 7)),)
    together = train(config(workload, sweep=seeds), tmp_path / 'together')
    alone = train(config(workload, seed=5), tmp_path / 'alone')
    assert_same(of_trial(alone, 0), of_trial(together, 1))
    assert alone[-1]['loss'] != of_trial(together, 0)[-1]['loss']

    for _ in range(20):  # stopped at every second dispatch, until it is done
        left = iter([False])
        train(
            config(workload, sweep=seeds),
            tmp_path / 'pieces',
            should_stop=lambda left=left: next(left, True),
        )
        status = json.loads((tmp_path / 'pieces' / 'status.json').read_text())['status']
        if status == 'done':
            break
    assert rows(tmp_path / 'pieces') == together

    for devices in (2, 8):
        shared = train(config(workload, seed=5, data_parallel=devices), tmp_path / str(devices))
        assert_close(shared, alone, 1e-3)
