"""Adult: does somebody earn more than 50,000 dollars a year? A census table."""

from lbexp.data.packages import Recipe, _widedeep


def adult() -> Recipe:
    """48,842 people of the 1994 US census (Becker and Kohavi 1996, UCI, doi:10.24432/C5XW20).

    Columns: 5 numbers and 9 categories ('?' where not known), `income` ('<=50K', '>50K').
    `education` and `educational-num` say the same.
    """

    def write(files, folder):
        return _widedeep.write_query(files, folder, 'select * from {adult}')

    return Recipe('1.0.0', (_widedeep.WHEEL,), 'CC BY 4.0 (UCI)', write)
