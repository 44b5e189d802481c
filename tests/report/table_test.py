"""The closing table: medians and intervals over seeds, in the page and in a terminal."""

import io
import re

import pytest
from reports import sweep
from rich.console import Console

from lbexp import results
from lbexp.analysis import Table, interval
from lbexp.report import table


def test_medians_and_intervals_over_seeds_without_diverged_trials(tmp_path):
    finals = results.final(sweep(tmp_path, seeds=5, diverged=[7]))
    content = table.table(finals, ['test_loss'])
    assert content.columns == ['learning_rate', 'test loss', 'trials']
    assert [row[0] for row in content.rows] == ['0.1', '0.2']
    assert [row[2] for row in content.rows] == ['5', '4 of 5 (1 diverged)']
    for row, trials in zip(content.rows, ([0, 1, 2, 3, 4], [5, 6, 8, 9])):
        expected = interval([(2 + trial) / 40 for trial in trials])
        told = [float(number) for number in re.findall(r'[\d.]+', row[1])]
        assert told == pytest.approx(expected, abs=0.006)
    assert 'not averaged in' in content.caption


def test_one_trial_has_a_value_and_no_interval(tmp_path):
    content = table.table(results.final(sweep(tmp_path, rates=(0.1,), seeds=1)))
    assert (
        content.rows == [['0.1', '0.025', '0.9875', '0.05', '0.9', '1']]
        and 'no interval' in content.caption
    )


def test_the_accuracy_of_a_diverged_trial_is_not_averaged_in_though_finite(tmp_path):
    finals = results.final(sweep(tmp_path, rates=(0.1,), seeds=2, diverged=[0]))
    assert finals['accuracy'].tolist() == [1 - 0.5 / 20, 1 - 0.5 / 40]
    assert table.table(finals, ['accuracy']).rows == [['0.1', '0.9875', '1 of 2 (1 diverged)']]


def test_a_configuration_that_diverged_altogether_has_no_value(tmp_path):
    content = table.table(results.final(sweep(tmp_path, seeds=2, diverged=[2, 3])), ['loss'])
    assert content.rows[1] == ['0.2', '–', '0 of 2 (2 diverged)']


def test_the_table_in_the_terminal_shows_markup_as_text():
    console = Console(file=io.StringIO(), width=100)
    table.show(
        Table('Title', ['[red]name', 'x'], [['[bold]a', 0.123456], ['[/b]', None]], '[caption]'),
        console,
    )
    for word in ('Title', '[red]name', '[bold]a', '0.12346', '[/b]', '[caption]'):
        assert word in console.file.getvalue()


@pytest.mark.parametrize('width', [80, 140])
def test_the_closing_table_fits_the_terminal_with_every_number(tmp_path, width):
    content = table.table(results.final(sweep(tmp_path, seeds=5, diverged=[7])))
    console = Console(file=io.StringIO(), width=width)
    table.show(content, console)
    printed = console.file.getvalue()
    assert max(map(len, printed.splitlines())) <= width and '…' not in printed
    words = printed.split()
    for row in content.rows:
        assert all(word in words for cell in row for word in cell.split())


def test_of_thousands_of_configurations_the_best_are_in_the_table(tmp_path):
    """Test accuracy, which decides, grows with the number of the trial; the last three diverged."""
    rates = [rate / 1000 for rate in range(1, 701)]
    folder = sweep(tmp_path, rates=rates, seeds=1, steps=20, diverged=[697, 698, 699])
    content = table.table(results.final(folder), ['test_loss'])
    assert len(content.rows) == table.MOST
    best = rates[697 - table.MOST : 697]
    assert [row[0] for row in content.rows] == [f'{rate:.5g}' for rate in best]
    assert f'{table.MOST} of 700 configurations, the best' in content.caption
    few = table.table(results.final(sweep(tmp_path / 'few')), ['test_loss'])
    assert 'configurations, the best' not in few.caption
