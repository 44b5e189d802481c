"""What a trained workload computes: outputs and metrics, compiled once for all trials that share
it."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lbexp import errors
from lbexp.data.source import Source, memory
from lbexp.datasets._ids import wrong_ids
from lbexp.engine.components import TrialComponents
from lbexp.engine.evaluation import evaluation
from lbexp.engine.frozen import joined
from lbexp.engine.state import TrialState
from lbexp.errors import Refusal
from lbexp.parallel.replicas import lone_worker
from lbexp.trained._examples import as_examples
from lbexp.trained._objective import Objective, objective
from lbexp.wording import with_article

_CHUNK = 1024  # examples at once, as many as the engine evaluates
_SETS = ('test', 'validation', 'train')


def deployed(trial: TrialComponents, state: TrialState) -> tuple[Any, Any]:
    """(params, model_state) that the trial's evaluation uses, on the host.

    Compiled, as in training: what is not would round schedule-free's weights otherwise.
    """
    params, model_state = jax.device_get(jax.jit(trial.replicas.deployed)(state))
    return joined(params, state.frozen), model_state


class Network:
    """The functions of a workload, over weights that are given."""

    def __init__(self, name: str, trial: TrialComponents):
        self._name, self._trial = name, trial
        self.workload = trial.workload
        self.output_names = self.workload.output_names
        self._predict = None
        if self.workload.predict is not None:
            self._predict = jax.jit(_checked(name, self.workload.predict))
        self._evaluations = {}  # name of a set -> (params, model_state, arrays) -> columns

    def predict(self, params: Any, model_state: Any, inputs: Any) -> Any:
        """Outputs of all examples, in chunks of one size."""
        if self._predict is None:
            raise Refusal(
                f'workload {self._name}: it has no outputs, only metrics; allowed: a workload '
                'whose Workload says `predict`'
            )
        examples = self._inputs(inputs)
        count = len(next(iter(examples.values())))
        # A power of two: a few examples need no whole chunk, and few sizes are compiled.
        chunk = min(_CHUNK, 1 << (count - 1).bit_length())
        chunks = []
        for first in range(0, count, chunk):
            # The last one is padded with its last example: a chunk of another size compiles anew.
            places = np.minimum(np.arange(first, first + chunk), count - 1)
            picked = {name: values[places] for name, values in examples.items()}
            chunks.append(jax.device_get(self._predict(params, model_state, picked)))
        return jax.tree.map(lambda *parts: np.concatenate(parts)[:count], *chunks)

    def evaluate(
        self, params: Any, model_state: Any, data: str | Mapping[str, Any]
    ) -> dict[str, float]:
        """Each metric over a set."""
        if isinstance(data, str):
            source = self._set(data)
            if data not in self._evaluations:
                self._evaluations[data] = self._evaluation(source)
            evaluate = self._evaluations[data]
        else:
            names = sorted(self._like)
            source = memory(self._examples(data, names, 'data'))
            evaluate = self._evaluation(source)
        means = jax.device_get(evaluate(params, model_state, source.arrays))
        return {name.removeprefix('data_'): float(mean) for name, mean in means.items()}

    def objective(self, model_state: Any, part: Any, count: int, batch_norm: Any) -> Objective:
        """The loss over some examples, as a function of the parameters."""
        return objective(self.workload, model_state, part, count, batch_norm)

    def _inputs(self, inputs):
        names = self.workload.inputs or tuple(sorted(self._like))
        # a DataFrame has keys, and is no Mapping
        if hasattr(inputs, 'keys'):
            inputs = {name: inputs[name] for name in list(inputs)}
            if self.workload.encode is not None and not set(names) <= set(inputs):
                inputs = self.workload.encode(inputs)
        if not isinstance(inputs, Mapping):
            if len(names) > 1:
                raise Refusal(f'inputs: found one array; allowed: a dict of {", ".join(names)}')
            inputs = {names[0]: inputs}
        return self._examples(inputs, names, 'inputs')

    def _examples(self, arrays, names, what):
        examples = as_examples(arrays, self._like, names, what)
        for name, counts in self.workload.id_counts.items():
            problem = wrong_ids(examples[name], counts) if name in examples else ''
            if problem:
                raise Refusal(f'{what}: {name}: {problem}')
        return examples

    def _evaluation(self, source: Source):
        size = source.size

        # The arrays are arguments: XLA would copy a set that is a constant in a program.
        @jax.jit
        def evaluate(params, model_state, arrays):
            # Weights that are deployed already are those of one worker whose optimizer keeps none.
            sets = {'data': (source._replace(arrays=arrays), size)}
            trial = self._trial._replace(eval_sets=sets, replicas=lone_worker(), keep_examples=())
            state = TrialState(0, 0, params, model_state, (), (), (), {}, (), False)
            return evaluation(trial, _CHUNK)(state).columns

        return evaluate

    def _set(self, name):
        there = {}
        for known in _SETS:
            source = getattr(self.workload, known)
            # a stream has no stored order
            if source is not None and source.feed is None:
                there[known] = source
        if name not in there:
            allowed = ', '.join([*map(repr, there), 'arrays'])
            raise Refusal(f'data: found {name!r} of workload {self._name}; allowed: {allowed}')
        return there[name]

    @property
    def _like(self) -> dict[str, jax.ShapeDtypeStruct]:
        """Shapes and types of the training examples, by name."""
        train = self.workload.train
        positions = jax.ShapeDtypeStruct((1,), np.uint32)
        seed = jax.ShapeDtypeStruct((), np.uint32)
        like = jax.eval_shape(train.draw, train.arrays, seed, positions)
        # a workload of the user's may give any tree
        if not isinstance(like, dict):
            kind = with_article(type(like).__name__)
            raise Refusal(
                f'workload {self._name}: its examples are {kind}; allowed: a dict of arrays, '
                'where some of the user are to be evaluated'
            )
        return like


def _checked(name: str, predict: Callable) -> Callable:
    """`predict`, whose outputs are checked to be the examples' along their first axis."""

    def outputs(params, model_state, examples):
        values = predict(params, model_state, examples)
        count = jax.tree.leaves(examples)[0].shape[0]
        shapes = [jnp.shape(leaf) for leaf in jax.tree.leaves(values)]
        wrong = [shape for shape in shapes if shape[:1] != (count,)]
        if wrong or not shapes:
            shown = f'shape {wrong[0]}' if wrong else 'no arrays'
            raise Refusal(
                f'workload {name}: predict gives {shown}; allowed: the examples along the first '
                f'axis, ({count}, ...){errors.place(predict)}'
            )
        return values

    return outputs
