"""The fields of a configuration: default, type and range, unit, meaning, and what else is to be
known of each.

One table. `base`, the check, the command line's --help, what a resumed run may change and what a
program traces all read it.
"""

from typing import Annotated, Literal

from annotated_types import Ge, Gt, Interval
from ml_collections import ConfigDict

from lbexp.config._field import ABSENT, LARGEST, Field, Fractions, NonNegativeCount, Points
from lbexp.config._field import Count as Count
from lbexp.config._field import Part as Part
from lbexp.config._place_fields import PLACE_FIELDS
from lbexp.config._start_fields import START_FIELDS

FIELDS = (
    # What is trained, and by what.
    Field(
        'workload',
        {'name': 'digits_mlp'},
        Part('workload'),
        'data, model, loss and metrics',
        traced='arguments',
    ),
    Field(
        'precision',
        'float32',
        Literal['float32', 'bfloat16'],
        "of the network's products, to and fro; parameters, gradients, optimizer state, running "
        'averages, means and variances of norms, and the loss are float32',
    ),
    Field(
        'optimizer',
        {'name': 'momentum', 'learning_rate': 0.1},
        Part('optimizer'),
        "a file of lbexp/optimizers, 'optax:adamw' or 'package.module:function'",
        traced='arguments',
    ),
    Field(
        'transforms',
        (),
        Part('optimizer', several=True),
        "chained before the optimizer: gradient noise, clipping ('optax:clip_by_global_norm')",
        traced='arguments',
    ),
    Field(
        'schedule',
        {'name': 'constant'},
        Part('schedule'),
        'multiplies every learning rate of the optimizer',
        traced='arguments',
    ),
    *START_FIELDS,
    # The batch, and what follows its size.
    Field('batch_scaling', {}, dict, 'how the learning rate follows the batch size'),
    Field(
        'batch_scaling.rule',
        None,
        Literal['linear', 'square_root', 'square_root_adam'] | None,
        'None: it does not follow',
    ),
    Field(
        'batch_scaling.reference',
        None,
        Count | None,
        'the batch size at which the factor is 1',
        'examples',
    ),
    Field(
        'batch_size',
        64,
        Count,
        'the global batch',
        'examples per update',
        traced='with a microbatch',
    ),
    Field(
        'microbatch',
        None,
        Count | None,
        'set: batch size is a number, and all batch sizes of a sweep share one program; None: '
        'the global batch',
        'examples per forward and backward pass',
    ),
    Field(
        'regime_adaptation',
        None,
        Count | None,
        'as many updates as `epochs` of this batch size would make; None: as many epochs',
        'examples',
        traced='always',
    ),
    Field(
        'batch_growth',
        {},
        dict,
        'the batch grows in training; empty: it does not; needs a microbatch',
    ),
    Field(
        'batch_growth.boundaries',
        ABSENT,
        tuple[Fractions, ...],
        'where it grows',
        'fractions of the examples',
    ),
    Field('batch_growth.factor', ABSENT, Annotated[float, Gt(0)], 'by what'),
    Field('batch_growth.largest', ABSENT, Count | None, 'up to what', 'examples'),
    # The length of the run, and what is recorded of it.
    Field(
        'steps', None, Count | None, 'length of the run; or set epochs', 'updates', traced='always'
    ),
    Field(
        'epochs',
        None,
        Annotated[float, Interval(gt=0, le=LARGEST)] | None,
        'length of the run; or set steps',
        'passes over the training set',
        traced='always',
    ),
    Field(
        'stop_at',
        None,
        Annotated[float, Interval(gt=0, le=1)] | None,
        'where a run ends whose schedule, and growth of the batch, are those of the whole length, '
        'of which it is the beginning; None: at its end',
        'share of the length',
        traced='always',
    ),
    Field(
        'seed',
        0,
        Annotated[int, Interval(ge=0, le=2**32 - 1)],
        'of initial weights, data order, dropout and noise',
        traced='always',
    ),
    Field('num_rows', 100, Count, 'of metrics, evenly spaced over the run', 'rows per trial'),
    Field(
        'num_evaluations',
        20,
        NonNegativeCount,
        'at rows evenly spaced over the run',
        'evaluations per trial',
        watches=True,
    ),
    Field(
        'evaluate_train',
        0,
        NonNegativeCount,
        'the first of the training set, that each evaluation covers too: metrics train_...',
        'examples',
        watches=True,
    ),
    Field(
        'evaluate_test',
        'all',
        Literal['all'] | NonNegativeCount,
        'the first of the test set, that each evaluation covers; 0: a study that looks at the '
        'validation set alone is spared it',
        'examples',
        watches=True,
    ),
    Field(
        'num_checkpoints',
        'auto',
        Literal['auto'] | NonNegativeCount,
        "evenly spaced over the run; 'auto': 5, without those that come within 10 s of the one "
        'before; one more at the end, and when it is interrupted',
        'checkpoints per cohort',
        watches=True,
    ),
    # What is measured, and what is changed for that.
    Field(
        'probes',
        (),
        Part('probe', several=True),
        'measurements beyond the norms: at every update, or at evaluations, as each says',
        traced='arguments',
    ),
    Field(
        'keep_examples',
        'auto',
        Literal['auto'] | tuple[str, ...],
        'metrics of the test and validation set whose values of each example are kept at the end, '
        "a bit each where they are 0 or 1, else 4 bytes; 'auto': the accuracy, where there is one; "
        '(): none',
        watches=True,
    ),
    Field(
        'example_weights',
        {},
        Part('example_weights', optional=True),
        'multiplicative gradient noise; empty: every example weighs 1',
        traced='arguments',
    ),
    # Which trials there are.
    Field(
        'sweep',
        (),
        list,
        '((path, values), ...): trials are the product; a tuple of paths goes with tuples of '
        'values',
    ),
    Field('search', {}, dict, 'quasi-random points, each with the whole sweep; empty: none'),
    Field(
        'search.trials',
        ABSENT,
        Points,
        'more of them later keep the first and run only what is new',
        'points',
    ),
    Field('search.space', ABSENT, list, "((path, 'log', 'linear' or 'whole', low, high), ...)"),
    Field('search.kind', ABSENT, Literal['halton', 'sobol'], 'the sequence; absent: halton'),
    Field('search.seed', ABSENT, Annotated[int, Ge(0)], 'of the scrambling; absent: 0'),
    Field('study', {'name': 'training'}, Part('study'), 'the question asked of the trials'),
    *PLACE_FIELDS,
)
# Names of before: each looked like an interval, and was a count.
RENAMED = {'log': 'num_rows', 'evaluate': 'num_evaluations', 'checkpoint': 'num_checkpoints'}
BY_NAME = {field.name: field for field in FIELDS}
PARTS = {field.name: field.annotation for field in FIELDS if isinstance(field.annotation, Part)}
GROUPS = tuple(field.name for field in FIELDS if field.annotation is dict)
TOP_LEVEL = tuple(name for name in BY_NAME if '.' not in name)


def base() -> ConfigDict:
    """The configuration that every experiment file starts from.

    A part (workload, optimizer, transforms, schedule, probes, study) is a dict: 'name' is looked up
    (config.lookup), the rest are the arguments of the function that it names. `None` means: not
    set. `python -m lbexp.main --help` lists the fields.
    """
    # Values are checked against the table once the file is read, with what it allows in words.
    config = ConfigDict(type_safe=False)
    for field in FIELDS:
        if field.default is not ABSENT:
            group, _, name = field.name.rpartition('.')
            holder = config[group] if group else config
            holder[name] = field.default
    return config


def inner(group: str) -> list[str]:
    """The fields that the dict `group` may have."""
    names = []
    for field in FIELDS:
        holder, _, name = field.name.rpartition('.')
        if holder == group:
            names.append(name)
    return names


def watching() -> tuple[str, ...]:
    """Fields that may change when a run goes on: they say how it is watched over, not what it
    computes."""
    return tuple(field.name for field in FIELDS if field.watches)


def traced(how: str) -> tuple[str, ...]:
    """Fields that a program traces `how`: 'always', 'with a microbatch', or their 'arguments'."""
    return tuple(field.name for field in FIELDS if field.traced == how)
