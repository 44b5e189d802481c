"""SQL over results reads two tables and nothing else; a tree of somebody else's names only
itself."""

import pytest
from reports import sweep

from lbexp import results
from lbexp.report import page
from lbexp.results.__main__ import main

QUERIES = (
    "select * from read_csv('/etc/passwd')",
    "select * from '/etc/passwd'",
    "select * from read_text('/etc/passwd')",
    "select * from glob('/etc/*')",
    "copy rows to '{folder}/stolen.csv'",
    "export database '{folder}/stolen'",
    "import database '{folder}'",
    "attach '{folder}/stolen.db'",
    'install httpfs',
    'load httpfs',
    "select * from 'https://localhost/x.parquet'",
    'set enable_external_access = true',
    'reset lock_configuration',
    "set allowed_paths = ['/etc/passwd']",
    "set temp_directory = '{folder}/stolen'",
    'select * from columns',
    'select * from tables',
    "create persistent secret s (type http, bearer_token 'x')",
    "select 1; copy final to '{folder}/stolen.csv'",
)


@pytest.fixture(scope='module')
def workdir(tmp_path_factory):
    return sweep(tmp_path_factory.mktemp('sql') / 'w', steps=3, rates=(0.1,), seeds=2)


@pytest.mark.parametrize('query', QUERIES)
def test_a_query_reaches_no_file_no_extension_and_no_setting(workdir, tmp_path, capsys, query):
    tables = {'kept': 1}  # a variable of Python is no table either
    assert main([str(workdir), '--sql', query.format(folder=tmp_path)]) == 2 and tables
    told = capsys.readouterr()
    assert told.err.count('\n') == 1 and told.err.startswith('error: ') and 'root:' not in told.out
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize('name', ['out', 'with space', '[x]*?', "it's"])
def test_what_the_user_asks_for_is_written_also_over_an_old_file(
    workdir, tmp_path, monkeypatch, name
):
    import duckdb

    monkeypatch.setenv('HOME', str(tmp_path))
    for _ in range(2):
        files = [f'--csv=~/{name}.csv', f'--parquet={tmp_path}/{name}.parquet']
        assert (
            main(
                [str(workdir), *files, ('--sql=select trial, loss from rows order by trial, step')]
            )
            == 0
        )
    assert (tmp_path / f'{name}.csv').read_text().splitlines()[:2] == ['trial,loss', '0,1.0']
    (tmp_path / f'{name}.parquet').rename(tmp_path / 'plain.parquet')
    assert len(duckdb.sql(f"from '{tmp_path}/plain.parquet'").fetchall()) == 6
    assert {path.name for path in tmp_path.iterdir()} == {f'{name}.csv', 'plain.parquet'}
    # A query may write the file that the user named, and no other.
    assert (
        main(
            [
                str(workdir),
                f'--csv={tmp_path}/mine.csv',
                (f"--sql=copy rows to '{tmp_path}/other.csv'"),
            ]
        )
        == 2
    )


def test_a_statement_without_a_table_is_refused(workdir, capsys):
    assert main([str(workdir), '--sql=-- nothing']) == 2
    assert 'gives no table' in capsys.readouterr().err


def test_html_and_control_characters_in_names_and_values_are_text(tmp_path, capsys):
    bad = '<script>alert(1)</script>\x1b[31m'
    folder = sweep(
        tmp_path, rates=(bad,), seeds=1, steps=2, config={'optimizer': {'name': bad}, bad: bad}
    )
    content = (
        (folder / 'metrics.jsonl').read_text().replace('"accuracy"', '"<b onclick=x>\\u001b[2J"')
    )
    (folder / 'metrics.jsonl').write_text(content)
    text = page.page(folder, figure_formats=()).read_text()
    assert '<script>alert' not in text and '<b onclick' not in text
    assert main([str(folder)]) == 0 and main([str(folder), '--sql=select * from rows']) == 0
    assert '\x1b' not in capsys.readouterr().out


def test_a_tree_in_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    monkeypatch.chdir(tmp_path)
    sweep(tmp_path / 'runs' / 'a', steps=2, rates=(0.1,), seeds=1)
    assert (
        results.read('~/runs')['step'].tolist() == [1, 2]
        and page.page('~/runs/a', figure_formats=()).exists()
    )
    with pytest.raises(ValueError, match="found 'gs://bucket/runs'"):
        results.read('gs://bucket/runs')
