"""The optimizer state that trials begin with, where it is that of a trial before them.

Its arrays are provided with the weights (`initial_weights`), by names such as
'opt_state/velocity/Dense_0/kernel'.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from lbexp.engine import initial_weights
from lbexp.engine.initial_weights import OPT_STATE
from lbexp.engine.named import as_key, is_key, slashed
from lbexp.errors import Refusal


def stacked(settings: Mapping[str, Any], trials: Iterable[int]) -> dict[str, Any]:
    """The states of these trials of one source, as arguments of a program: {'trials': [S],
    'arrays': {name: [S, ...]}}.

    Raises:
        Refusal: a source has none, or they are of other optimizers than each other.
    """

    def refusal(first, trial):
        return Refusal(
            f'init_from.optimizer_state: found other states in trials {first} and {trial} of '
            f'{settings["weights"]}; allowed: trials of one optimizer'
        )

    return initial_weights.of_trials(
        lambda trial: _state({**settings, 'trial': trial}), trials, refusal
    )


def init(fresh: Callable, states: Mapping[str, Any], trial: Any) -> Callable:
    """In the place of `fresh` (params -> optimizer state): the state of the source.

    Args:
        states: as `stacked` gives them.
        trial: of the source; may be traced.
    """

    def begun(params):
        place = jnp.argmax(states['trials'] == trial)
        leaves, structure = jax.tree.flatten(fresh(params))
        names = slashed(jax.tree.unflatten(structure, leaves), OPT_STATE)
        replaced = []
        for name, leaf in zip(names, leaves, strict=True):
            replaced.append(as_key(jnp.asarray(states['arrays'][name])[place], leaf))
        return jax.tree.unflatten(structure, replaced)

    return begun


def check(config: Mapping[str, Any], shapes: Any) -> None:
    """Raises Refusal where a trial cannot go on with the optimizer state that it asks for.

    The state counts updates from the first one of the source, and an optimizer reads its rate by
    that count. A trial that counts from its own needs a constant rate.

    Args:
        config: resolved, its numbers not traced.
        shapes: of the state that its optimizer has.
    """
    settings, schedule, problems = config['init_from'], config['schedule'], []
    at_position = initial_weights.takes_position(settings)
    field = 'init_from.position' if at_position else 'init_from.optimizer_state'
    if settings['weights'] is None:
        raise Refusal(f'{field}: found no init_from.weights; allowed: a workdir')
    if not at_position and (schedule['name'] != 'constant' or schedule.get('warmup')):
        problems.append(f'found schedule {schedule}; allowed: constant, without warmup')
    if not at_position and config['batch_growth']:
        problems.append('found batch_growth; allowed: none')
    if config['replicas']:
        problems.append('found replicas; allowed: none')
    for name in ('take', 'rename'):
        if settings[name]:
            problems.append(f'found {name} {settings[name]}; allowed: all, by their names')
    problems += _differences(_state(settings), _leaves(shapes))
    if problems:
        raise Refusal(f'{field}: {"; ".join(problems)}')


def _state(settings):
    """Of a source, by name."""
    state = {}
    for name, array in initial_weights.arrays(settings).items():
        if name.startswith(f'{OPT_STATE}/'):
            state[name] = array
    # What goes on at the source's update need not have an optimizer with a state.
    if not state and not initial_weights.takes_position(settings):
        raise Refusal(
            f'init_from.optimizer_state: found none in {initial_weights.described(settings)}; '
            'allowed: the workdir of a run whose optimizer has a state'
        )
    return state


def _leaves(shapes):
    """{name: shape and dtype}, random keys as numbers."""
    leaves = {}
    for name, leaf in zip(slashed(shapes, OPT_STATE), jax.tree.leaves(shapes), strict=True):
        if is_key(leaf):
            leaf = jax.eval_shape(jax.random.key_data, leaf)
        leaves[name] = leaf
    return leaves


def _differences(there, here):
    """What of two states differs, in words."""
    differences = [f'{name} here alone' for name in here.keys() - there.keys()]
    differences += [f'{name} there alone' for name in there.keys() - here.keys()]
    for name in here.keys() & there.keys():
        pair = there[name], here[name]
        (shape, dtype), (shape_here, dtype_here) = [(leaf.shape, leaf.dtype) for leaf in pair]
        if (shape, dtype) != (shape_here, dtype_here):
            differences.append(f'{name} {dtype}{shape} there, {dtype_here}{shape_here} here')
    if not differences:
        return []
    words = initial_weights.few(sorted(differences))
    return [f'found {words}; allowed: the optimizer of the source']
