"""A trace of some updates: of these alone, and the rows are the same to the bit."""

import gzip
import json

import pytest
from training import tiny, train

import lbexp
from lbexp.engine.profile import steps_of
from lbexp.errors import Refusal, RunFailed

# 24 updates of batch 16, 48 of batch 8, in microbatches of 8
SIZES = dict(
    microbatch=8,
    steps=None,
    epochs=3.84,
    sweep=(('batch_size', (16, 8)),),
)


def traced(workdir):
    """The counts of updates of the first trial at which the dispatches in the trace begin."""
    (file,) = (workdir / 'profile').rglob('perfetto_trace.json.gz')
    assert list((workdir / 'profile').rglob('*.xplane.pb'))
    steps = []
    for event in json.loads(gzip.decompress(file.read_bytes()))['traceEvents']:
        if event.get('name') == 'updates':
            steps.append(int(event['args']['step_num']))
    return sorted(steps)


@pytest.mark.long
def test_these_updates_alone_are_traced_and_no_bit_changes(tmp_path):
    lines = []
    expected = train(tiny(**SIZES), tmp_path / 'without')
    rows = train(
        tiny(**SIZES), tmp_path / 'with', profile=range(7, 17), trackers=(), log=lines.append
    )
    assert rows == expected
    steps = traced(tmp_path / 'with')
    # rows lie at 8, 12 and 16 updates
    assert steps[0] == 7 and {8, 12, 16} <= set(steps) and max(steps) < 17
    assert [line for line in lines if line.startswith('profile: ')] == [
        f'profile: {tmp_path / "with" / "profile"}, for ui.perfetto.dev or tensorboard'
    ]


def test_a_run_that_goes_on_behind_them_says_so(tmp_path):
    left, lines = iter([False] * 4), []
    train(tiny(), tmp_path, should_stop=lambda: next(left, True))
    train(tiny(), tmp_path, profile=range(2, 4), log=lines.append)
    assert 'profile: nothing is traced: these updates were done before' in lines
    assert not (tmp_path / 'profile').exists()


@pytest.mark.parametrize('text', ['', '7', '5:5', '6:5', '-1:4', '0:25', 'a:b', '1:2:3', '1:2 '])
def test_what_is_no_range_of_updates_is_refused(text):
    with pytest.raises(Refusal, match=r"--profile: found '.*'; allowed: START:STOP, .* <= 24$"):
        steps_of(text, [tiny().to_dict()])
    assert steps_of('0:24', [tiny().to_dict()]) == range(24)


def test_nothing_is_written_where_it_is_refused(tmp_path):
    with pytest.raises(RunFailed, match='--profile: found') as failure:
        lbexp.run(tiny(), {}, tmp_path / 'run', profile='9:3', show=False)
    assert failure.value.status == 2 and not (tmp_path / 'run').exists()
