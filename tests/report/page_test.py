"""The page of a report: all of it in one file, in words and in a browser."""

import base64
import gzip
import json
import re
import shutil
import subprocess

import pytest
from reports import EVERY, NASTY, Source, bare_page, sweep

from lbexp import results
from lbexp.analysis import Analysis, Figure, Series, Table
from lbexp.report import table
from lbexp.report.page import page


def unpacked(text, name):
    """What the page's script reads from an element: gzip in base 85."""
    (content,) = re.findall(rf' id="{name}" data-alphabet="[^"]*">([^<]*)</script>', text)
    return gzip.decompress(base64.b85decode(content.replace(',', '<'))).decode()


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
    assert path == tmp_path / 'report.html' and len(text) < 2e6
    assert source.loads == [] and not re.search(
        r'@import|url\(\s*["\']?http', text[: text.index('<script>')]
    )
    assert unpacked(text, 'plotly').count('* plotly.js v') == 1
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
    names.add('final_learning_rate')
    files = {f'{name}.{kind}' for name in names for kind in ('png', 'pdf', 'csv')}
    assert {file.name for file in (tmp_path / 'figures').iterdir()} == files
    links = set(re.findall(r'<a href="([^#"][^"]*)"', text[: text.index('<script>')]))
    assert links == {f'figures/{name}' for name in files}
    assert not list(tmp_path.glob('*.part'))


def test_a_study_with_tables_of_its_own_folds_the_closing_table(tmp_path):
    path = bare_page(
        sweep(tmp_path / 'own'), Analysis('T', 'V', [Table('Own', ['batch'], [[64]])], [])
    )
    text = path.read_text()
    own = text.index('open><summary><h2>Own</h2>')
    assert own < text.index('<details id="final"><summary><h2>Final metrics</h2>')
    alone = bare_page(sweep(tmp_path / 'none')).read_text()
    assert 'open><summary><h2>Final metrics</h2>' in alone


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
    assert len(text) < 2.2e6 and '2000 trials: 2000 done' in words
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
    assert traces == [4, 9, 7, 7, 7, 7, 7], (
        'two rates with error bars; the study: five series, one in a band and one with error bars; '
        'then six trials and a mark'
    )
    for part, expected in zip(drawn[2:], [6, 5, 6, 6, 6], strict=True):  # one test loss: a point
        layer = part[part.index('class="scatterlayer') : part.index('class="legend"')]
        lines = re.findall(r'class="js-line"[^>]* d="(M[^"]*)"', layer)
        assert len(lines) == expected and all('L' in line for line in lines)


@pytest.mark.browser
def test_the_reader_smooths_the_curves_and_chooses_their_scale(tmp_path):
    path = bare_page(sweep(tmp_path / 'run'), Analysis('T', '', [], [EVERY]))
    script = """<script>
    const state = i => { const plot = document.getElementById('plot-' + i);
      return {y: plot.data[0].y, type: plot.layout.yaxis.type}; };
    const change = (smooth, scale) => { const tools = document.querySelector('.tools');
      tools.querySelector('input').checked = smooth; tools.querySelector('select').value = scale;
      tools.dispatchEvent(new Event('change', {bubbles: true})); };
    setTimeout(() => { const seen = [[state(1), state(2)]];
      for (const how of [[true, 'log'], [false, 'linear'], [false, '']]) {
        change(...how); seen.push([state(1), state(2)]); }
      document.body.append(Object.assign(document.createElement('pre'),
        {id: 'seen', textContent: JSON.stringify(seen)})); }, 5000);
    </script></body>"""
    path.write_text(path.read_text().replace('</body>', script))
    dom, console = browse(path, tmp_path / 'profile')
    assert console == []
    seen = json.loads(re.findall(r'<pre id="seen">(.*?)</pre>', dom)[0])
    before, smooth, linear, again = seen
    assert again == before and linear[1] == {**before[1], 'type': 'linear'}
    # those of the study stay as they are
    assert all(state[0] == before[0] for state in seen)
    mean = weight = 0.0
    expected = []
    for value in before[1]['y']:
        mean, weight = 0.9 * mean + 0.1 * value, 0.9 * weight + 0.1
        expected.append(mean / weight)
    assert smooth[1]['y'] == pytest.approx(expected) and smooth[1]['type'] == 'log'
    assert len(expected) > 2 and expected != pytest.approx(before[1]['y'])


@pytest.mark.browser
def test_a_click_on_the_head_of_a_column_sorts_by_its_numbers(tmp_path):
    rows = [['b', '10 [9, 11]'], ['a', '9.5 [9, 10]'], ['c', '–'], ['d', '1e-3']]
    path = bare_page(sweep(tmp_path / 'run'), Analysis('T', '', [Table('S', ['x', 'y'], rows)], []))
    click = '<script>document.querySelectorAll(".sortable th")[1].click()</script></body>'
    path.write_text(path.read_text().replace('</body>', click))
    dom, console = browse(path, tmp_path / 'profile')
    table = dom[dom.index('<table class="sortable">') :].partition('</table>')[0]
    assert console == [] and re.findall(r'<td>([a-d])</td>', table) == ['d', 'a', 'b', 'c']
    assert 'aria-sort="ascending"' in table


def test_a_figure_of_the_study_named_like_a_metric_keeps_its_files(tmp_path):
    workdir = sweep(tmp_path)
    own = Figure('loss', 'Mine', 'x', 'y', [Series('only', [1.0, 2.0], [3.0, 4.0])])
    bare_page(workdir, Analysis('t', '', [], [own]))
    assert (workdir / 'figures' / 'loss.csv').read_text().splitlines()[1].startswith('only,')
    assert len((workdir / 'figures' / 'loss_curves.csv').read_text().splitlines()) > 3


@pytest.mark.parametrize('seeds', [1, 4096])
def test_the_page_of_thousands_of_trials_is_little_larger_than_that_of_a_few(tmp_path, seeds):
    """Each a configuration of its own, or all of one: what a browser has to hold is bounded."""
    rates = [rate / 4096 for rate in range(1, 4096 // seeds + 1)]
    many = bare_page(sweep(tmp_path / 'many', rates=rates, seeds=seeds, steps=2))
    few = bare_page(sweep(tmp_path / 'few', seeds=1, steps=2))
    assert many.stat().st_size < 3e6
    assert many.stat().st_size - few.stat().st_size < 300_000
