"""Random numbers: every seed, update and example draws its own."""

import pytest
from training import of_trial, tiny, train

pytestmark = pytest.mark.usefixtures('shared_programs')


def test_example_weights_enter_the_loss(tmp_path):
    """Multiplicative noise changes the path of training, not what is reported as the loss of the
    first batch."""
    plain = train(tiny(num_rows=24), tmp_path / 'plain')
    noisy = train(
        tiny(num_rows=24, example_weights=dict(name='example_weights', matched_batch_size=4)),
        tmp_path / 'noisy',
    )
    assert noisy[0]['loss'] == pytest.approx(plain[0]['loss'], rel=1e-6)
    assert noisy[0]['gradient_norm'] != plain[0]['gradient_norm']
    assert noisy[-1]['test_loss'] != plain[-1]['test_loss']


@pytest.mark.long
def test_noise_of_trials_is_independent(tmp_path):
    """A transformation that takes a seed gets the trial's."""
    config = tiny(
        transforms=(dict(name='gradient_noise', kind='isotropic'),), sweep=(('seed', (0, 1)),)
    )
    rows = train(config, tmp_path)
    again = train(
        tiny(transforms=(dict(name='gradient_noise', kind='isotropic'),), seed=1),
        tmp_path / 'again',
    )
    assert of_trial(rows, 1) == of_trial(again, 0)
    assert of_trial(rows, 0)[0]['update_norm'] != of_trial(rows, 1)[0]['update_norm']


@pytest.mark.long
def test_each_seed_and_each_update_draws_its_own(tmp_path):
    """Examples and example weights: the problem has one start and one curvature, so nothing else
    can differ."""
    weighted = dict(name='example_weights', matched_batch_size=1)
    for name, fields in {'examples': dict(noise=1.0), 'weights': dict(noise=0.0)}.items():
        config = tiny(
            workload=dict(name='noisy_quadratic', **fields),
            optimizer=dict(name='sgd', learning_rate=1e-20),
            example_weights=weighted if name == 'weights' else {},
            sweep=(('seed', (0, 1)),),
            num_rows=24,
        )
        seen = [row['gradient_norm'] for row in train(config, tmp_path / name)]
        assert len(set(seen)) == 48, name


@pytest.mark.long
def test_each_update_drops_other_units(tmp_path):
    """Batches that do not differ and weights that do not move: the loss tells the dropout masks
    apart."""
    workload = dict(name='streamed:one_digit', hidden=(16,), dropout=0.5)
    still = dict(optimizer=dict(name='sgd', learning_rate=1e-20), steps=8, num_rows=8)
    losses = [row['loss'] for row in train(tiny(workload=workload, **still), tmp_path / 'whole')]
    assert len(set(losses)) == 8
    plain = [
        row['loss']
        for row in train(tiny(workload=dict(workload, dropout=None), **still), tmp_path / 'plain')
    ]
    assert len(set(plain)) == 1
