"""The weights that trials begin from, where they are not fresh: which are taken, and how they reach
a program.

Who reads them (`lbexp.trained.initial_weights`) provides them here, before anything is built.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lbexp.engine.named import digest, is_key, slashed
from lbexp.errors import Refusal
from lbexp.optimizers import masks
from lbexp.workloads import Workload

PARAMS, MODEL_STATE, OPT_STATE, POSITION = 'params', 'model_state', 'opt_state', 'position'
_KINDS = tuple(f'{kind}/' for kind in (PARAMS, MODEL_STATE, OPT_STATE, POSITION))
_SHOWN = 6  # names in a message
# text of (source, trial) -> the arrays by name; read once, by whoever trains
_provided: dict[str, dict[str, np.ndarray]] = {}


class Taken(NamedTuple):
    """What a trial takes of its source. Names are paths, 'params/Dense_0/kernel'."""

    sources: dict[str, str]  # name in the model -> name in the source
    fresh: list[str]  # of the model, that stay as they were initialised
    unused: list[str]  # of the source


def provide(settings: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
    """Makes the arrays of a source known to this process.

    Args:
        settings: 'init_from' of a resolved configuration.
        arrays: by name; names that begin with none of 'params/', 'model_state/', 'opt_state/',
            'position/' are of parameters.
    """
    named = {}
    for name, values in arrays.items():
        if not name.startswith(_KINDS):
            name = f'{PARAMS}/{name}'
        named[name] = np.asarray(values)
    _provided[source_key(settings)] = named


def source_key(settings: Mapping[str, Any]) -> str:
    """Which source it is, as text."""
    key = [settings['weights'], int(settings['trial'])]
    # other arrays of the same trial
    if takes_position(settings):
        key.append(POSITION)
    elif takes_optimizer_state(settings):
        key.append(OPT_STATE)
    return json.dumps(key)


def takes_optimizer_state(settings: Mapping[str, Any]) -> bool:
    """Whether a trial goes on with the optimizer state of its source, too."""
    return settings.get('optimizer_state', False) or takes_position(settings)


def takes_position(settings: Mapping[str, Any]) -> bool:
    """Whether a trial goes on at the update of its source."""
    return settings.get('position', False)


def sha256(settings: Mapping[str, Any]) -> str | None:
    """Of the weights of a source, their names, types and shapes; None: they are not known here, as
    where a run is only read."""
    provided = _provided.get(source_key(settings))
    return None if provided is None else bytes(digest(provided)).hex()


def described(settings: Mapping[str, Any]) -> str:
    """'trial 3 of runs/a'."""
    words = f'trial {settings["trial"]} of {settings["weights"]}'
    if takes_optimizer_state(settings):
        words += ' with its optimizer state'
    if takes_position(settings):
        words += ' and at its update'
    return words


def arrays(settings: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Of a source, by name.

    Raises:
        Refusal: nobody has provided them.
    """
    provided = _provided.get(source_key(settings))
    if provided is None:
        raise Refusal(f'init_from: found no weights of {described(settings)} in this process')
    return provided


def taken(settings: Mapping[str, Any], workload: Workload) -> Taken:
    """What is taken of a source: parameters by path, and the state of layers of which parameters
    are taken.

    Raises:
        Refusal: other shapes, or nothing that could be taken.
        ValueError: an expression of `take` that matches no parameter.
    """
    return _taken(settings, workload, arrays(settings))


def require_shapes(settings: Mapping[str, Any], workload: Workload, source: Workload) -> None:
    """Raises what `taken` would of a trial of `source`, before there is one."""
    shapes = _leaves(_shapes(source))
    _taken(settings, workload, {name: leaf for name, leaf in shapes.items() if not is_key(leaf)})


def _taken(settings, workload, provided):
    """`taken`, of arrays or of their shapes by name."""
    shapes, there = _shapes(workload), _renamed(settings, provided)
    names = _matching(settings, shapes[PARAMS], there)
    layers = {_layer(name) for name in names}
    # 'batch_stats/BatchNorm_0/mean': the statistics of a layer are in a collection
    for name in slashed(shapes[MODEL_STATE], MODEL_STATE):
        layer = name.split('/')[1:-1]
        if {'/'.join(layer), '/'.join(layer[1:])} & layers and name in there:
            names.append(name)
    leaves = _leaves(shapes)
    _refuse_shapes(settings, [(name, leaves[name], provided[there[name]]) for name in names])
    if not names:
        raise Refusal(
            f'init_from: found {few(sorted(there))} in {described(settings)}, and of these '
            f'nothing to take; allowed: some of {few(sorted(leaves))}'
        )
    sources = {name: there[name] for name in names}
    fresh = [name for name in leaves if name not in sources and not is_key(leaves[name])]
    weights = {name for name in provided if not name.startswith((f'{OPT_STATE}/', f'{POSITION}/'))}
    return Taken(sources, fresh, sorted(weights - set(sources.values())))


def in_words(settings: Mapping[str, Any], workload: Workload) -> str:
    """What is taken and what is not, in one line."""
    what = taken(settings, workload)
    counts = []
    for kind, words in ((PARAMS, 'parameters'), (MODEL_STATE, 'arrays of the model state')):
        total = sum(name.startswith(f'{kind}/') for name in [*what.sources, *what.fresh])
        count = sum(name.startswith(f'{kind}/') for name in what.sources)
        if total:
            counts.append(f'{count} of {total} {words}')
    line = f'{described(settings)} (SHA-256 {(sha256(settings) or "")[:8]}): {", ".join(counts)}'
    if what.fresh:
        line += f'; fresh: {few(what.fresh)}'
    if what.unused:
        line += f'; not used of it: {few(what.unused)}'
    return line


def stacked(
    settings: Mapping[str, Any], trials: Iterable[int], workload: Workload
) -> dict[str, Any]:
    """What trials that begin from these trials of one source take, as arguments of their program:
    {'trials': [S], 'arrays': {name in the model: [S, ...]}}.

    Raises:
        Refusal: they hold other parameters than each other.
    """

    def load(trial):
        of_trial = {**settings, 'trial': trial}
        provided = arrays(of_trial)
        sources = taken(of_trial, workload).sources
        return {name: provided[source] for name, source in sources.items()}

    def refusal(first, trial):
        return Refusal(
            f'init_from: found other parameters in trials {first} and {trial} of '
            f'{settings["weights"]}; allowed: trials of one model'
        )

    return of_trials(load, trials, refusal)


def of_trials(
    load: Callable[[int], dict[str, Any]],
    trials: Iterable[int],
    refusal: Callable[[int, int], Refusal],
) -> dict[str, Any]:
    """What trials hold as arguments of a program: {'trials': [S], 'arrays': {name: [S, ...]}}.

    Args:
        load: trial -> {name: array}.
        refusal: (first trial, another) -> what is raised where their names differ.
    """
    distinct = sorted(set(map(int, trials)))
    by_trial = [load(trial) for trial in distinct]
    for trial, held in zip(distinct, by_trial, strict=True):
        if held.keys() != by_trial[0].keys():
            raise refusal(distinct[0], trial)
    joined = {}
    for name in by_trial[0]:
        joined[name] = np.stack([held[name] for held in by_trial])
    return {'trials': np.asarray(distinct, np.int32), 'arrays': joined}


def init(fresh: Callable, weights: Mapping[str, Any], trial: Any) -> Callable:
    """`fresh` (key -> (params, model_state)), what is taken in the place of what it makes.

    Args:
        weights: as `stacked` gives them.
        trial: of the source; may be traced.
    """

    def begun(key):
        place = jnp.argmax(weights['trials'] == trial)
        params, model_state = fresh(key)
        replaced = []
        for kind, tree in ((PARAMS, params), (MODEL_STATE, model_state)):
            leaves, structure = jax.tree.flatten(tree)
            for number, name in enumerate(slashed(tree, kind)):
                if name in weights['arrays']:
                    array = jnp.asarray(weights['arrays'][name])[place]
                    leaves[number] = array.astype(leaves[number].dtype)
            replaced.append(jax.tree.unflatten(structure, leaves))
        return tuple(replaced)

    return begun


def _shapes(workload):
    params, model_state = jax.eval_shape(workload.init, jax.random.key(0))
    return {PARAMS: params, MODEL_STATE: model_state}


def _leaves(shapes):
    """{name: shape and dtype} of a model."""
    leaves = {}
    for kind, tree in shapes.items():
        leaves |= dict(zip(slashed(tree, kind), jax.tree.leaves(tree), strict=True))
    return leaves


def _renamed(settings, provided):
    """{name as this model would have it: name in the source}."""
    there = {}
    for source in provided:
        kind, _, name = source.partition('/')
        for pattern, replacement in settings['rename']:
            name = re.sub(pattern, replacement, name)
        there[f'{kind}/{name}'] = source
    return there


def _matching(settings, params, there):
    """Names of the parameters that are asked for and are there."""
    marks = masks(list(settings['take']) or 'all', params, argument='init_from.take')
    names = []
    for name, is_asked in zip(slashed(params, PARAMS), jax.tree.leaves(marks), strict=True):
        if is_asked and name in there:
            names.append(name)
    return names


def _layer(name):
    """'Dense_0' of 'params/Dense_0/kernel'."""
    return '/'.join(name.split('/')[1:-1])


def _refuse_shapes(settings, pairs):
    wrong = []
    for name, leaf, array in pairs:
        if array.shape != leaf.shape:
            wrong.append(f'{name} {array.shape} there, {leaf.shape} here')
        elif not jnp.issubdtype(array.dtype, jnp.inexact):
            wrong.append(f'{name} {array.dtype} there, {leaf.dtype} here')
    if wrong:
        raise Refusal(
            f'init_from: found {"; ".join(wrong)}, of {described(settings)}; allowed: equal '
            "shapes, or a `take` that leaves them out ('!Dense_1')"
        )


def few(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    text = ', '.join(names[:_SHOWN])
    return f'{text} and {len(names) - _SHOWN} more' if len(names) > _SHOWN else text
