"""Keeps what a study found: python scripts/keep_results.py WORKDIR experiments/results/NAME

Copies claims.md and the study's own figures (PNG, CSV), without those of speed, which are those of
a machine at some moment. Beside them it leaves what every interval can be computed from again:

    environment.json  command, commit, machine and versions
    claims.json       each claim with its effects, draw by draw
    trials.csv        each trial: tags, seed, what was tuned, status, final errors; of a study of
                      steps to a target the update that reached it, inf for none; of a study that
                      judges by a metric, that of each set
    TABLE.csv         the study's tables: chosen rates, edges, counts, divergences
"""

import csv
import json
import math
import pathlib
import re
import shutil
import sys
from typing import Any

from lbexp import documents, results
from lbexp.analysis import Analysis
from lbexp.config import lookup
from lbexp.errors import Refusal
from lbexp.report.file_names import file_names
from lbexp.studies._targets import first_reached

_PARTS = ('test', 'train', 'validation')
_TAGS = ('arm', 'stage', 'phase', 'tuning', 'extension', 'point', 'case')


def main(argv: list[str]) -> int:
    if len(argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    workdir, target = pathlib.Path(argv[1]), pathlib.Path(argv[2])
    try:
        facts = documents.document(workdir / documents.CONFIG, documents.Config)
    except FileNotFoundError:
        print(
            f'{workdir}: no {documents.CONFIG} there; give the --workdir of a run', file=sys.stderr
        )
        return 2
    except (Refusal, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    if not (workdir / 'report.html').exists():
        print(f'{workdir}: no report.html yet; let the run end, then keep it', file=sys.stderr)
        return 2
    study = lookup.build('study', facts['config']['study'])
    target.mkdir(parents=True, exist_ok=True)
    if (workdir / 'claims.md').exists():
        shutil.copy(workdir / 'claims.md', target)
    analysis = study.analyse(workdir)
    for figure in analysis.figures:
        if figure.name.startswith('speed'):
            continue
        for kind in ('png', 'csv'):
            shutil.copy(workdir / 'figures' / f'{figure.name}.{kind}', target)
    seen = facts['environment']
    environment = {
        name: _without_folders(seen[name]) for name in sorted(seen) if name != 'platform'
    }
    parts = [part for part in seen['command'].split() if not part.startswith('--workdir')]
    environment['command'] = _without_folders(' '.join(parts))
    environment['trials'] = len(facts['trials'])
    (target / 'environment.json').write_text(json.dumps(environment, indent=1) + '\n')
    (target / 'verdict.txt').write_text(analysis.verdict + '\n')
    keep_claims(analysis, target)
    keep_tables(analysis, target)
    keep_trials(workdir, target, facts['config']['study'])
    return 0


def keep_claims(analysis: Analysis, target: pathlib.Path):
    """claims.json: the claims, with NaN as null."""
    claims = []
    for claim in analysis.claims:
        content = claim._asdict()
        content['p_value'] = _number(claim.p_value)
        content['effects'] = list(map(_number, claim.effects))
        claims.append(content)
    (target / 'claims.json').write_text(json.dumps(claims, indent=1, allow_nan=False) + '\n')


def keep_tables(analysis: Analysis, target: pathlib.Path):
    """A CSV file of each of the study's tables."""
    names = file_names([f'table_{table.title.lower()}' for table in analysis.tables])
    for name, table in zip(names, analysis.tables, strict=True):
        _write(target / f'{name}.csv', table.columns, table.rows)


def keep_trials(workdir: pathlib.Path, target: pathlib.Path, study: dict[str, Any]):
    """trials.csv: a row for each trial and set of tags; errors are empty where a trial diverged.

    Args:
        study: as configured.
    """
    finals = results.final(workdir)
    row_of = {trial: row for row, trial in enumerate(finals['trial'].tolist())}
    entries = {entry['trial']: entry for entry in results.entries(workdir)}
    columns = ['trial', *_TAGS, 'seed', 'settings', 'status', 'step']
    columns += [f'{part}_error' for part in _PARTS]
    reached = {}
    if study['name'] == 'steps_to_target':
        reached = first_reached(workdir, study['target'], study.get('metric', 'error'))
        columns.append('reached')
    metrics = []
    # where it is not set, or 'error', trials are judged by the errors
    if study.get('metric') not in (None, 'error'):
        metrics = [f'{part}_{study["metric"]}' for part in _PARTS]
    metrics = [metric for metric in metrics if metric in finals]
    columns += metrics
    rows = []
    for trial, tags in _roles(entries):
        settings = dict(entries[trial]['overrides'])
        row = [trial, *(tags.get(tag, '') for tag in _TAGS), settings.pop('seed', '')]
        row.append(json.dumps(settings))
        place = row_of.get(trial)
        row += _ending(finals, place)
        if reached:
            row.append(reached.get(trial, math.inf))
        row += [_value(finals, place, metric) for metric in metrics]
        rows.append(row)
    _write(target / 'trials.csv', columns, rows)


def _roles(entries):
    """(trial, tags) of each trial, as often as the study asked for it; no tags where it has none,
    as in a study whose trials are alike but for the seed."""
    pairs = []
    for trial, entry in entries.items():
        for tags in entry.get('tags') or [{}]:
            pairs.append((trial, tags))
    return pairs


def _ending(finals, place):
    """Status, step and errors of a trial; place None: it has no row."""
    if place is None:
        return ['no row', '', *[''] * len(_PARTS)]
    status = finals['status'][place]
    ending = [status, int(finals['step'][place])]
    for part in _PARTS:
        accuracy = _value(finals, place, f'{part}_accuracy')
        ending.append('' if accuracy == '' else 1 - accuracy)
    return ending


def _value(finals, place, column):
    """The last number of a trial, '' where it is not done or has none; place None: it has no
    row."""
    if place is None or finals['status'][place] != 'done' or column not in finals:
        return ''
    value = float(finals[column][place])
    return '' if math.isnan(value) else value


def _without_folders(value):
    """A text whose absolute paths are names of files: folders are of the machine."""
    return re.sub(r'(^|[\s=])/\S*/', r'\1', value) if isinstance(value, str) else value


def _write(file, columns, rows):
    with open(file, 'w', newline='') as opened:
        writer = csv.writer(opened, lineterminator='\n')
        writer.writerow(columns)
        writer.writerows(rows)


def _number(value):
    return value if math.isfinite(value) else None


if __name__ == '__main__':
    sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
    sys.exit(main(sys.argv))
