"""The numbers of a trial: where they stand in its configuration, by path ('transforms.0.eta'), and
which of them its program can take as arguments."""

import re
from collections.abc import Collection
from typing import Any

import jax
import numpy as np

from lbexp import errors
from lbexp.config import fields
from lbexp.dotted import flatten
from lbexp.engine.arguments import FOLD, data
from lbexp.engine.components import components
from lbexp.engine.contracts import check_distinct
from lbexp.engine.evaluation import evaluation
from lbexp.engine.measurement import measurement
from lbexp.engine.shape_checks import Breach
from lbexp.engine.step import initial_state, segment, train_step

# Parts whose numbers may be traced.
_TRACED_PARTS = fields.traced('arguments')
_SHAPES = ('replicas.workers',)  # integers that no program can trace
# What a data set holds no program can trace either, but for how its pictures are augmented, and
# which fold of it is whose.
_DATA, _AUGMENTATION = 'workload.data.', 'workload.data.augment.'
_CHUNK = 2  # examples evaluated: of one example a mean would look like a value


def numbered(config: dict, numbers: dict[str, Any]) -> dict:
    """`config` with the entries at the paths of `numbers` replaced."""

    def rebuilt(value: Any, path: str) -> Any:
        if path in numbers:
            return numbers[path]
        if isinstance(value, dict):
            return {k: rebuilt(v, f'{path}.{k}'.lstrip('.')) for k, v in value.items()}
        if isinstance(value, list):
            return [rebuilt(v, f'{path}.{i}') for i, v in enumerate(value)]
        return value

    return rebuilt(config, '')


def leaves(config: dict) -> dict[str, Any]:
    """{path: value} of everything in a configuration, lists taken apart."""
    return flatten(config, lists=True)


def entries(config: dict, paths: Collection[str]) -> dict[str, Any]:
    """{path: value} of a configuration at these paths, in its order."""
    return {path: value for path, value in leaves(config).items() if path in paths}


def numeric(
    config: dict, kinds: Any = (int, float), parts: tuple[str, ...] = _TRACED_PARTS
) -> set[str]:
    """The paths in `parts` of numbers of these kinds that a program might trace."""
    paths = set()
    for path, value in leaves(config).items():
        # A bool is an int to Python, and never a number here.
        is_number = isinstance(value, kinds) and not isinstance(value, bool)
        part, _, _ = path.partition('.')
        is_of_data = path.startswith(_DATA) and path != FOLD
        if path.startswith(_AUGMENTATION):
            is_of_data = False
        if is_number and part in parts and path not in _SHAPES and not is_of_data:
            paths.add(path)
    return paths


def traceable(config: dict, steps: int) -> tuple[set[str], dict[str, str]]:
    """The numbers with which training, rows and evaluation can be traced, and why others cannot be:
    {path: why}.

    A part that looks at a number in Python (`if clip > 0`) splits programs by it, and by it alone:
    JAX names it, or else each is tried by itself. Where every part can be traced, one abstract
    trace shows it.

    Args:
        config: plain data, as config.resolve returns it.
        steps: length of the run [updates].

    Raises:
        Exception: what the trial raises with no number traced: that is the user's to hear.
    """
    # A workload's integers are sizes, but for the number of a fold.
    optimizing = tuple(part for part in _TRACED_PARTS if part != 'workload')
    wanted = numeric(config, float) | numeric(config, int, optimizing)
    wanted |= numeric(config, int) & {FOLD}
    refused = {}
    while (error := _failure(config, steps, wanted)) is not None:
        culprits = dict.fromkeys(wanted & _named(error), error)
        culprits = culprits or _failing_alone(config, steps, wanted)
        # Where only some of them together fail, none is traced.
        refused |= culprits or dict.fromkeys(wanted, error)
        wanted = wanted - refused.keys()
    return wanted, {path: _in_words(reason) for path, reason in refused.items()}


def _failing_alone(config, steps, paths):
    """{path: what a trace with this number alone raises}, of those that raise something."""
    _trace(config, steps, set())  # what has nothing to do with numbers is the user's to hear
    failures = {}
    for path in sorted(paths):
        error = _failure(config, steps, {path})
        if error is not None:
            failures[path] = error
    return failures


def _failure(config, steps, paths):
    """What a trace with these numbers raises; None: nothing."""
    try:
        _trace(config, steps, paths)
    # A contract is broken whichever numbers are traced.
    except Breach:
        raise
    except Exception as error:
        return error


def _named(error):
    """The numbers whose values JAX says that Python asked for."""
    paths = set()
    for cause in errors.chain(error):
        if isinstance(cause, jax.errors.ConcretizationTypeError):
            paths |= set(re.findall(r"numbers\['([^']+)'\]", str(cause)))
    return paths


def _in_words(error):
    """Why a number cannot be traced; with the place, where that is in code of the user's."""
    if errors.user_frame(error) is not None:
        return errors.describe(error)
    lines = str(error).splitlines() or [type(error).__name__]
    return lines[0]


def _trace(config, steps, paths):
    """One abstract evaluation of all that a program does; every contract of a part is looked at on
    the way."""
    size = config['microbatch'] or config['batch_size']
    accumulate = config['microbatch'] is not None

    # The names of these arguments are what `_named` finds in JAX's message.
    def run(numbers, seed, steps, accumulation, arrays):
        batch_size = accumulation * size if accumulate else size
        traced = {**numbers, 'seed': seed, 'batch_size': batch_size}
        trial = components(numbered(config, traced), steps, arrays)
        train = segment(trial, train_step(trial))
        # Ticks are of no matter: only shapes are computed.
        state, columns = train(initial_state(trial), steps, steps, steps)
        evaluated = evaluation(trial, _CHUNK)(state)
        check_distinct(columns, evaluated.columns)
        columns = columns | evaluated.columns
        for place in range(len(trial.evaluation_probes)):
            measured = measurement(trial, place, _CHUNK)(state)
            check_distinct(columns, measured)
            columns = columns | measured
        return state, columns, evaluated.per_example

    numbers = entries(config, paths)
    seed, one_microbatch = np.uint32(config['seed']), np.int32(1)
    arrays = data(config['workload'], config['init_from'], traced=paths)
    jax.eval_shape(run, numbers, seed, np.int32(steps), one_microbatch, arrays)
