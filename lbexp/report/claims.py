"""The claims of a study beside what was measured: as a table, and as claims.md in the workdir."""

from pathlib import Path

from lbexp.analysis import Analysis, Table
from lbexp.engine.metrics_file import replace
from lbexp.local_path import local_path


def claims(analysis: Analysis) -> list[Table]:
    """The table of claims; none where the study makes none."""
    if not analysis.claims:
        return []
    caption = (
        'Reproduced: the interval lies on the side that the claim says; not reproduced: on the '
        'other; else undecided.'
    )
    columns = ('claim', 'measured', 'verdict')
    rows = list(map(list, analysis.claims))
    return [Table('Claims', columns, rows, caption)]


def write(workdir: Path, analysis: Analysis):
    """Writes claims.md, a Markdown table; nothing where there are no claims."""
    if not analysis.claims:
        return
    lines = [
        f'# {analysis.title}',
        '',
        analysis.verdict,
        '',
        '| claim | measured | verdict |',
        '|---|---|---|',
    ]
    for claim in analysis.claims:
        lines.append(f'| {" | ".join(map(_cell, claim))} |')
    content = '\n'.join(lines) + '\n'
    replace(local_path(str(workdir), 'workdir') / 'claims.md', content.encode())


def _cell(text):
    # a bar or a line's end would end the cell
    return str(text).replace('|', '\\|').replace('\n', ' ')
