"""A workload is data, model, loss and metrics: a NamedTuple of pure functions. One file, one
workload.

Most are a task on a data set with a model, which are parts of their own (`lbexp.datasets`,
`lbexp.models`): dict(name='classification', data=dict(name='digits'), model=dict(name='mlp')). A
workload may also be all of it at once:

The function of a workload takes its settings and returns a `Workload`. `loss` and `metrics` give
one value for each example, never their mean: the engine weights and adds them up. The model state
keeps its structure, shapes and dtypes; parameters are arrays of floating point. What breaks this is
refused where the program is traced. `predict` says what a trained network answers to the arrays
that `inputs` names (`lbexp.open(workdir).trial(0).predict`); training does without.

    import jax.numpy as jnp
    from lbexp.data.source import memory
    from lbexp.workloads import Workload

    def halves(size: int = 64) -> Workload:
        x = jnp.arange(size) / size

        def values(params, examples):
            return {'loss': (params['w'] * examples['x'] - examples['x'] / 2) ** 2}  # [n]

        return Workload(
            init=lambda key: ({'w': jnp.zeros(())}, {}),
            loss=lambda params, model_state, examples, key: (values(params, examples), model_state),
            metrics=lambda params, model_state, examples: values(params, examples),
            train=memory({'x': x}),
            predict=lambda params, model_state, examples: params['w'] * examples['x'],
            inputs=('x',),
        )
"""

from typing import Any, NamedTuple

from lbexp.data.source import Source
from lbexp.shapes import Init, Loss, Metrics, Predict


class Workload(NamedTuple):
    """What is trained on what.

    The engine weights the per-example values: a training loss is sum_n w_n loss_n / n, with w_n = 1
    or multiplicative gradient noise; an evaluation is sum_n w_n v_n / sum_n w_n, with w_n = 0 on
    padding.
    """

    init: Init  # key -> (params, model_state)
    loss: Loss  # (params, model_state, examples, key) -> (values, model_state); 'loss' is a value
    metrics: Metrics  # (params, model_state, examples) -> values, evaluation mode
    train: Source  # training examples, in the order of training
    test: Source | None = None  # held-out examples, in stored order
    # examples held out of the training set, for tuning; in stored order
    validation: Source | None = None
    # examples that must pass the model at once: 1; a ghost batch; None: all of a batch
    together: int | None = 1
    target: tuple[str, float] | None = None  # a test metric and the value that counts as reached
    # (params, model_state, examples) -> outputs, evaluation mode: logits, predictions;
    # None: what was trained gives metrics alone
    predict: Predict | None = None
    inputs: tuple[str, ...] = ()  # names of the arrays that `predict` reads; (): any of them
    output_names: tuple[str, ...] = ()  # what each of the outputs stands for: names of classes
    # what was inferred of the data, plain: shown once, and kept in the workdir as schema.json
    schema: dict[str, Any] = {}  # noqa: RUF012 (a tuple's default, which nobody writes to)
