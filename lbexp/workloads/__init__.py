"""A workload is data, model, loss and metrics: a NamedTuple of pure functions. One file, one
workload.

Most are a task on a data set with a model, which are parts of their own (`lbexp.datasets`,
`lbexp.models`): dict(name='classification', data=dict(name='digits'), model=dict(name='mlp')).
Others, such as the one below, are all of it at once.

The function of a workload takes its settings and returns a `Workload`. `loss` and `metrics` give
one value for each example, never their mean: the engine weights and adds them up. The model state
keeps its structure, shapes and dtypes; parameters are arrays of floating point. What breaks this is
refused where the program is traced. `predict` says what a trained network answers to the arrays
that `inputs` names (`lbexp.open(workdir).trial(0).predict`); training does without.

A metric that is no mean over examples is one of two things. A mean over parts of examples (tokens,
pixels) is a `Ratio` of sums: give it instead of the value. Anything else (AUC, average precision,
macro F1, perplexity) is a function of the whole set: `set_metrics` says what to gather of each
example, and the function. Both are exact, whatever the chunks and devices that a set is read with.

`loss` gives 'loss' as one value for each example, because that is what is trained on: the engine
follows the gradient of sum_n w_n loss_n / n over a batch, so an example weighs the same whatever
its length. A language model whose rows have different numbers of tokens chooses the weights itself:
loss_n = (sum of its tokens' losses) / c with one constant c, such as the length of a padded row,
weighs every token the same; divided by the tokens of row n, every row the same. The two agree where
all rows are full. (The mean over the tokens of a batch is not offered: it would depend on how a
batch is cut into microbatches and over workers.) The mean over tokens may stand beside it as a
`Ratio` under another name.

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

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from lbexp.data.source import Source
from lbexp.precision import Precision
from lbexp.shapes import Examples, Init, Loss, Metrics, Numbers, PerExample, Predict, Scalar


class Ratio(NamedTuple):
    """A metric that is sum_n numerator_n / sum_n denominator_n over the examples of a set or of a
    row's batches: the mean over tokens of which an example has several, or none. NaN where all
    denominators are 0.

    For a language model: numerator_n = sum_t m_nt loss_nt, denominator_n = sum_t m_nt, with mask
    m_nt = 0 on padding.
    """

    numerator: Numbers
    denominator: Numbers  # >= 0


class SetMetrics(NamedTuple):
    """Metrics of a whole evaluation set, such as an AUC: what to gather of each example, and a
    function of all of it.

    The outputs of the N examples of a set are gathered in stored order, without padding;
    `lbexp.metrics` has functions for `summary`.
    """

    # (params, model_state, examples) -> {name: [n, ...]}, evaluation mode
    outputs: Callable[[Any, Any, Examples], Mapping[str, PerExample]]
    # {name: [N, ...]} -> {metric: number}
    summary: Callable[[Mapping[str, PerExample]], Mapping[str, Scalar]]


class Workload(NamedTuple):
    """What is trained on what.

    The engine weights the per-example values: a training loss is sum_n w_n loss_n / n, with w_n = 1
    or multiplicative gradient noise; an evaluation is sum_n w_n v_n / sum_n w_n, with w_n = 0 on
    padding; of a `Ratio` it is sum_n w_n numerator_n / sum_n w_n denominator_n.
    """

    init: Init  # key -> (params, model_state)
    # (params, model_state, examples, key) -> (values, model_state); 'loss' is a value. Values
    # beside it, and those of metrics, may be `Ratio`s
    loss: Loss
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
    set_metrics: SetMetrics | None = None  # of a whole evaluation set; None: means alone
    # {column: values} of a table -> the arrays that `predict` reads; None: it reads no table
    encode: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None
    output_names: tuple[str, ...] = ()  # what each of the outputs stands for: names of classes
    # examples -> {path of a parameter: how often they read each of its rows [rows]}, of tables of
    # embeddings, for optimizers that ask; None: not offered
    row_counts: Callable[[Any], Mapping[str, Any]] | None = None
    # 'bfloat16' -> the same task, its model computed so (lbexp.models._precision); None: it is
    # float32 alone
    in_precision: Callable[[Precision], Any] | None = None
    # what was inferred of the data, plain: shown once, and kept in the workdir as schema.json
    schema: dict[str, Any] = {}  # noqa: RUF012 (a tuple's default, which nobody writes to)
    # {name of an array of ids: how many there are, of all columns or of each}: what was trained
    # refuses examples with others
    id_counts: Mapping[str, Any] = {}
