"""What was inferred of the user's files: told once, and kept in the workdir."""

import json
import pathlib
from collections.abc import Callable, Iterable
from typing import Any

from lbexp.config import lookup
from lbexp.engine.metrics_file import replace

SCHEMA = 'schema.json'


def keep_schema(
    workdir: pathlib.Path, trials: Iterable[dict], log: Callable[[str], Any] = lambda line: None
) -> None:
    """Writes schema.json, {source: schema} of the data of these resolved configurations, and tells
    each source that is not in it already; nothing, where nothing was inferred."""
    path = workdir / SCHEMA
    schemas = _read(path)
    parts = {json.dumps(config['workload'], sort_keys=True) for config in trials}
    fresh = {}
    for part in sorted(parts):
        schema = lookup.build('workload', json.loads(part)).schema
        source = schema.get('source')
        if source and schemas.get(source) != schema:
            fresh[source] = schema
    for schema in fresh.values():
        for line in in_words(schema):
            log(line)
    if fresh:
        text = json.dumps({**schemas, **fresh}, indent=1)
        replace(path, text.encode())


def in_words(schema: dict[str, Any]) -> list[str]:
    """Two lines: examples and label, and the inputs; of texts, tokens and what is known of them."""
    sizes = ', '.join(f'{count} {name}' for name, count in schema['examples'].items())
    if 'tokens' in schema:
        return _texts_in_words(schema, sizes)
    label = schema['label']
    if label['kind'] == 'class':
        counts = _few(f'{name} {count}' for name, count in label['classes'].items())
    else:
        counts = f'{label["least"]:g} to {label["largest"]:g}'
    columns = []
    for name, column in schema['columns'].items():
        text = f'{name} {column["kind"]}'
        if 'distinct' in column:
            text += f' of {column["distinct"]}'
        if column['missing']:
            text += f', {column["missing"]} missing'
        columns.append(text)
    return [
        f'{schema["source"]}: {sizes} (test: {schema["test"]}); label {label["column"]}: '
        f'{label["kind"]}, {counts}',
        f'{schema["source"]}: inputs {_few(columns)}',
    ]


def _texts_in_words(schema, sizes):
    tokens = ', '.join(f'{count} {name}' for name, count in schema['tokens'].items())
    references = ', '.join(f'{name} {value:.4g}' for name, value in schema['references'].items())
    lines = [
        f'{schema["source"]}: rows: {sizes} (test: {schema["test"]}); tokens: {tokens}, '
        f'{schema["vocabulary"]} different ({schema["unit"]})'
    ]
    if references:
        lines.append(f'{schema["source"]}: on the test set: {references}')
    return lines


def _few(texts, most=12):
    texts = list(texts)
    more = f', ... ({len(texts)} in all)' if len(texts) > most else ''
    return '; '.join(texts[:most]) + more


def _read(path):
    try:
        schemas = json.loads(path.read_text())
    except (OSError, ValueError):  # absent or damaged: it is made again
        return {}
    return schemas if isinstance(schemas, dict) else {}
