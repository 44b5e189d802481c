"""One pass over a configuration that finds everything wrong with it, before anything is built or run."""

import functools
import inspect
import json
from collections.abc import Iterator

from lbexp import config as configs
from lbexp.config import fields, lookup
from lbexp.config.fields import ABSENT, BY_NAME, FIELDS, GROUPS, PARTS
from lbexp.config.violation import of_parameter, violation
from lbexp.errors import Refusal, refused


def check(config) -> list[str]:
    """Problems of `config`, one line each: path, what was found, what is allowed. Empty: none.

    Every trial of the sweep is checked; a problem that many trials share is told once.
    """
    problems = shape(config)
    if problems:
        return problems
    study = configs.plain(config.study)
    problems = [*_sweep(config), *_search(config), *_part('study', json.dumps(study), 'study')]
    if study['name'] != 'training':  # other studies build parts to make their trials; what a trial sets may be missing
        problems += [problem for problem in _base_parts(config) if ': not set; ' not in problem]
    if problems:
        return problems
    try:
        overrides = lookup.build('study', study).trials(config)
    except ValueError as error:
        if not refused(error):
            raise
        return [f'study: {error}']
    if not overrides:
        return ['sweep: an axis has no values, so there are no trials']
    problems = {}  # a dict keeps the order in which problems were met, once each
    for changes in overrides:
        trial = configs.resolve(config, changes)
        in_trial = _of_fields(trial) or [*_together(trial), *_parts(trial)]
        problems |= dict.fromkeys(in_trial)
    return list(problems)


def shape(config) -> list[str]:
    """Problems that leave nothing to look at: fields that are not there, made up, or of another type."""
    try:
        return _of_fields({'sweep': [], 'search': {}, **configs.plain(config)}, config)
    except Refusal as error:
        return [str(error)]


def _of_fields(trial: dict, config=None) -> list[str]:
    """Each field is there, is known, and has the type and range of the table."""
    problems = []
    there = trial if config is None else config
    known = [name for name in BY_NAME if '.' not in name]
    expected = known if config is not None else [name for name in known if name not in ('sweep', 'search')]
    problems += [_missing(name) for name in expected if name not in there]
    problems += [_unknown(name, known) for name in sorted(set(trial) - set(known))]
    for field in FIELDS:
        group, _, name = field.name.rpartition('.')
        holder = trial.get(group, {}) if group else trial
        if not isinstance(holder, dict):
            continue  # told of the dict itself
        if name in holder:
            problems += _of_value(field, holder[name])
        elif field.default is not ABSENT and group in there:
            problems.append(_missing(field.name))
    for group in GROUPS:
        holder = trial.get(group)
        if isinstance(holder, dict):
            inner = fields.inner(group)
            problems += [_unknown(f'{group}.{name}', inner) for name in sorted(holder.keys() - set(inner))]
    return problems


def _of_value(field, value) -> Iterator[str]:
    if not isinstance(field.annotation, fields.Part):
        problem = violation(value, field.annotation)
        if problem:
            yield f'{field.name}: {problem}'
    elif field.annotation.several:
        if not isinstance(value, list):
            yield f"{field.name}: found {value!r}; allowed: a tuple of dicts, each with a 'name'"
    elif not isinstance(value, dict) or not (field.annotation.optional or isinstance(value.get('name'), str)):
        yield f"{field.name}: found {value!r}; allowed: a dict with a 'name'"


def _missing(name):
    return f'{name}: not there; allowed: every field of lbexp.config.base()'


def _unknown(name, known):
    return f'{name}: no such field.{lookup.nearest(name.split(".")[-1], known)} Fields here: {", ".join(sorted(known))}'


def _sweep(config) -> Iterator[str]:
    swept = set()
    for i, axis in enumerate(configs.plain(config.sweep)):
        if not _is_axis(axis):
            yield f'sweep[{i}]: found {axis!r}; allowed: (path, values) or (paths, tuples of values)'
            continue
        paths, values = axis
        paths, points = ([paths], [[value] for value in values]) if isinstance(paths, str) else (paths, values)
        for path in paths:
            yield from _field(config, f'sweep[{i}]', path)
            if path in swept:
                yield f'sweep[{i}]: found {path!r} again; allowed: a path once'
            swept.add(path)
        seen = []
        for point in points:
            if not isinstance(point, list) or len(point) != len(paths):
                yield f'sweep[{i}]: found {point!r}; allowed: one value for each of {tuple(paths)}'
            elif point in seen:
                yield f'sweep[{i}]: found {", ".join(map(repr, point))} twice; allowed: a value once'
            seen.append(point)


def _is_axis(axis):
    if not isinstance(axis, list) or len(axis) != 2 or not isinstance(axis[1], list):
        return False
    return all(isinstance(path, str) for path in axis[0]) if isinstance(axis[0], list) else isinstance(axis[0], str)


def _search(config) -> Iterator[str]:
    """The paths of the search, and what the search itself refuses."""
    search = configs.plain(config.search)
    if not search:
        return
    missing = [name for name in ('trials', 'space') if name not in search]
    yield from (f'search.{name}: not set; allowed: a search has one' for name in missing)
    space = search.get('space', [])
    if not all(isinstance(axis, list) and axis and isinstance(axis[0], str) for axis in space):
        yield f'search.space: found {space!r}; allowed: ((path, scale, low, high), ...)'
        return
    wrong = list(_searched_paths(config, [path for path, *_ in space]))
    yield from wrong
    if not (missing or wrong or list(_sweep(config))):
        try:
            configs.trials(config)
        except Refusal as error:
            yield f'search: {error}'


def _searched_paths(config, paths):
    axes = [axis for axis in configs.plain(config.sweep) if _is_axis(axis)]
    swept = [path for names, _ in axes for path in ([names] if isinstance(names, str) else names)]
    for path in dict.fromkeys(paths):
        yield from _field(config, 'search.space', path)
        if path in swept or paths.count(path) > 1:
            yield f'search.space: found {path!r} twice; allowed: a path stands once, in search or in sweep'


def _field(config, where, path):
    try:
        configs.field(config, path)
    except Refusal as error:
        yield f'{where}: {error}'
    if path.split('.')[0] in ('sweep', 'search', 'study'):
        yield f'{where}: found {path!r}; allowed: a field of a trial, which sweep, search and study are not'


def _together(trial) -> Iterator[str]:
    """Fields that depend on each other."""
    steps, epochs, batch_size, microbatch = (trial[name] for name in ('steps', 'epochs', 'batch_size', 'microbatch'))
    if (steps is None) == (epochs is None):
        yield f'steps, epochs: found {steps}, {epochs}; allowed: one set, the other None'
    if microbatch and batch_size % microbatch:
        yield f'microbatch: found {microbatch} with batch_size {batch_size}; allowed: a divisor of the batch size'
    if trial['replicas'] and microbatch is not None:
        yield f'microbatch: found {microbatch} with replicas, which divide the batch themselves; allowed: None'
    rule, reference = trial['batch_scaling']['rule'], trial['batch_scaling']['reference']
    if rule and not reference:
        yield f'batch_scaling.reference: found {reference}; allowed: a batch size > 0 when rule is {rule!r}'
    if trial['regime_adaptation'] is not None and epochs is None:
        yield 'regime_adaptation: set with steps; allowed: with epochs, which it turns into updates'
    if trial['batch_growth']:
        yield from _batch_growth(trial)


def _batch_growth(trial):
    boundaries = trial['batch_growth'].get('boundaries')
    if not boundaries or boundaries != sorted(boundaries):
        yield f'batch_growth.boundaries: found {boundaries!r}; allowed: ascending fractions of the run, in (0, 1)'
    if not trial['microbatch']:
        yield 'microbatch: found None with batch_growth; allowed: a divisor of the batch size, which then is a number'


def _base_parts(config) -> Iterator[str]:
    for name, place in PARTS.items():
        part = configs.plain(config[name])
        if part and name != 'study' and not place.several:
            yield from _part(place.kind, json.dumps(part), name)


def _parts(trial) -> Iterator[str]:
    for name, place in PARTS.items():
        parts = trial[name] if place.several else [trial[name]] if trial[name] else []
        for i, part in enumerate(parts):
            path = f'{name}[{i}]' if place.several else name
            problems = _part(place.kind, json.dumps(part), path)
            yield from problems
            if not problems and place.kind in ('optimizer', 'example_weights', 'schedule'):
                from_engine = {'example_weights': {'batch_size': trial['batch_size']}, 'schedule': _ANY_RUN}
                given = from_engine.get(place.kind, {})
                yield from _refused(place.kind, json.dumps({**given, **part}), path)


_ANY_RUN = {'peak': 1.0, 'steps': 100}  # of which a schedule gives fractions


@functools.lru_cache(4096)  # many trials have one part in common
def _refused(kind, part, path) -> tuple[str, ...]:
    """What the function itself says of its numbers: later they are traced, and it cannot look at them."""
    part = json.loads(part)
    try:
        built = lookup.build(kind, part)
        if kind == 'optimizer' and ':' in part['name']:
            _require_update(part['name'], built)
    except Refusal as error:
        return (f'{path}: {error}',)
    return ()


def _require_update(name, optimizer):
    """Refusal: the update needs more than gradients, parameters and the loss, such as L-BFGS's value_fn."""
    import jax
    import optax

    update = optax.with_extra_args_support(optimizer).update
    params = {'kernel': jax.numpy.ones((2, 3)), 'bias': jax.numpy.ones(3)}
    try:
        jax.eval_shape(lambda x: update(x, optimizer.init(x), x, value=x['bias'][0]), params)
    except TypeError as error:
        if 'required' in str(error):
            allowed = 'an update of gradients, state, parameters and value'
            raise Refusal(f'{name}: {error}; allowed: {allowed}') from error
    except Exception:  # not of these parameters: told where those of the workload are traced
        return


@functools.lru_cache(4096)
def _part(kind, part, path) -> tuple[str, ...]:
    return tuple(_of_part(kind, json.loads(part), path))


def _of_part(kind, part, path: str) -> Iterator[str]:
    """A part's name and arguments against the signature of the function that it names; then its inner parts."""
    if not isinstance(part, dict) or not isinstance(part.get('name'), str):
        yield f"{path}: found {part!r}; allowed: a dict with a 'name'"
        return
    try:
        known = lookup.parameters(lookup.find(kind, part['name']))
    except Refusal as error:
        yield f'{path}.name: {error}'
        return
    from_engine = lookup.KINDS[kind]
    takes_any = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in known.values())
    for name, value in part.items():
        if name != 'name':
            problem = _of_argument(part['name'], name, value, known, from_engine.given, takes_any)
            if problem:
                yield f'{path}.{name}: {problem}'
            elif isinstance(value, dict) and 'name' in value:
                yield from _of_part(lookup.inner_kind(known.get(name), kind), value, f'{path}.{name}')
    for name, parameter in known.items():
        passed = name in part or name in (*from_engine.given, *from_engine.may_be_given)
        if parameter.default is inspect.Parameter.empty and not passed and _is_plain(parameter):
            yield f'{path}.{name}: not set; {part["name"]} needs it'


def _of_argument(function, name, value, known, given, takes_any) -> str | None:
    if name in given and value is not None:
        return f'found {value!r}; allowed: nothing: it is for the engine to set'
    if name in known and _is_plain(known[name]):
        large = name != 'seed' and _large_integer(value)
        if large:
            return f'found {large}; allowed: integers below 2^31; a larger number is written {float(large):.3g}'
        return violation(value, of_parameter(known[name]))
    if takes_any:
        return None
    known = [name for name in known if name not in given]
    return (
        f'found {value!r}; {function} has no such argument.{lookup.nearest(name, known)} It takes: {", ".join(known)}'
    )


def _large_integer(value):
    """An integer somewhere in `value` that JAX does not hold in 32 bits; None: there is none."""
    if isinstance(value, (list, dict)):
        inner = value.values() if isinstance(value, dict) else value
        return next(filter(None, map(_large_integer, inner)), None)
    is_large = isinstance(value, int) and abs(value) >= 2**31
    return min(value, 10**300) if is_large else None


def _is_plain(parameter):
    return parameter.kind not in (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
