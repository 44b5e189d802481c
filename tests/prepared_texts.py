"""Data sets as `lbexp.data.prepare` leaves them, for tests."""

import hashlib
import json

import duckdb


def prepared(folder, name, rows, columns):
    """A data set as `lbexp.data.prepare` leaves it."""
    home = folder / name / '1.0.0'
    home.mkdir(parents=True)
    file = home / 'examples.parquet'
    with duckdb.connect() as connection:
        connection.execute(f'create table examples ({columns})')
        marks = ', '.join('?' * len(rows[0]))
        connection.executemany(f'insert into examples values ({marks})', rows)
        connection.table('examples').write_parquet(str(file))
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    (home / 'about.json').write_text(json.dumps({'file': file.name, 'sha256': digest}))
