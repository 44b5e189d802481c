"""The claims of a study stand in the page and in a file of the workdir."""

from reports import bare_page, sweep

from lbexp.analysis import Analysis, Claim
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
