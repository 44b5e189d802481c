"""MovieLens 100k: who likes which film? A click-model table of users and films."""

from lbexp.data.packages import Recipe, _widedeep

_QUERY = """
    select user_id, movie_id, age, gender, occupation, zip_code,
        cast(right(release_date, 4) as integer) as release_year,
        items.* exclude (movie_id, movie_title, release_date, video_release_date, "IMDb_URL"),
        timestamp, rating, cast(rating > 3 as integer) as liked
    from {MovieLens100k_data} as ratings
        join {MovieLens100k_users} as users using (user_id)
        join {MovieLens100k_items} as items using (movie_id)
    where rating <> 3
    order by timestamp, user_id, movie_id
"""


def movielens_100k() -> Recipe:
    """72,855 ratings of 943 users and 1,682 films (Harper and Konstan 2015, doi:10.1145/2827872).

    `liked` is 1 above three stars; the ratings of three are left out (Song et al. 2019,
    arXiv:1810.11921). In the order of time [s]: the last ones are the future.
    """

    def write(files, folder):
        return _widedeep.write_query(files, folder, _QUERY)

    licence = 'GroupLens: for research, not to be passed on'
    return Recipe('1.0.0', (_widedeep.WHEEL,), licence, write)
