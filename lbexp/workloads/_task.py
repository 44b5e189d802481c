"""What the tasks over one output for each example share: a data set and a model, put together and
compared."""

import functools
from collections.abc import Callable
from typing import Any

from lbexp.datasets import Dataset
from lbexp.datasets._ids import check_ids, id_counts
from lbexp.errors import Refusal
from lbexp.inputs import encoded, normalised
from lbexp.models import Model
from lbexp.workloads import Workload


class Task:
    """A model on a data set, with `outputs` numbers for each example."""

    def __init__(self, name: str, data: Dataset, model: Model, outputs: int):
        self._name, self._data, self._outputs = name, data, outputs
        check_ids(data)
        self._network = model.network(data.inputs, outputs)

    def outputs(self, params: Any, model_state: Any, examples: Any, train: bool, key: Any) -> Any:
        """(outputs [n, outputs], model state).

        Raises, where it is traced:
            Refusal: the model gives another shape.
        """
        arrays = normalised(self._data.inputs, examples)
        outputs, new_state = self._network.apply(params, model_state, arrays, train, key)
        count = len(next(iter(arrays.values())))
        shape = getattr(outputs, 'shape', None)
        if shape != (count, self._outputs):
            shown = type(outputs).__name__ if shape is None else f'outputs of shape {shape}'
            raise Refusal(
                f'{self._name}: the model gives {shown} for {count} examples; allowed: '
                f'({count}, {self._outputs}), {self._outputs} for each example'
            )
        return outputs, new_state

    def predict(self, params: Any, model_state: Any, examples: Any) -> Any:
        """Outputs in evaluation mode."""
        return self.outputs(params, model_state, examples, False, None)[0]

    def workload(
        self,
        loss: Callable,
        metrics: Callable,
        target: tuple[str, Any] | None,
        output_names: tuple[str, ...],
    ) -> Workload:
        """The task as a workload, with these functions of it."""
        data = self._data
        is_table = all(described.columns for described in data.inputs.values())
        return Workload(
            init=self._network.init,
            loss=loss,
            metrics=metrics,
            train=data.train,
            test=data.test,
            validation=data.validation,
            together=self._network.together,
            target=target,
            predict=self.predict,
            inputs=tuple(data.inputs),
            encode=functools.partial(encoded, data.inputs) if is_table else None,
            output_names=output_names,
            row_counts=self._row_counts(),
            schema=data.schema,
            id_counts=id_counts(data),
        )

    def _row_counts(self):
        """The network's, of examples as they are stored."""
        counts, inputs = self._network.row_counts, self._data.inputs
        if counts is None:
            return None
        return lambda examples: counts(normalised(inputs, examples))


def check_target(task: str, data: Dataset, *kinds: str) -> None:
    """Raises ValueError where the target of the data set is not of these kinds."""
    if data.target.kind not in kinds:
        target = f'{data.target.name!r}, a {data.target.kind}, with {task}'
        allowed = f'a {" or a ".join(kinds)}'
        # no file says of its label that it is of tokens
        if data.schema and kinds[0] in ('class', 'number'):
            allowed += f"; a file says so by data=dict(name='file', ..., target={kinds[0]!r})"
        raise ValueError(f'data: found {target}; allowed: {allowed}')
