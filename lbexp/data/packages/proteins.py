"""KDD Cup 2004, proteins: which of a block's candidates is of the same family? Rare positives."""

from lbexp.data.packages import Recipe, _widedeep


def proteins() -> Recipe:
    """145,751 pairs in 153 blocks, 74 numbers each, 1,296 of them with `target` 1 (KDD Cup 2004).

    Pairs of one `BLOCK_ID` belong to one protein: a split goes by block.
    """

    def write(files, folder):
        return _widedeep.write_query(files, folder, 'select * from {bio_train}')

    return Recipe('1.0.0', (_widedeep.WHEEL,), 'KDD Cup 2004: for research', write)
