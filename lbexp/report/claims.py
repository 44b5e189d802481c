"""The claims of a study beside what was measured: as a table, and as claims.md in the workdir."""

import math
from pathlib import Path

from lbexp import inference
from lbexp.analysis import Analysis, Table
from lbexp.engine.metrics_file import replace
from lbexp.local_path import local_path

_COLUMNS = ('claim', 'measured', 'verdict', 'p', 'p, all claims')


def claims(analysis: Analysis) -> list[Table]:
    """The table of claims; none where the study makes none."""
    if not analysis.claims:
        return []
    caption = (
        'Below claims stands what their paper measured. Reproduced: the interval lies on the side '
        'that the claim says; not reproduced: on the other; else undecided. Under-trained: a claim '
        'on generalization, of networks that fit their training sets unequally well. p: two-sided, '
        "by flipping the signs of the differences from the claim's boundary (Fisher 1935), alone "
        'and corrected for the number of claims (Holm 1979).'
    )
    return [Table('Claims', _COLUMNS, _rows(analysis.claims), caption)]


def write(workdir: Path, analysis: Analysis):
    """Writes claims.md, a Markdown table; nothing where there are no claims."""
    if not analysis.claims:
        return
    lines = [
        f'# {analysis.title}',
        '',
        analysis.verdict,
        '',
        f'| {" | ".join(_COLUMNS)} |',
        '|---' * len(_COLUMNS) + '|',
    ]
    for row in _rows(analysis.claims):
        lines.append(f'| {" | ".join(map(_cell, row))} |')
    content = '\n'.join(lines) + '\n'
    replace(local_path(str(workdir), 'workdir') / 'claims.md', content.encode())


def _rows(claims):
    corrected = inference.holm([claim.p_value for claim in claims])
    # of neighbours with one paper, after the last
    next_papers = [claim.paper for claim in claims[1:]] + ['']
    rows = []
    for claim, of_all, next_paper in zip(claims, corrected, next_papers, strict=True):
        rows.append(
            [claim.claim, claim.measured, claim.outcome, _p(claim.p_value), _p(of_all)],
        )
        if claim.paper and claim.paper != next_paper:
            rows.append([f'in the paper: {claim.paper}', '', '', '', ''])
    return rows


def _p(value):
    return '' if math.isnan(value) else f'{value:.2g}'


def _cell(text):
    # a bar or a line's end would end the cell
    return str(text).replace('|', '\\|').replace('\n', ' ')
