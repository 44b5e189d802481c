"""The claims of a study stand in the page and in a file of the workdir."""

from reports import bare_page, sweep

from lbexp.analysis import REPRODUCED, Analysis, Claim
from lbexp.report import claims


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


def test_a_paper_stands_once_below_neighbours_that_are_of_it():
    papers = ('a', 'a', '', 'b', 'a')
    of_papers = [Claim(str(i), '1', REPRODUCED, paper=paper) for i, paper in enumerate(papers)]
    (table,) = claims.claims(Analysis('t', 'v', [], [], True, of_papers))
    shown = [row[0].removeprefix('in the paper: ') for row in table.rows]
    assert shown == ['0', '1', 'a', '2', '3', 'b', '4', 'a']
