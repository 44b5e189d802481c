"""What the engine asks of each kind of part, told where a part breaks it, in one line.

Each function wraps a part so that what its functions give is compared with what the engine needs
whenever they are traced. Shapes and dtypes are known then, so nothing is computed and nothing is
added to the program.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from lbexp import errors
from lbexp.data.source import Source
from lbexp.engine.shape_checks import (
    Breach,
    check_columns,
    check_gathered,
    check_number,
    check_numbers,
    check_parameters,
    check_same,
    check_values,
    pair,
    short,
    tuple_of,
)
from lbexp.engine.sources import sources
from lbexp.errors import Refusal
from lbexp.parallel.replicas import Replicas
from lbexp.probes import EvaluationProbe, Probe
from lbexp.workloads import SetMetrics, Workload


def workload(name: str, part: Workload) -> Workload:
    """`part`, its functions checked.

    Raises, when they are traced:
        Refusal: `init` or `loss` gives no pair, a value is not one number for each example, 'loss'
        is not there, the
            model state changes its structure, shapes or dtypes, or parameters are no arrays of
            floating point.
    """
    who = f'workload {name}'

    def init(key):
        params, model_state = pair(part.init(key), who, part.init, '(params, model_state)')
        check_parameters(params, f'{who}: init{errors.place(part.init)}')
        return params, model_state

    def loss(params, model_state, examples, key):
        output = part.loss(params, model_state, examples, key)
        values, new_state = pair(output, who, part.loss, '(values, model_state)')
        check_values(values, _count(examples), who, part.loss, needs_loss=True)
        check_same(new_state, model_state, f'{who}: loss gives a model_state', part.loss)
        return values, new_state

    def metrics(params, model_state, examples):
        values = part.metrics(params, model_state, examples)
        check_values(values, _count(examples), who, part.metrics, needs_loss=False)
        return values

    checked: dict[str, Any] = {}
    for field, source in sources(part).items():
        checked[field] = _source(f'{who}: {field}', source)
    if part.set_metrics is not None:
        checked['set_metrics'] = _set_metrics(who, part.set_metrics)
    return part._replace(init=init, loss=loss, metrics=metrics, **checked)


def _set_metrics(who: str, part: Any) -> SetMetrics:
    """`part`, checked: its outputs have the examples along their first axis, its summary gives
    numbers."""
    if not isinstance(part, SetMetrics):
        raise Refusal(f'{who}: set_metrics: found {short(part)}; allowed: SetMetrics, or None')

    def outputs(params, model_state, examples):
        arrays = part.outputs(params, model_state, examples)
        check_gathered(arrays, _count(examples), f'{who}: set_metrics', part.outputs)
        return arrays

    def summary(arrays):
        metrics = part.summary(arrays)
        check_numbers(metrics, f'{who}: set_metrics', part.summary)
        return metrics

    return SetMetrics(outputs, summary)


def transformation(name: str, part: Any) -> optax.GradientTransformationExtraArgs:
    """`part`, its update checked: an optimizer or a transform of gradients, bare or inside another.

    Raises:
        Refusal: it is no gradient transformation; or, when it is traced, `update` gives no pair,
            updates of another structure or shape than the gradients', or a state of another
            structure, shape or dtype than it was given.
    """
    who = f'optimizer {name}'
    init, update = getattr(part, 'init', None), getattr(part, 'update', None)
    if isinstance(part, type) or not (callable(init) and callable(update)):
        raise Refusal(
            f'{who}: found {short(part)}; allowed: an optax.GradientTransformation, (init, update)'
        )
    extended = optax.with_extra_args_support(part)

    def call(function, *arguments, **extra):
        try:
            return function(*arguments, **extra)
        except Exception as error:
            # Such as value_fn, which the line searches of optax ask for.
            if errors.user_frame(error) is None and 'required keyword-only argument' in str(error):
                raise Refusal(f'{who}: {error}; the engine gives it {", ".join(extra)}') from error
            # where it is of an installed package, no frame of the user's says whose error it is
            if ':' in name:
                error.add_note(f'{errors.IN_PART}{who}')
            raise

    def checked_update(updates, state, params=None, **extra):
        output = call(extended.update, updates, state, params, **extra)
        new_updates, new_state = pair(output, who, update, '(updates, state)')
        # Of another dtype than the gradients they may be: apply_updates casts them.
        check_same(
            new_updates,
            updates,
            f'{who}: update gives updates',
            update,
            'the gradients',
            dtypes=False,
        )
        check_same(new_state, state, f'{who}: update gives a state', update)
        return new_updates, new_state

    return optax.GradientTransformationExtraArgs(lambda params: call(init, params), checked_update)


def schedule(name: str, rate: Callable) -> Callable:
    """`rate`, a function of the updates done, checked to give one number."""
    who = f'schedule {name}'
    if not callable(rate):
        raise Refusal(f'{who}: found {short(rate)}; allowed: a function of the updates done')

    def checked_rate(count):
        value = rate(count)
        check_number(value, f'{who}: gives a rate', rate)
        return value

    return checked_rate


def weights(name: str, function: Callable) -> Callable:
    """`function`, (key, positions [n]) -> weights [n], checked."""
    who = f'example_weights {name}'
    if not callable(function):
        raise Refusal(
            f'{who}: found {short(function)}; allowed: a function (key, positions) -> weights [n]'
        )

    def checked_weights(key, positions):
        values = function(key, positions)
        check_values({'weights': values}, positions.shape[0], who, function, needs_loss=False)
        return values

    return checked_weights


def probe(name: str, part: Probe) -> Probe:
    """`part`, checked: its state keeps its structure, shapes and dtypes, its summary gives columns
    of a row."""
    who = f'probe {name}'

    def update(state, facts):
        new_state = part.update(state, facts)
        check_same(new_state, state, f'{who}: update gives a state', part.update)
        return new_state

    def summary(state):
        columns = part.summary(state)
        check_columns(columns, who, part.summary)
        return columns

    checked = part._replace(update=update, summary=summary)
    look = part.before
    if look is None:
        return checked

    def before(state, gradient, logging):
        new_state = look(state, gradient, logging)
        check_same(new_state, state, f'{who}: before gives a state', look)
        return new_state

    return checked._replace(before=before)


def evaluation_probe(name: str, part: EvaluationProbe) -> EvaluationProbe:
    """`part`, checked: its subset is one, `measure` gives columns of a row.

    Raises:
        Refusal: a subset without examples, or a word that is none of those that are known.
    """
    who = f'probe {name}'
    known = {
        'part': ('train', 'test'),
        'weights': ('evaluation', 'fast'),
        'batch_norm': (None, 'frozen'),
    }
    least_of = {'examples': 1, 'subset': 0}
    if isinstance(part.measure_at, str):
        known['measure_at'] = ('evaluations', 'log')
    else:
        least_of['measure_at'] = 1
    for field, words in known.items():
        value = getattr(part, field)
        if value not in words:
            allowed = ', '.join(map(repr, words))
            raise Refusal(f'{who}: {field}: found {value!r}; allowed: {allowed}')
    for field, least in least_of.items():
        value = getattr(part, field)
        if isinstance(value, jax.core.Tracer):
            int(value)  # raises: JAX names the number, which then splits programs
        if not isinstance(value, int) or value < least:
            raise Refusal(f'{who}: {field}: found {value}; allowed: an integer >= {least}')

    def measure(subject):
        columns = part.measure(subject)
        check_columns(columns, who, part.measure)
        return columns

    return part._replace(measure=measure)


def replicas(name: str, part: Replicas) -> Replicas:
    """`part`, checked: its step keeps the state's structure, shapes and dtypes, its columns are
    numbers."""
    who = f'replicas {name}'

    def start(params, model_state, opt_state):
        output = part.start(params, model_state, opt_state)
        return tuple_of(output, 4, who, part.start, '(params, model_state, opt_state, replicas)')

    def step(tools):
        run = part.step(tools)

        def checked_step(state, row_step):
            new_state = run(state, row_step)
            check_same(new_state, state, f'{who}: step gives a state', part.step)
            return new_state

        return checked_step

    def deployed(state):
        return pair(part.deployed(state), who, part.deployed, '(params, model_state)')

    def columns(state, optimizer):
        values = part.columns(state, optimizer)
        check_columns(values, who, part.columns)
        return values

    return part._replace(start=start, step=step, deployed=deployed, columns=columns)


def check_distinct(columns: Mapping, others: Mapping):
    """Raises Refusal where two parts give columns of one name: the second would replace the
    first."""
    both = sorted(set(columns) & set(others))
    if both:
        raise Breach(
            f'columns of a row: found {", ".join(map(repr, both))} twice; allowed: a name once'
        )


def _source(who: str, source: Source) -> Source:
    """`source`, whose examples are checked to have as many entries as there are positions."""

    def checked(function, verb):
        def refuse(shown, count):
            rule = f'the examples along the first axis, ({count}, ...)'
            raise Breach(f'{who}.{verb} gives {shown}; allowed: {rule}{errors.place(function)}')

        def read(*arguments):
            examples = function(*arguments)
            count = arguments[-1].shape[0]
            shapes = list(map(jnp.shape, jax.tree.leaves(examples)))
            if not shapes:
                refuse('no arrays', count)
            for shape in shapes:
                if shape[:1] != (count,):
                    refuse(f'an array of shape {shape}', count)
            return examples

        return read

    return source._replace(draw=checked(source.draw, 'draw'), read=checked(source.read, 'read'))


def _count(examples):
    return jax.tree.leaves(examples)[0].shape[0]
