"""MovieLens 100k: who likes which film? Users and films as the columns of a click log."""

from typing import Literal

from lbexp.datasets import Dataset
from lbexp.datasets._packaged import packaged_table
from lbexp.ranges import NonNegativeInteger, PositiveInteger, checked

_PEOPLE_AND_FILMS = ('user_id', 'movie_id', 'gender', 'occupation', 'zip_code')
_NUMBERS = ('age', 'release_year')
_GENRES = (
    'Action',
    'Adventure',
    'Animation',
    "Children's",
    'Comedy',
    'Crime',
    'Documentary',
    'Drama',
    'Fantasy',
    'Film-Noir',
    'Horror',
    'Musical',
    'Mystery',
    'Romance',
    'Sci-Fi',
    'Thriller',
    'War',
    'Western',
)


@checked
def movielens_100k(
    split: Literal['random', 'time'] = 'random',
    bins: PositiveInteger | None = 32,
    validation: NonNegativeInteger = 7286,
    replacement: bool = False,
) -> Dataset:
    """72,855 ratings of films by 943 users (Harper and Konstan 2015, doi:10.1145/2827872; for
    research, not to be passed on); the label is `liked`, more than three stars, 76 % of them.
    Ratings of three stars are left out (Song et al. 2019, arXiv:1810.11921).

    25 columns are the inputs: 5 of ids and categories, age and year of release in intervals, 18
    genres. Rating and time are none.

    Args:
        split: 'random': a tenth is for testing, with the same share of both labels, and most users
            and films are known from training; 'time': the last tenth, as a click log is used, whose
            users are mostly new. The validation examples are chosen alike.
        bins: of age and year, see file; None: they stay numbers.
        validation: examples of the training set held out for tuning; 0: none.
        replacement: draw training examples with replacement.

    Raises:
        ValueError: not prepared: python -m lbexp.data.prepare movielens_100k.
    """
    return packaged_table(
        'movielens_100k',
        'MovieLens 100k, GroupLens',
        label='liked',
        columns=(*_PEOPLE_AND_FILMS, *_NUMBERS, *_GENRES),
        categorical=(*_PEOPLE_AND_FILMS, *_GENRES),
        missing='mean',
        bins=bins,
        test=0.1,
        split='stratified' if split == 'random' else 'time',
        by='timestamp' if split == 'time' else None,
        validation=validation,
        replacement=replacement,
    )
