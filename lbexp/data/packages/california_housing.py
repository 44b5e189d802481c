"""California housing: the median house value of a district, a regression on eight numbers."""

from lbexp.data.packages import Recipe, _widedeep


def california_housing() -> Recipe:
    """20,640 districts of the 1990 census (Pace and Barry 1997, doi:10.1016/S0167-7152(96)00140-X).

    `MedHouseVal` [100,000 dollars] is cut at 5.
    """

    def write(files, folder):
        return _widedeep.write_query(files, folder, 'select * from {california_housing}')

    return Recipe('1.0.0', (_widedeep.WHEEL,), 'public domain (StatLib)', write)
