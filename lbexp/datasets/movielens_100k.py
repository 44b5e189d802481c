"""MovieLens 100k: who likes which film? Users and films as the columns of a click log."""

from typing import Literal

from lbexp.datasets import Dataset
from lbexp.datasets._packaged import packaged_table
from lbexp.ranges import NonNegativeInteger, PositiveInteger, checked

_PEOPLE_AND_FILMS = ('movie_id', 'gender', 'occupation', 'zip_code')
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
# kinds of lbexp.datasets.file, and their columns
_SPLITS = {
    'random': ('stratified', None),
    'user': ('group', 'user_id'),
    'time': ('time', 'timestamp'),
}


@checked
def movielens_100k(
    split: Literal['random', 'user', 'time'] = 'random',
    bins: PositiveInteger | None = 32,
    validation: NonNegativeInteger = 7286,
    replacement: bool = False,
    fold: NonNegativeInteger | None = None,
    folds: PositiveInteger = 5,
) -> Dataset:
    """72,855 ratings of films by 943 users (Harper and Konstan 2015, doi:10.1145/2827872; for
    research, not to be passed on); the label is `liked`, more than three stars, 76 % of them.
    Ratings of three stars are left out (Song et al. 2019, arXiv:1810.11921).

    25 columns are the inputs: 5 of ids and categories, age and year of release in intervals, 18
    genres. Rating and time are none.

    Args:
        split: what is asked, a tenth being for testing, and the validation examples chosen alike.
            'random': which other films do the same people like? Users and films are shared between
            training and test, with the same share of both labels: for comparisons with the
            literature, and of optimizers. 'user': what do new people like? No user of the test set
            is in training, and `user_id`, which would be unknown, is no input. 'time': the last
            tenth, as a click log is used, whose users are mostly new.
        bins: of age and year, see file; None: they stay numbers.
        validation: examples of the training set held out for tuning; 0: none.
        replacement: draw training examples with replacement.
        fold: the test set is this fold of `folds` instead, of ratings or of users; without a
            validation set.
        folds: into which the ratings or users are cut; not with 'time'.

    Raises:
        ValueError: not prepared: python -m lbexp.data.prepare movielens_100k; or a fold by time.
    """
    kind, by = _SPLITS[split]
    people_and_films = _PEOPLE_AND_FILMS if split == 'user' else ('user_id', *_PEOPLE_AND_FILMS)
    return packaged_table(
        'movielens_100k',
        'MovieLens 100k, GroupLens',
        label='liked',
        columns=(*people_and_films, *_NUMBERS, *_GENRES),
        categorical=(*people_and_films, *_GENRES),
        missing='mean',
        bins=bins,
        test=0.1,
        split=kind,
        by=by,
        validation=0 if fold is not None else validation,
        replacement=replacement,
        fold=fold,
        folds=folds,
    )
