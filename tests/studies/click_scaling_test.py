"""The study of rules for click models at large batch: what each arm is, claims on known
differences."""

import json

import numpy as np
import pytest
from rounds import analysis, rounds
from training import tiny

from lbexp import analysis as words
from lbexp import config as configs
from lbexp.config import lookup
from lbexp.engine.plan import plan
from lbexp.errors import Refusal


def clicks(folder):
    """A table of two categories and a number, with a yes or no that hangs on them."""
    generator = np.random.default_rng(0)
    lines = ['colour,town,x,label']
    for colour, town, x in zip(*generator.integers(0, 5, (2, 240)), generator.normal(size=240)):
        lines.append(f'c{colour},t{town},{x},{int(x + colour % 2 > 0.5)}')
    path = folder / 'clicks.csv'
    path.write_text('\n'.join(lines))
    data = dict(name='file', path=str(path), validation=40)
    return dict(name='binary', data=data, model=dict(name='dcn', hidden=(8,), embedding=4))


STUDY = dict(name='click_scaling', small=16, large=(32, 64), budget=3, seeds=6)


def experiment(folder):
    optimizer = dict(name='adamw', learning_rate=1e-3, weight_decay=0.0)
    return tiny(workload=clicks(folder), optimizer=optimizer, study=STUDY, steps=None, epochs=1.0)


def rule(trial):
    if trial['optimizer']['name'] == 'cowclip':
        return 'cowclip'
    return trial['batch_scaling']['rule'] or 'unscaled'


def answering(losses):
    """Losses of each rule at batch 64, and a little noise that seeds share."""

    def answer(trial):
        loss = 0.3 + 0.0001 * np.random.default_rng(trial['seed']).standard_normal()
        if trial['batch_size'] == 64:
            loss += losses[rule(trial)]
        row = dict(step=6, validation_loss=loss, test_loss=loss, test_auc=1 - loss)
        return [row], 'done'

    return answer


def test_claims_follow_the_losses_of_the_rules(tmp_path):
    losses = dict(unscaled=0.02, linear=0.05, square_root=0.0, cowclip=0.001)
    config = experiment(tmp_path)
    rounds(config, tmp_path / 'run', answering(losses))
    found = analysis(config, tmp_path / 'run')
    outcomes = [claim.outcome for claim in found.claims]
    assert outcomes == [
        words.REPRODUCED,
        words.REPRODUCED,
        words.NOT_REPRODUCED,
        words.REPRODUCED,
    ]
    assert found.tables[0].rows[0][0] == 'tuned, B 16' and len(found.tables[0].rows) == 12


def test_the_small_batchs_rate_is_carried(tmp_path):
    """What is reported at a large batch has the rate that was tuned at the small one, a rule beside
    it; CowClip the ratio of the batches."""
    config = experiment(tmp_path)
    entries = rounds(config, tmp_path / 'run', answering(dict.fromkeys(RULES, 0.0)))
    trials = [configs.resolve(config, entry['overrides']) for entry in entries]
    rates = {}
    for trial, entry in zip(trials, entries):
        optimizer = trial['optimizer']
        for tags in entry['tags']:
            if tags['phase'] == 'reporting':
                rates.setdefault(tags['arm'], set()).add(optimizer['learning_rate'])
        if optimizer['name'] == 'cowclip':
            assert optimizer['batch_ratio'] == trial['batch_size'] / 16
        assert trial['batch_scaling']['reference'] in (16, None)
        assert trial['microbatch'] == 16
    for size in (32, 64):
        for name in ('unscaled', 'linear', 'square root'):
            assert rates[f'{name}, B {size}'] == rates['tuned, B 16']
        assert rates[f'cowclip, B {size}'] == rates['cowclip, B 16']


RULES = ('unscaled', 'linear', 'square_root', 'cowclip')


def test_batches_share_programs(tmp_path):
    """Of CowClip one, whatever the batch and its ratio."""
    config = experiment(tmp_path)
    entries = rounds(config, tmp_path / 'run', answering(dict.fromkeys(RULES, 0.0)))
    trials = [configs.resolve(config, entry['overrides']) for entry in entries]
    clipped = [trial for trial in trials if trial['optimizer']['name'] == 'cowclip']
    assert len(plan(clipped)) == 1


@pytest.mark.parametrize('large', [(), (16,), (40,)])
def test_batches_that_are_no_multiples(large):
    with pytest.raises(Refusal, match=r'small, large: found 16, .*; allowed: multiples of small'):
        lookup.build('study', dict(name='click_scaling', small=16, large=large))


@pytest.mark.long
def test_a_tiny_study_runs(tmp_path):
    """Every arm trains, and none has the loss of another."""
    from lbexp import main

    path = tmp_path / 'experiment.py'
    study = dict(name='click_scaling', small=16, large=(32,), budget=1, seeds=1, extensions=0)
    path.write_text(
        'from lbexp import config\n'
        'def get_config():\n'
        '    c = config.base()\n'
        f'    c.workload = {clicks(tmp_path)}\n'
        "    c.optimizer = dict(name='adamw', learning_rate=1e-3, weight_decay=0.0)\n"
        f'    c.study = {study}\n'
        '    c.epochs, c.num_evaluations, c.num_rows, c.num_checkpoints = 2.0, 1, 1, 1\n'
        '    return c\n'
    )
    flags = [f'--config={path}', f'--workdir={tmp_path / "run"}']
    assert main.main(['main', *flags]) == 0
    lines = (tmp_path / 'run' / 'metrics.jsonl').read_text().splitlines()
    losses = [json.loads(line).get('test_loss') for line in lines]
    # 3 tuned and 7 reported
    assert len(losses) == 10
    # one rate is tried, so that the rate tuned at the large batch is the unscaled one
    assert len(set(losses)) == 9
