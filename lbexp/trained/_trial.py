"""One trained network."""

import dataclasses
import os
from collections.abc import Mapping
from typing import Any, Literal

from lbexp.engine.state import TrialState
from lbexp.trained._file import examples_of_file
from lbexp.trained._network import Network
from lbexp.trained._objective import Objective
from lbexp.workloads import Workload


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Trial:
    """The network that a trial trained. Arrays are NumPy's.

    Weights and model state are those that the trial's evaluation used: the slow weights of
    lookahead, the average of ema, the x of schedule-free; of workers that differ, the slow weights
    of local SGD, the server's weights of asynchronous training, with the mean of the workers' model
    states.

    Attributes:
        number: of the trial in its run.
        config: its resolved configuration, as plain data.
        status: of the trial: 'done', 'running', 'interrupted', ...
        step: updates after which these are its weights.
        params: the weights to deploy.
        model_state: batch-norm statistics and the like.
        state: what was trained, as the checkpoint has it: training weights, optimizer state,
            workers.
        metrics: what the run recorded last of each metric, up to `step`.
    """

    number: int
    config: dict[str, Any]
    status: str
    step: int
    params: Any
    model_state: Any
    state: TrialState
    metrics: dict[str, float]
    _network: Network

    def __repr__(self) -> str:
        return f'Trial({self.number}, step {self.step}, {self.status})'

    @property
    def workload(self) -> Workload:
        """Its data and functions, as the run had them."""
        return self._network.workload

    @property
    def output_names(self) -> tuple[str, ...]:
        """What each output stands for: the names of the classes, of a classifier; () where the
        workload does not say."""
        return self._network.output_names

    def predict(self, inputs: Any) -> Any:
        """The model's outputs for each example, in evaluation mode: logits of a classifier.

        Args:
            inputs: an array [n, ...] as the training set has them (pixels of bytes, say; their
                scaling is the model's), or {name: array} where there are several; of a table
                {column: values} or a DataFrame, texts as they are.

        Returns:
            A NumPy array [n, ...], or a tree of them.

        Raises:
            lbexp.errors.Refusal: other names, shapes or types than the training set has, or a
                workload that gives no outputs.
        """
        return self._network.predict(self.params, self.model_state, inputs)

    def evaluate(
        self, data: str | os.PathLike[str] | Mapping[str, Any] = 'test'
    ) -> dict[str, float]:
        """Each of the workload's metrics over all examples of a set, those of a whole set (an AUC)
        among them.

        Args:
            data: 'test', 'validation', 'train' (all of it, in evaluation mode); {name: array} as
                the training set has them; or the pathlib.Path of a table, an archive or a folder
                of images, read as the data that was trained on: columns by name, its ids of texts
                and classes, its normalisation.

        Raises:
            lbexp.errors.Refusal: no such set, other names, shapes or types, or classes that were
                not trained on.
            ValueError: a file that cannot be read.
        """
        if isinstance(data, os.PathLike):
            data = examples_of_file(data, self.config)
        return self._network.evaluate(self.params, self.model_state, data)

    def objective(
        self,
        part: Literal['train', 'test'] = 'train',
        examples: int = 512,
        batch_norm: Literal['frozen', 'batch'] | None = None,
    ) -> Objective:
        """The loss over some examples of a set as a function of the parameters, for what
        `lbexp.curvature` measures: `objective.loss(trial.params)`.

        Args:
            examples: how many.
            batch_norm: 'frozen' or 'batch', where the network has it; see `Objective`.

        Raises:
            lbexp.errors.Refusal: no such set, too many examples, or batch norm without a mode.
        """
        return self._network.objective(self.model_state, part, examples, batch_norm)

    def export(self, path: str | os.PathLike[str], format: str = 'safetensors') -> None:
        """Writes weights, model state, configuration and metrics as plain data, whole or not at
        all.

        Args:
            path: a file, which is replaced; of Orbax a folder, which must not be there.
            format: 'safetensors', 'orbax', 'msgpack' (Flax's) or 'npz'.

        Raises:
            lbexp.errors.Refusal: another format, or weights that it cannot hold.
            OSError: the disk refuses.
        """
        from lbexp.trained._formats import export

        described = {
            'trial': self.number,
            'step': self.step,
            'config': self.config,
            'metrics': self.metrics,
        }
        export({'params': self.params, 'model_state': self.model_state}, described, path, format)
