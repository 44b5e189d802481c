"""Parameters that do not train.

The state holds them apart from those that do, so that gradients, optimizer states, sums and probes
are of trained parameters alone. Both are trees like the model's, with None in the place of what the
other has.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax

from lbexp.engine.components import TrialComponents
from lbexp.errors import Refusal
from lbexp.optimizers import masks


def split(patterns: Sequence[str], params: Any) -> tuple[Any, Any]:
    """(trained, frozen) of the parameters; frozen is () where nothing is.

    Raises:
        ValueError: an expression that matches no parameter.
        Refusal: nothing is left to train.
    """
    if not patterns:
        return params, ()
    marks = masks(list(patterns), params, argument='freeze')
    if all(jax.tree.leaves(marks)):
        raise Refusal(
            f'freeze: found {list(patterns)}, which match every parameter; allowed: some that train'
        )
    trained = jax.tree.map(lambda leaf, is_frozen: None if is_frozen else leaf, params, marks)
    frozen = jax.tree.map(lambda leaf, is_frozen: leaf if is_frozen else None, params, marks)
    return trained, frozen


def joined(trained: Any, frozen: Any) -> Any:
    """The parameters of the model."""
    if not jax.tree.leaves(frozen):
        return trained
    # To JAX None is an empty tree, no leaf: the two would differ in structure.
    return jax.tree.map(_present, trained, frozen, is_leaf=_is_absent)


def bound(trial: TrialComponents, frozen: Any) -> TrialComponents:
    """The trial as one of its trained parameters, around the frozen ones."""
    if not jax.tree.leaves(frozen):
        return trial
    workload = trial.workload

    def around(function: Callable) -> Callable:
        return lambda trained, *others: function(joined(trained, frozen), *others)

    replaced: dict[str, Any] = {'loss': around(workload.loss), 'metrics': around(workload.metrics)}
    if workload.predict is not None:
        replaced['predict'] = around(workload.predict)
    if workload.set_metrics is not None:
        outputs = around(workload.set_metrics.outputs)
        replaced['set_metrics'] = workload.set_metrics._replace(outputs=outputs)
    return trial._replace(workload=workload._replace(**replaced))


def _present(trained, frozen):
    return frozen if trained is None else trained


def _is_absent(node):
    return node is None
