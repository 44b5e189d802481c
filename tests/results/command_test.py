"""python -m lbexp.results: tables, SQL, files, tags, and mistakes in one line."""

import csv
import io
import json
import subprocess
import sys

import pytest
from written_workdirs import write

from lbexp import results

pytestmark = pytest.mark.processes


def run(*arguments):
    return subprocess.run(
        [sys.executable, '-m', 'lbexp.results', *map(str, arguments)],
        capture_output=True,
        text=True,
    )


@pytest.fixture
def sweep(tmp_path):
    own = [{'optimizer.learning_rate': rate, 'seed': 0} for rate in (0.1, 0.2)]
    return write(
        tmp_path / 'run',
        [{'trial': t, 'step': 4, 'loss': t + 0.25} for t in (0, 1)],
        own,
        ['done', 'diverged'],
    )


def test_the_command_prints_the_final_metrics(sweep):
    done = run(sweep)
    assert done.returncode == 0 and done.stderr == ''
    for word in ('optimizer.learning_rate', 'diverged', '0.25', '1.25'):
        assert word in done.stdout


def test_the_name_of_a_column_is_no_markup(sweep):
    done = run(sweep, '--sql', 'select trial as "[red]:smile:" from final')
    assert done.returncode == 0 and '[red]:smile:' in done.stdout


def test_the_command_answers_sql_writes_csv_and_parquet(sweep, tmp_path):
    done = run(
        sweep, '--sql', 'select trial, loss * 2 as double from rows order by trial desc', '--csv'
    )
    assert list(csv.reader(io.StringIO(done.stdout))) == [
        ['trial', 'double'],
        ['1', '2.5'],
        ['0', '0.5'],
    ]
    assert (
        run(sweep, f'--parquet={tmp_path / "a.parquet"}', f'--csv={tmp_path / "a.csv"}').returncode
        == 0
    )
    import duckdb

    for reader in (f"'{tmp_path / 'a.parquet'}'", f"'{tmp_path / 'a.csv'}'"):
        query = (
            f'select trial, "optimizer.learning_rate", status, loss from {reader} order by trial'
        )
        assert duckdb.sql(query).fetchall() == [(0, 0.1, 'done', 0.25), (1, 0.2, 'diverged', 1.25)]


@pytest.mark.parametrize(
    'arguments', [['--sql', 'select nothing_like_it from rows'], ['--csv=/proc/absent/file.csv']]
)
def test_a_mistake_is_one_line_and_exit_code_2(sweep, arguments):
    done = run(sweep, *arguments)
    assert done.returncode == 2 and done.stdout == '' and len(done.stderr.strip().splitlines()) == 1
    assert done.stderr.startswith('error: ') and 'Traceback' not in done.stderr


def test_a_path_that_is_no_workdir_is_one_line(tmp_path):
    done = run(tmp_path)
    assert (
        done.returncode == 2
        and len(done.stderr.strip().splitlines()) == 1
        and '--workdir' in done.stderr
    )


def test_tags_are_columns_and_no_part_of_what_varies(tmp_path):
    """A trial that was asked for twice shows both; a tag that is named like something else gets a
    prefix."""
    folder = write(tmp_path, [{'trial': 1, 'step': 1, 'loss': 0.5}], [{'seed': 0}, {'seed': 1}])
    document = json.loads((folder / 'config.json').read_text())
    document['trials'][0]['tags'] = [{'arm': 'sgd', 'case': 3, 'loss': 'x', 'seed': 7}]
    document['trials'][1]['tags'] = [{'arm': 'sgd', 'case': 4}, {'arm': 'lamb', 'case': 4}]
    (folder / 'config.json').write_text(json.dumps(document))
    finals = results.final(folder)
    assert results.tags(finals) == ['arm', 'case', 'tag.loss', 'tag.seed']
    assert results.varied(finals) == ['seed'] and results.measured(finals) == ['loss']
    assert finals['arm'].tolist() == ['sgd', 'sgd, lamb'] and finals['case'].tolist() == [3, 4]
    assert results.read(folder)['arm'].tolist() == ['sgd, lamb']
    assert [trial for trial, _ in results.roles(folder)] == [0, 1, 1]
    answer = run(folder, '--sql=select trial from final where "case" = 4', '--csv')
    assert answer.stdout.splitlines()[1:] == ['1'], answer.stderr
