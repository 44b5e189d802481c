"""Tables: CSV, TSV and Parquet, read by PyArrow."""

import pathlib

import numpy as np

from lbexp.datasets._decoded import Columns


def table(path: pathlib.Path) -> Columns:
    """{column: float64, int64, bool or text [rows]} of a table; a missing number is NaN, a missing
    text ''.

    Raises:
        ValueError: it cannot be read, has no rows or two columns of one name, or a column of
            another type (a date, a list).
    """
    import pyarrow as pa
    from pyarrow import csv, parquet

    try:
        if path.suffix == '.parquet':
            rows = parquet.read_table(path)
        else:
            delimiter = '\t' if path.suffix == '.tsv' else ','
            rows = csv.read_csv(path, parse_options=csv.ParseOptions(delimiter=delimiter))
    except (pa.ArrowException, OSError) as error:
        line = str(error).partition('\n')[0]
        # its frames, of compiled code, would pass for the user's
        raise ValueError(f'{path}: cannot be read ({line}); allowed: a table') from None
    names = rows.column_names
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f'{path}: found two columns {twice[0]!r}; allowed: a name once')
    arrays = {}
    for name in names:
        arrays[name] = _column(path, name, rows.column(name).combine_chunks(), pa)
    return Columns(arrays, None)


def _column(path, name, values, pa):
    kind = values.type
    if pa.types.is_dictionary(kind):
        values = values.dictionary_decode()
        kind = values.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return np.array([text or '' for text in values.to_pylist()], np.str_)
    if pa.types.is_null(kind):
        return np.full(len(values), np.nan)
    if pa.types.is_boolean(kind) and not values.null_count:
        return values.to_numpy(zero_copy_only=False)
    if pa.types.is_integer(kind) and not values.null_count:
        return values.to_numpy().astype(np.int64)
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return values.cast(pa.float64()).to_numpy(zero_copy_only=False)
    if pa.types.is_decimal(kind):
        return values.cast(pa.float64()).to_numpy(zero_copy_only=False)
    if pa.types.is_temporal(kind):
        # for a split by time; seconds, days, ... in the column's own unit
        as_integers = values.cast(pa.int32() if pa.types.is_date32(kind) else pa.int64())
        return as_integers.to_numpy(zero_copy_only=False).astype(np.float64)
    raise ValueError(f'{path}: column {name!r}: found {kind}; allowed: numbers, texts, True/False')
