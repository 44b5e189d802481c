"""Progress lines under a clock that the test holds."""

import io
import sys
import types

import pytest
from rich.console import Console

from lbexp.report.progress import progress

pytestmark = pytest.mark.quick


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


class Unread:
    """A value on a device: reading it would wait for the computation."""

    def __float__(self):
        raise AssertionError('the value was read')


def plain():
    return Console(file=io.StringIO(), force_terminal=False, width=80)


def lines(console):
    return console.file.getvalue().splitlines()


def test_plain_lines_are_limited_in_rate_and_the_last_state_is_told():
    console, clock = plain(), Clock()
    with progress(console, every=10, clock=clock) as bar:
        for step in range(0, 101):
            clock.now = 100 + step / 4
            bar.update(
                step, 100, step * 32, metrics={'loss': 1 / (step + 1), 'accuracy': step / 100}
            )
    told = [line.split()[1] for line in lines(console)]
    assert told == ['0/100', '40/100', '80/100', '100/100']
    assert 'done' in lines(console)[-1] and 'loss 0.009901' in lines(console)[-1]


def test_the_last_line_is_not_told_twice():
    console, clock = plain(), Clock()
    with progress(console, clock=clock) as bar:
        bar.update(100, 100, 3200)
    assert len(lines(console)) == 1


def test_rates_eta_and_trials():
    console, clock = plain(), Clock()
    with progress(console, every=1, clock=clock) as bar:
        bar.update(0, 10_000, 0, trials_total=16)
        clock.now += 5
        metrics = {'test_perplexity': 60.5, 'loss': 0.25, 'accuracy': 0.875, 'test_loss': 1.5}
        bar.update(500, 10_000, 32_000, metrics, trials_done=3, trials_total=16)
    assert '– steps/s' in lines(console)[0] and 'ETA –' in lines(console)[0]
    words = lines(console)[1]
    for part in (
        'step 500/10000 (5%)',
        'ETA 1:35',
        '100 steps/s',
        '6400 examples/s',
        'loss 0.25',
        'accuracy 0.875',
        'test perplexity 60.5',
    ):
        assert part in words
    assert 'trials 3/16' in words and 'test loss' not in words


def test_time_before_the_first_update_is_not_in_the_rate():
    console, clock = plain(), Clock()
    with progress(console, every=1, clock=clock) as bar:
        clock.now += 60
        bar.update(100, 1000, 100)
        clock.now += 2
        bar.update(300, 1000, 300)
    assert '100 steps/s' in lines(console)[1]


def test_the_rate_forgets_what_is_long_ago():
    console, clock = plain(), Clock()
    with progress(console, every=1, clock=clock) as bar:
        done = 0
        for second in range(200):
            clock.now += 1
            done += 10 if second < 100 else 50
            bar.update(done, 100_000, done)
    assert '50 steps/s' in lines(console)[-1]


def test_between_two_lines_nothing_is_read():
    console, clock = plain(), Clock()
    bar = progress(console, every=10, clock=clock)
    bar.update(1, 10, 1, {'loss': 1.0})
    bar.update(2, 10, 2, {'loss': Unread(), 'accuracy': Unread()})
    clock.now += 10
    with pytest.raises(AssertionError, match='was read'):
        bar.update(3, 10, 3, {'loss': Unread()})


def test_a_standstill_a_resumed_run_and_nan_are_printable():
    console, clock = plain(), Clock()
    with progress(console, every=1, clock=clock) as bar:
        for _ in range(2):
            bar.update(50, 100, 1600, {'loss': float('nan')})
            clock.now += 2
    assert (
        '0 steps/s' in lines(console)[-1]
        and 'ETA –' in lines(console)[-1]
        and 'loss nan' in lines(console)[-1]
    )


def test_no_update_no_output():
    console = plain()
    with progress(console):
        pass
    assert lines(console) == []


@pytest.mark.parametrize('width, has_bar', [(80, False), (100, True), (140, True)])
def test_in_a_terminal_one_live_line(width, has_bar):
    clock = Clock()
    console = Console(file=io.StringIO(), force_terminal=True, width=width, color_system=None)
    with progress(console, clock=clock) as bar:
        for step in range(0, 1001, 10):
            clock.now += 0.05
            bar.update(step, 1000, step * 64, {'loss': 0.5, 'accuracy': 0.96})
    output = console.file.getvalue()
    assert output.count('\n') == 1, 'one line, redrawn in place'
    assert 20 <= output.count('steps/s') <= 35, 'five drawings a second at most'
    last = output[output.rindex('\x1b[2K') :]
    assert all(
        word in last
        for word in (
            '100%',
            'done',
            '200 steps/s',
            '12.8k examples/s',
            'loss 0.5',
            'accuracy 0.96',
        )
    )
    assert ('━' in last) == has_bar


def test_an_exception_passes_and_the_last_state_is_told():
    console, clock = plain(), Clock()
    with pytest.raises(KeyError), progress(console, clock=clock) as bar:
        bar.update(1, 10, 1)
        bar.update(2, 10, 2)
        raise KeyError
    assert 'step 2/10' in lines(console)[-1]


def test_a_notebook_has_one_line_that_is_written_anew(monkeypatch):
    shown, written = [], []

    class Handle:
        def update(self, content, raw):
            written.append(content['text/plain'])

    def display(content, raw, display_id):
        assert raw and display_id
        shown.append(content['text/plain'])
        return Handle()

    fake = types.SimpleNamespace(display=display)
    monkeypatch.setitem(sys.modules, 'IPython.display', fake)
    console = Console(file=io.StringIO(), force_terminal=False, force_jupyter=True)
    clock = Clock()
    with progress(console, clock=clock) as bar:
        for step in range(0, 101, 10):
            clock.now = 100 + step
            bar.update(step, 100, step * 32)
    assert len(shown) == 1 and shown[0].startswith('step 0/100') and 'done' in written[-1]
    assert len(written) == 10 and lines(console) == []


def test_in_a_terminal_as_many_metrics_as_there_is_room_for_the_first_ones():
    clock = Clock()
    console = Console(file=io.StringIO(), force_terminal=True, width=80, color_system=None)
    metrics = {'test_perplexity': 60.5, 'validation_token_loss': 0.25, 'validation_auc': 0.875}
    with progress(console, clock=clock) as bar:
        for step in range(0, 1001, 500):
            clock.now += 5
            bar.update(step, 1000, step * 64, metrics, trials_done=3, trials_total=16)
    output = console.file.getvalue()
    assert output.count('\n') == 1 and 'test perplexity 60.5' in output
    assert 'trials 3/16' in output and 'auc' not in output
