"""A probe is one measurement of a training run: pure functions. One file, one probe. There are two
kinds.

A `Probe` looks at every update, inside the compiled loop: (init, update, summary). The state keeps
its structure, shapes and dtypes; the summary gives numbers or small arrays by names that no other
column of a row has. A probe that asks for `groups` sees how noisy the gradient of an update is,
too.

An `EvaluationProbe` looks at some rows, beside the evaluation: `measure` is a pure function of a
`Subject`, which has parameters, states and the loss over a fixed set of examples. It has no state:
what it draws at random comes from `subject.key`, so a run that was killed measures what it would
have. It is compiled apart and does not touch training.

    import jax
    import jax.numpy as jnp
    import optax
    from lbexp.probes import EvaluationProbe, Probe

    def largest_loss() -> Probe:
        return Probe(
            init=lambda info: jnp.zeros((), jnp.float32),
            update=lambda state, info: jnp.maximum(state, info.loss.astype(jnp.float32)),
            summary=lambda state: {'largest_loss': state},
        )

    def gradient_length(examples: int = 64) -> EvaluationProbe:
        def measure(subject):
            gradient = jax.grad(subject.loss)(subject.params)
            return {'gradient_length': optax.tree.norm(gradient)}

        return EvaluationProbe(measure, examples)
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from lbexp.ranges import PositiveInteger
from lbexp.shapes import Count, Examples, Flag, Numbers, Params, PerExample, RandomKey, Scalar

# At which rows: 'evaluations', where test metrics are; 'log', rows 1, 2, 4, ... and the last; an
# integer n, every n-th row and the last
MeasureAt = Literal['evaluations', 'log'] | PositiveInteger


class GradientNoise(NamedTuple):
    """Unbiased estimates from the groups of one update (`noise_scale`), of each number that
    `Groups.measure` gives."""

    trace: Any  # tr Sigma, Sigma the covariance of one example's gradient
    square: Any  # |G|^2, G the mean gradient; negative where noise hides it
    batch_size: Scalar  # M, of this update [examples]


class UpdateInfo(NamedTuple):
    """What a probe sees after each optimizer update."""

    step: Count  # updates done, this one included
    loss: Scalar  # mean training loss of the global batch
    grads: Params  # gradient of that loss, before the update
    updates: Params  # what the optimizer added to the parameters
    params: Params  # parameters after the update
    opt_state: Any  # optimizer state after the update
    learning_rate: Scalar  # the scheduled rate that this update used
    logging: Flag  # a row is written after this update
    noise: GradientNoise | tuple[()] = ()  # of a probe that asks for `groups`; (): it does not


class Groups(NamedTuple):
    """Gradients that a probe asks for: of groups of examples of one update.

    The groups are the microbatches of an accumulation, which cost one `measure` each; or equal
    pieces of them, whose gradients are computed beside the one that trains, which costs about
    another step. What trains does not depend on it.
    """

    # (gradient, params, opt_state) -> numbers, each a sum of squares of entries times factors that
    # do not depend on this update's examples
    measure: Callable
    # equal pieces of each microbatch; 1: the microbatches themselves; 'examples': its examples,
    # by their squares alone
    pieces: int | Literal['examples'] = 1
    every: Any = 1  # updates t with t = 0 modulo this number are measured; it may be traced
    # (squares, params) -> numbers as those of `measure`, of a tree of the parameters' shape whose
    # leaves are sums of squares; None: they say too little, and pieces are a number
    add_squares: Callable | None = None


class Probe(NamedTuple):
    """Lives inside the compiled loop: jitted, mapped over trials and checkpointed with them."""

    init: Callable[[UpdateInfo], Any]  # info (abstract or real) -> state
    update: Callable[[Any, UpdateInfo], Any]  # (state, info) -> state
    # state -> {name: scalar or small array}, the columns of a row
    summary: Callable[[Any], dict[str, Any]]
    groups: Groups | None = None  # it asks for info.noise; None: it does not, and nothing is added
    # (state, gradient, logging) -> state: looks before the optimizer does. Where no probe looks at
    # the gradient afterwards, updates are written where it lay. None: `update` sees all
    before: Callable[[Any, Any, Any], Any] | None = None


class Subject(NamedTuple):
    """What an evaluation probe sees of a trial.

    The measured function is L(w) = (1/n) sum_i loss_i(w) over the n examples of the subset, with
    the workload's loss in evaluation mode (`Workload.metrics`: no dropout, no label smoothing,
    running averages of batch norm held as they are, no weight decay, no example weights), in
    float32 at least. Of a loss that is a `Ratio` it is sum_i numerator_i / sum_i denominator_i.
    """

    step: Count  # updates done
    params: Params  # w, as the probe's `weights` says; float32 at least
    model_state: Any  # batch-norm statistics and the like
    opt_state: Any  # of workers that differ, of each of them
    learning_rate: Scalar  # the scheduled rate of the last update
    loss: Callable[[Params], Scalar]  # L; large subsets pass in chunks, recomputed for gradients
    # loss_i of these examples, at once; of a Ratio its numerators
    per_example: Callable[[Params, Examples], Numbers]
    predict: (
        Callable[[Params, Examples], PerExample] | None
    )  # the workload's outputs, if it has any
    examples: Examples  # the subset, n along the first axis
    population: int  # examples of the set that the subset was drawn from without replacement
    key: RandomKey  # a function of the trial's seed, the step, and the probe's place


class EvaluationProbe(NamedTuple):
    """A measurement at some rows, each its own compiled function, mapped over trials as the
    evaluation is.

    The subset is drawn without replacement, with the seed `subset` and not the trial's, so that all
    trials of a data set are measured on the same examples.
    """

    # subject -> {name: scalar or small array}, columns of the row
    measure: Callable[[Subject], dict[str, Any]]
    examples: int = 256  # n, at most as many as the set has
    part: Literal['train', 'test'] = 'train'  # the set that they are of
    subset: int = 0  # seed of the draw
    measure_at: MeasureAt = 'evaluations'
    # 'evaluation': those that are evaluated (slow, averaged), 'fast': those that are trained
    weights: Literal['evaluation', 'fast'] = 'evaluation'
    # 'frozen': L takes the running averages of batch norm as constants. None: a workload that has
    # a model state is refused, as L is then another function than the one that is trained
    batch_norm: Literal['frozen'] | None = None
