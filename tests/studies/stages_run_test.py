"""Two stages as one experiment, run: what is refused before anything trains, which weights a stage
begins from, and that a run that is killed between or within stages ends the same."""

import json

import jax
import numpy as np
import pytest
from training import rows

import lbexp
from lbexp import main

TINY = """
from lbexp import config
def data(**options):
    data = dict(name='digits', **options)
    return dict(name='classification', data=data, model=dict(name='mlp', hidden=(8,)))
def get_config():
    c = config.base()
    c.workload = data()
    c.study = dict(name='two_stages', names=('noisy', 'clean'), seeds=2,
        first=dict(workload=data(label_noise=0.5)), second=dict(workload=data(examples=100)))
    c.batch_size, c.steps = 32, 12
    c.num_rows, c.num_evaluations, c.num_checkpoints = 4, 2, 4
    return c
"""


# Two trials, then three, then two.
AFTER_ANOTHER = TINY.replace(
    'seeds=2,', "seeds=1, reverse=False, pretraining=dict(steps=8), take_pretrained=('Dense_0',),"
)
# Hidden words, then two classes of sentences, first with the trunk as it is.
PRETRAINED = """
from lbexp import config
MODEL = dict(name='encoder', width=8, blocks=1, heads=2)
def get_config():
    c = config.base()
    data = dict(name='made_data:kinds_of_sentences')
    c.workload = dict(name='binary', data=data, model=MODEL)
    hidden = dict(name='masked_language_model', data=dict(name='made_data:hidden_words'))
    c.study = dict(name='two_stages', names=('head', 'all'), seeds=2, metric='auc',
        pretraining=dict(workload=dict(hidden, model=MODEL), steps=16),
        take_pretrained=('trunk/',), first=dict(freeze=('trunk/',)), second=dict(rates=()))
    c.batch_size, c.steps = 32, 12
    c.num_rows, c.num_evaluations, c.num_checkpoints = 4, 2, 4
    return c
"""


def command_of(folder, text):
    """run(workdir) -> exit status, of an experiment file."""
    (folder / 'tiny.py').write_text(text)

    def run(workdir, *arguments):
        flags = [f'--config={folder / "tiny.py"}', f'--workdir={workdir}', '--figures=']
        return main.main(['main', *flags, *arguments])

    return run


@pytest.mark.parametrize(
    'argument, problem',
    [
        (
            'pretraining.workload.model.width=16',
            '(12, 16) there, (12, 8) here',
        ),
        ("take_pretrained=('body/',)", "found 'body/', which matches no parameter"),
    ],
)
def test_what_a_stage_cannot_take_is_told_before_anything_trains(
    tmp_path, capsys, argument, problem
):
    run = command_of(tmp_path, PRETRAINED)
    assert run(tmp_path / 'run', f'--config.study.{argument}') == 2
    printed = capsys.readouterr()
    (line,) = printed.err.splitlines()
    assert problem in line
    assert not printed.out and not (tmp_path / 'run').exists()


@pytest.mark.long
def test_a_first_stage_has_the_weights_of_pretraining_that_it_takes(tmp_path, capsys):
    run = command_of(tmp_path, PRETRAINED)
    assert run(tmp_path / 'run') == 0
    trained = lbexp.open(tmp_path / 'run', trust_workdir=True)
    document = json.loads((tmp_path / 'run' / 'config.json').read_text())
    trial_of = {}
    for entry in document['trials']:
        for tags in entry['tags']:
            trial_of[tags['arm'], tags['pair']] = trained.trial(entry['trial'])
    assert len(trial_of) == 16
    for pair in (0, 1):
        of_words = trial_of['pretraining', pair].params
        of_head = trial_of['pretraining, then head', pair].params
        # its own trunk is frozen, so it is what it took; what differs is the other pair's
        for here, there in zip(*leaves_of_trunks(of_words, of_head), strict=True):
            np.testing.assert_array_equal(here, there)
        elsewhere = trial_of['pretraining', 1 - pair].params, trial_of['head', pair].params
        for other in elsewhere:
            pairs = zip(*leaves_of_trunks(other, of_head), strict=True)
            assert any((here != there).any() for here, there in pairs)
        assert of_words.keys() != of_head.keys()


def leaves_of_trunks(*params):
    return [jax.tree.leaves(tree['trunk']) for tree in params]


@pytest.mark.long
@pytest.mark.parametrize(
    'text, length, stages',
    [(TINY, 4 * (4 + 6), 2), (AFTER_ANOTHER, 4 * (2 + 3 + 2), 3)],
    ids=['two stages', 'pretrained'],
)
def test_stopped_within_and_between_stages_it_ends_the_same(
    tmp_path, monkeypatch, capsys, text, length, stages
):
    run = command_of(tmp_path, text)
    assert run(tmp_path / 'whole') == 0
    whole = rows(tmp_path / 'whole')
    assert len(whole) == length
    # The second stage begins where the first one ended: other weights, the same seeds of data.
    trained = lbexp.open(tmp_path / 'whole', trust_workdir=True)
    document = json.loads((tmp_path / 'whole' / 'config.json').read_text())
    begun = next(entry for entry in document['trials'] if entry['round'] == 1)
    assert begun['overrides']['init_from']['weights'] == 'this run'
    assert trained.trial(begun['trial']).step == 12
    assert max(entry['round'] for entry in document['trials']) == stages - 1
    from lbexp import command

    stops = 0
    for _ in range(40):
        left = iter([False] * 3)
        monkeypatch.setattr(command.Stop, '__call__', lambda self, left=left: next(left, True))
        status = run(tmp_path / 'cut')
        stops += status == 75
        if status == 0:
            break
    assert stops > stages and rows(tmp_path / 'cut') == whole
