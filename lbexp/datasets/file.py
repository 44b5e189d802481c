"""Examples of your own: a table (.csv, .tsv, .parquet), an archive (.npz), a folder of images."""

import functools
import os
from collections.abc import Sequence
from typing import Literal

import jax

from lbexp.data.augmentation import augmented
from lbexp.datasets import Dataset
from lbexp.datasets._columns import Choice
from lbexp.datasets._decoded import stamp
from lbexp.datasets._division import Division, parted
from lbexp.datasets._folds import is_alike, of_fold
from lbexp.datasets._inferred import Options, encoded_columns
from lbexp.datasets._sources import TABLES, read
from lbexp.local_path import local_path
from lbexp.ranges import NonNegativeInteger, Number, OpenFraction, PositiveInteger, checked


@checked
def file(
    path: str,
    label: str | None = None,
    target: Literal['class', 'number'] | None = None,
    columns: Sequence[str] | None = None,
    numeric: Sequence[str] = (),
    categorical: Sequence[str] = (),
    missing: Literal['refuse', 'mean'] = 'refuse',
    bins: PositiveInteger | None = None,
    encoding: Literal['categories', 'piecewise_linear'] = 'categories',
    test: OpenFraction | str = 0.2,
    split: Literal['random', 'stratified', 'group', 'time'] | None = None,
    by: str | None = None,
    fold: NonNegativeInteger | None = None,
    folds: PositiveInteger = 5,
    validation: NonNegativeInteger = 0,
    replacement: bool = False,
    size: tuple[PositiveInteger, PositiveInteger] | None = None,
    augment: dict[str, Number] | None = None,
) -> Dataset:
    """The examples of a file, with types, classes and test rows told by its content; `schema` says
    what was inferred.

    Numbers of tables and archives are standardised by the training split; texts are categories,
    numbered by the training rows, with 0 for what is missing or unknown; bytes [h, w] or [h, w, c]
    are pictures, as are the files of a folder CLASS/*.png (or train/CLASS, test/CLASS). Arrays
    `x_train`, `x_test` of an archive, and folders train and test, are the split of their makers.

    Args:
        path: of the file or folder.
        label: its column; None: the one called label, labels, target, class or y, or else the last
            of a table.
        target: whether the label is a class or a number; None: texts, True/False, and integers of
            at most 100 values are classes.
        columns: the inputs; None: all that are nothing else.
        numeric, categorical: columns that are numbers, or categories, whatever they look like.
        missing: 'mean': a missing number is the mean of the training split; 'refuse': it is an
            error.
        bins: intervals that each numeric column of a table is cut into, by quantiles of the
            training rows; None: numbers stay numbers.
        encoding: what models of fields (dcn, autoint, ...) take of them: 'categories': which
            interval, 0 where it is missing; 'piecewise_linear': how much of each interval lies
            below the number (Gorishniy et al. 2022, arXiv:2203.05556, section 3.1).
        test: share of the examples to test on, or the name of a column that says it: True, 1 or
            'test'.
        split: how they are chosen: 'stratified': the same share of each class; 'group': rows with
            one value of the column `by` stay together, validation rows and folds too; 'time': the
            last ones by the column `by`. None: stratified by class, at random by number. One choice
            for ever, by a fixed seed.
        by: column of groups or times; it is no input.
        fold: the test set is this fold of `folds` instead (of makers' splits the validation set);
            may be traced, where all folds have one size and their training rows know the same
            categories and, with `bins`, the same limits.
        folds: into which the examples are cut, stratified by class; their number: leave-one-out.
        validation: examples of the training set held out for tuning; 0: none. By group or time
            where the test set is: about so many, the last ones before it.
        replacement: draw training examples with replacement.
        size: (height, width) to which images are resized.
        augment: of pictures, see lbexp.data.augmentation.

    Raises:
        ValueError: what the file holds is not what is asked for.
    """
    source = local_path(os.fspath(path), 'path')
    is_traced = isinstance(fold, jax.core.Tracer)
    options = Options(
        label,
        target,
        Choice(_tuple(columns), tuple(numeric), tuple(categorical), missing, bins, encoding),
        Division(test, split, by, None if is_traced else fold, folds),
        validation,
        replacement,
        _tuple(size),
    )
    # Built many times in a run, and read once; augmentation may have traced numbers.
    arguments = source, str(path), stamp(source), options
    if is_traced:
        data = of_fold(_every_fold(*arguments), fold, replacement)
    else:
        data = _dataset(*arguments)
    return data._replace(train=_augmented(data.train, data.inputs, augment))


def _tuple(values):
    return None if values is None else tuple(values)


@functools.lru_cache(8)
def _dataset(source, shown, stamp, options):
    raw, is_table = read(source, options.size), source.suffix in TABLES
    arrays, rows, inputs, target, schema = encoded_columns(raw, is_table, shown, options)
    return Dataset(
        **parted(arrays, rows, options.replacement),
        inputs=inputs,
        target=target,
        source=shown,
        schema=schema,
    )


@functools.lru_cache(2)
def _every_fold(source, shown, stamp, options):
    """Each as it is by itself, up to the first that is not alike."""
    raw, is_table = read(source, options.size), source.suffix in TABLES
    folds = []
    for fold in range(options.division.folds):
        division = options.division._replace(fold=fold)
        held_out = options._replace(division=division)
        folds.append(encoded_columns(raw, is_table, shown, held_out))
        if not is_alike(folds[0], folds[-1]):
            break
    return folds


def _augmented(source, inputs, augment):
    if augment is None:
        return source
    pictures = [name for name, known in inputs.items() if known.kind == 'image']
    if len(pictures) != 1:
        raise ValueError(f'augment: found {len(pictures)} arrays of pictures; allowed: one')
    return augmented(source, pictures[0], augment)
