"""The report from outside: curves, tables, the page's source, and the page in a browser."""

import functools
import html.parser
import io
import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from reports import EVERY, sweep
from rich.console import Console

from lbexp import results
from lbexp.analysis import Analysis, Claim, Figure, Series, Table, interval
from lbexp.report import claims, curves, figure, table
from lbexp.report.page import page

# Pictures take a second each: one test has them.
bare_page = functools.partial(page, figure_formats=())

NASTY = '</script><script>document.title="broken"</script><b>&"\''


class Source(html.parser.HTMLParser):
    """Text, and what a page would load."""

    def __init__(self, text):
        super().__init__()
        self.loads, self.words, self.tags, self._tag = [], [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self._tag = tag
        if tag != 'a':
            self.loads += [
                value for name, value in attrs if name in ('src', 'href', 'data', 'srcset')
            ]

    def handle_data(self, data):
        if self._tag not in ('script', 'style'):
            self.words.append(data)

    @property
    def text(self):
        return ' '.join(self.words)


# Curves


def test_every_trial_has_a_curve_with_its_rows(tmp_path):
    rows = results.read(sweep(tmp_path))
    drawn = {one.name: one for one in curves.curves(rows)}
    assert list(drawn) == ['loss', 'test_loss', 'accuracy', 'test_accuracy', 'learning_rate']
    loss = drawn['loss']
    assert len(loss.series) == 6 and loss.caption == '' and loss.y_scale == 'log'
    for trial, series in enumerate(loss.series):
        assert list(series.x) == list(range(1, 41))
        assert np.allclose(series.y, (1 + trial) / np.arange(1, 41))
        assert series.group == f'learning_rate {(0.1, 0.2)[trial // 3]}'
        assert f'trial {trial}' in series.name and f'seed {trial % 3}' in series.name
    assert list(drawn['test_loss'].series[0].x) == [10, 20, 30, 40]
    assert list(curves.curves(rows, 'examples')[0].series[0].x) == list(range(32, 1281, 32))


def test_a_diverged_trial_ends_with_a_mark(tmp_path):
    loss = curves.curves(results.read(sweep(tmp_path, diverged=[4])))[0]
    mark = loss.series[-1]
    assert (mark.name, mark.style, list(mark.x)) == ('diverged', 'points', [19])
    assert mark.y[0] == pytest.approx(5 / 19) and len(loss.series) == 7
    assert max(loss.series[4].x) == 19


def test_long_curves_keep_their_spikes_and_say_so(tmp_path):
    values = np.linspace(2, 1, 50_000)
    values[[12_345, 30_001]] = 50, 0.001
    rows = {
        'workdir': np.full(50_000, 'w', object),
        'trial': np.zeros(50_000, int),
        'step': np.arange(50_000),
    }
    drawn = curves.curves(rows | {'loss': values})[0]
    (series,) = drawn.series
    assert len(series.x) <= curves.POINTS and series.x[0] == 0 and series.x[-1] == 49_999
    assert max(series.y) == 50 and min(series.y) == 0.001
    assert np.array_equal(values[series.x], series.y) and np.all(np.diff(series.x) > 0)
    assert f'At most {curves.POINTS} rows of a trial' in drawn.caption


def test_of_many_trials_best_and_worst_are_drawn_and_the_number_is_told(tmp_path):
    count = 2000
    last = np.random.default_rng(0).permutation(count) + 1.0
    rows = {'workdir': np.full(2 * count, 'w', object), 'trial': np.repeat(np.arange(count), 2)}
    rows |= {
        'step': np.tile([1, 2], count),
        'loss': np.stack([np.full(count, 9.0), last], 1).ravel(),
    }
    drawn = curves.curves(rows)[0]
    ends = [series.y[-1] for series in drawn.series]
    assert len(ends) == curves.LINES and min(ends) == 1 and max(ends) == count
    assert np.median(ends) == pytest.approx(count / 2, rel=0.02)
    assert f'{curves.LINES} of {count} trials are drawn' in drawn.caption


def test_a_schedule_is_drawn_on_a_linear_axis_unless_trials_are_far_apart():
    rows = {
        'workdir': np.full(8, 'w', object),
        'trial': np.repeat([0, 1], 4),
        'step': np.tile([1, 2, 3, 4], 2),
    }
    schedule = np.array([0.1, 1, 0.5, 1e-6])
    for factor, scale in ((2, 'linear'), (100, 'log')):
        rates = {'learning_rate': np.concatenate([schedule, factor * schedule])}
        assert curves.curves(rows | rates)[0].y_scale == scale


def test_no_rows_no_figures_and_one_row_is_a_point(tmp_path):
    assert curves.curves(results.read(sweep(tmp_path / 'none', steps=0))) == []
    (tmp_path / 'none' / 'report.html').unlink(missing_ok=True)
    drawn = curves.curves(results.read(sweep(tmp_path / 'one', rates=(0.1,), seeds=1, steps=1)))[0]
    assert figure.figure(drawn)['data'][0]['mode'] == 'markers'


# The closing table


def test_medians_and_intervals_over_seeds_without_diverged_trials(tmp_path):
    finals = results.final(sweep(tmp_path, seeds=5, diverged=[7]))
    content = table.table(finals, ['test_loss'])
    assert content.columns == ['learning_rate', 'trials', 'test loss']
    assert [row[:2] for row in content.rows] == [['0.1', '5'], ['0.2', '4 of 5 (1 diverged)']]
    for row, trials in zip(content.rows, ([0, 1, 2, 3, 4], [5, 6, 8, 9])):
        expected = interval([(2 + trial) / 40 for trial in trials])
        told = [float(number) for number in re.findall(r'[\d.]+', row[2])]
        assert told == pytest.approx(expected, abs=0.006)
    assert 'not averaged in' in content.caption


def test_one_trial_has_a_value_and_no_interval(tmp_path):
    content = table.table(results.final(sweep(tmp_path, rates=(0.1,), seeds=1)))
    assert (
        content.rows == [['0.1', '1', '0.025', '0.9875', '0.05', '0.9']]
        and 'no interval' in content.caption
    )


def test_the_accuracy_of_a_diverged_trial_is_not_averaged_in_though_finite(tmp_path):
    finals = results.final(sweep(tmp_path, rates=(0.1,), seeds=2, diverged=[0]))
    assert finals['accuracy'].tolist() == [1 - 0.5 / 20, 1 - 0.5 / 40]
    assert table.table(finals, ['accuracy']).rows == [['0.1', '1 of 2 (1 diverged)', '0.9875']]


def test_a_configuration_that_diverged_altogether_has_no_value(tmp_path):
    content = table.table(results.final(sweep(tmp_path, seeds=2, diverged=[2, 3])), ['loss'])
    assert content.rows[1] == ['0.2', '0 of 2 (2 diverged)', '–']


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


# Figures


def test_the_page_holds_everything_and_loads_nothing(tmp_path):
    analysis = Analysis(
        'Flat to <8192>',
        'Error stays flat.',
        [Table('Steps & bounds', ['batch'], [[64]])],
        [EVERY],
        True,
    )
    environment = {
        'jax': '0.10.2',
        'command': 'python -m lbexp.main',
        'devices': ['cpu:0', 'cpu:1'],
    }
    path = page(sweep(tmp_path, diverged=[1], environment=environment), analysis)
    text = path.read_text()
    source = Source(text)
    assert path == tmp_path / 'report.html' and len(text) < 6e6
    assert source.loads == [] and not re.search(
        r'@import|url\(\s*["\']?http', text[: text.index('<script>')]
    )
    assert text.count('* plotly.js v') == 1
    for words in (
        'Flat to <8192>',
        'Error stays flat.',
        'claim held',
        'Steps & bounds',
        '6 trials: 5 done, 1 diverged',
    ):
        assert words in source.text
    for words in (
        'Final metrics',
        '2 of 3 (1 diverged)',
        'optimizer.b1',
        '0.9',
        'cpu:1',
        'python -m lbexp.main',
        'diverged',
    ):
        assert words in source.text
    names = {'every', 'loss', 'test_loss', 'accuracy', 'test_accuracy', 'learning_rate'}
    files = {f'{name}.{kind}' for name in names for kind in ('png', 'pdf', 'csv')}
    assert {file.name for file in (tmp_path / 'figures').iterdir()} == files
    links = set(re.findall(r'<a href="([^"]+)"', text[: text.index('<script>')]))
    assert links == {f'figures/{name}' for name in files}
    assert not list(tmp_path.glob('*.part'))


def test_a_study_with_tables_of_its_own_folds_the_closing_table(tmp_path):
    path = bare_page(
        sweep(tmp_path / 'own'), Analysis('T', 'V', [Table('Own', ['batch'], [[64]])], [])
    )
    text = path.read_text()
    assert text.index('<h2>Own</h2>') < text.index(
        '<details id="final"><summary><h2>Final metrics</h2>'
    )
    assert '<details id="final">' not in bare_page(sweep(tmp_path / 'none')).read_text()


def test_what_a_configuration_sets_is_short(tmp_path):
    """Parts by their names, nothing as a dash, long lists cut: in the closing table and in that of
    the trials."""
    folder = sweep(tmp_path, seeds=1)
    content = json.loads((folder / 'config.json').read_text())
    probes = [
        {'name': 'distance', 'origin': 'start'},
        {'name': 'stationary_moments', 'burn_in': 456},
    ]
    for trial in content['trials']:
        first = trial['trial'] == 0
        trial['overrides'] = {
            'probes': probes if first else [],
            'spectrum': [0.125] * 99 if first else [1.0],
        }
    (folder / 'config.json').write_text(json.dumps(content))
    rows = table.table(results.final(folder)).rows
    assert rows[0][0] == 'distance, stationary_moments'
    assert (
        len(rows[0][1]) == 48
        and rows[0][1].startswith('[0.125, 0.125')
        and rows[0][1].endswith('…')
    )
    assert rows[1][:2] == ['–', '[1.0]']
    assert 'burn_in' not in Source(bare_page(folder).read_text()).text


def test_values_are_text_not_html(tmp_path):
    folder = sweep(
        tmp_path,
        rates=(NASTY,),
        seeds=1,
        config={'note': NASTY, NASTY: 1},
        environment={'x': NASTY},
    )
    source = Source(
        bare_page(
            folder, Analysis(NASTY, NASTY, [Table(NASTY, [NASTY], [[NASTY]], NASTY)], [])
        ).read_text()
    )
    assert source.tags.count('script') == 3 and 'b' not in source.tags
    assert source.text.count(NASTY) >= 9


def test_a_claim_that_failed_a_run_without_rows_and_a_run_without_config(tmp_path):
    text = bare_page(
        sweep(tmp_path / 'empty', steps=0), Analysis('T', 'No.', [], [], False)
    ).read_text()
    assert 'claim failed' in Source(text).text and 'No row was recorded.' in Source(text).text
    folder = sweep(tmp_path / 'bare')
    (folder / 'config.json').unlink()
    (folder / 'status.json').unlink()
    text = Source(bare_page(folder).read_text()).text
    assert '6 trials: 6 unknown' in text and 'Not recorded.' in text


def test_thousands_of_trials_stay_a_small_page(tmp_path):
    folder = sweep(tmp_path, rates=[i / 100 for i in range(1, 501)], seeds=4, steps=10)
    text = bare_page(folder).read_text()
    words = Source(text).text
    assert len(text) < 6e6 and '2000 trials: 2000 done' in words
    assert '160 of 2000 trials are drawn' in words and '500 of 2000 trials' in words


def test_trials_of_different_batch_sizes_meet_at_equal_epochs(tmp_path):
    folder = sweep(tmp_path, seeds=1)
    content = json.loads((folder / 'config.json').read_text())
    for trial in content['trials']:
        trial['overrides'] = {'batch_size': 32 * (1 + trial['trial'])}
    (folder / 'config.json').write_text(json.dumps(content))
    bare_page(folder)
    header = (folder / 'figures' / 'loss.csv').read_text().splitlines()[0]
    assert header == 'series,group,epochs,loss,low,high'


def test_a_tag_called_epoch_is_no_abscissa(tmp_path):
    folder = sweep(tmp_path, seeds=1)
    content = json.loads((folder / 'config.json').read_text())
    for trial in content['trials']:
        trial['overrides'] = {'batch_size': 32 * (1 + trial['trial'])}
        trial['tags'] = [{'epoch': trial['trial']}]
    (folder / 'config.json').write_text(json.dumps(content))
    rows = list(map(json.loads, (folder / 'metrics.jsonl').read_text().splitlines()))
    for row in rows:
        del row['epoch']
    (folder / 'metrics.jsonl').write_text('\n'.join(map(json.dumps, rows)) + '\n')
    bare_page(folder)
    header = (folder / 'figures' / 'loss.csv').read_text().splitlines()[0]
    assert header.startswith('series,group,step')


def browse(path, profile):
    """The page's document after its scripts ran, and what they said on the console."""
    browser = next(
        filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None
    )
    assert browser, 'this test opens the report in a browser: apt-get install chromium'
    command = [
        browser,
        '--headless=new',
        '--no-sandbox',
        '--disable-gpu',
        f'--user-data-dir={profile}',
    ]
    command += [
        '--enable-logging=stderr',
        '--virtual-time-budget=20000',
        '--dump-dom',
        path.as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    console = [line for line in done.stderr.splitlines() if 'CONSOLE' in line]
    return done.stdout, console


@pytest.mark.browser
def test_a_browser_draws_every_curve_without_a_word_on_the_console(tmp_path):
    folder = sweep(tmp_path / 'run', diverged=[2], config={'note': NASTY})
    dom, console = browse(bare_page(folder, Analysis('T', '', [], [EVERY])), tmp_path / 'profile')
    assert console == []
    assert '<title>T</title>' in dom
    drawn = dom.split('id="plot-')[1:]
    traces = [part.count('class="trace scatter trace') for part in drawn]
    assert traces == [8, 7, 7, 7, 7, 7], (
        'the study: five series, one in a band; then six trials and a mark'
    )
    for part, expected in zip(drawn[1:], [6, 5, 6, 6, 6], strict=True):  # one test loss: a point
        layer = part[part.index('class="scatterlayer') : part.index('class="legend"')]
        lines = re.findall(r'class="js-line"[^>]* d="(M[^"]*)"', layer)
        assert len(lines) == expected and all('L' in line for line in lines)


def test_a_figure_of_the_study_named_like_a_metric_keeps_its_files(tmp_path):
    workdir = sweep(tmp_path)
    own = Figure('loss', 'Mine', 'x', 'y', [Series('only', [1.0, 2.0], [3.0, 4.0])])
    bare_page(workdir, Analysis('t', '', [], [own]))
    assert (workdir / 'figures' / 'loss.csv').read_text().splitlines()[1].startswith('only,')
    assert len((workdir / 'figures' / 'loss_curves.csv').read_text().splitlines()) > 3


def test_claims_stand_in_page_and_workdir(tmp_path):
    told = [
        Claim('A | claim', 'measured <0.1>', 'reproduced', 0.02),
        Claim('Another', 'x', 'undecided at this budget', 0.3),
        Claim('Exact', 'no draws', 'reproduced'),
    ]
    analysis = Analysis('Study', 'It holds.', [], [], None, told)
    text = bare_page(sweep(tmp_path), analysis).read_text()
    assert (
        'A | claim' in text
        and 'measured &lt;0.1&gt;' in text
        and 'undecided at this budget' in text
    )
    claims.write(tmp_path, analysis)
    lines = (tmp_path / 'claims.md').read_text().splitlines()
    assert (
        lines[0] == '# Study'
        and '| A \\| claim | measured <0.1> | reproduced | 0.02 | 0.04 |' in lines
    )
    assert '| Exact | no draws | reproduced |  |  |' in lines
    # without claims there is nothing to write
    claims.write(tmp_path / 'nowhere', analysis._replace(claims=()))
    assert claims.claims(analysis._replace(claims=())) == []
