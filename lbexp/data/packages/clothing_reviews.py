"""Women's clothing reviews: texts with titles, and labels of two qualities."""

from lbexp.data.packages import Recipe, _widedeep

_QUERY = """
    select "Title" as title, "Review Text" as review, "Rating" as rating,
        "Recommended IND" as recommended, "Department Name" as department,
        "Clothing ID" as clothing
    from {WomensClothingE-CommerceReviews}
    where title is not null and review is not null
    qualify row_number() over (partition by review order by "__index_level_0__") = 1
    order by "__index_level_0__"
"""


def clothing_reviews() -> Recipe:
    """Reviews with a title, each text once (Agarap 2018, arXiv:1805.03687).

    `recommended` is what the writer said; `rating` >= 4 says the same of most, a label of less
    quality.
    """

    def write(files, folder):
        return _widedeep.write_query(files, folder, _QUERY)

    return Recipe('1.0.0', (_widedeep.WHEEL,), 'CC0 1.0', write)
