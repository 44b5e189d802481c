"""One pass over a configuration that finds everything wrong with it, before anything is built or run."""

import inspect
import math
import re

from lbexp import config as configs
from lbexp.config import lookup
from lbexp.errors import Refusal, refused


def check(config) -> list[str]:
    """Problems of `config`, one line each: path, what was found, what is allowed. Empty: none.

    Every trial of the sweep is checked; a problem that many trials share is told once.
    """
    strange, missing = _fields(config)
    if missing:
        return [*strange, *missing]
    problems = [*_sweep(config), *_search(config), *_part(configs.PARTS['study'], configs.plain(config.study), 'study')]
    if problems:
        problems = [*strange, *problems]
        return problems
    try:
        study = lookup.build(configs.PARTS['study'], configs.plain(config.study))
        trials = [configs.resolve(config, overrides) for overrides in study.trials(config)]
    except ValueError as error:
        if not refused(error):
            raise
        return [*strange, f'study: {error}']
    if not trials:
        return [*strange, 'sweep: an axis has no values, so there are no trials']
    found = dict.fromkeys(strange)  # a dict keeps the order in which problems were met, once each
    for trial in trials:
        for problem in [*_numbers(trial), *_parts(trial)]:
            found[problem] = None
    return list(found)


def _fields(config):
    """Fields that an experiment file made up, such as a typo of one that there is, and fields that it removed."""
    strange, missing, base = [], [], configs.base()
    for given, known, where in (
        (config, base, ''),
        (config.get('batch_scaling'), base.batch_scaling, 'batch_scaling.'),
    ):
        for name in [] if given is None else sorted(set(given) ^ set(known)):
            if name in known:
                missing.append(f'{where}{name}: not there; allowed: every field of lbexp.config.base()')
            else:
                hint = lookup.nearest(name, known)
                strange.append(f'{where}{name}: no such field.{hint} Fields here: {", ".join(sorted(known))}')
    return strange, missing


def _sweep(config):
    problems, swept = [], set()
    listed = lambda value: hasattr(value, '__len__') and not isinstance(value, str)
    for i, axis in enumerate(config.sweep):
        if not (listed(axis) and len(axis) == 2 and (isinstance(axis[0], str) or listed(axis[0])) and listed(axis[1])):
            problems.append(f'sweep[{i}]: found {axis!r}; allowed: (path, values) or (paths, tuples of values)')
            continue
        paths, values = axis
        paths, values = ((paths,), [(v,) for v in values]) if isinstance(paths, str) else (paths, values)
        for path in paths:
            try:
                configs.field(config, path)
            except ValueError as error:
                problems.append(f'sweep[{i}]: {error}')
            if path in swept:
                problems.append(f'sweep[{i}]: found {path!r} again; allowed: a path once')
            swept.add(path)
        for point in values:
            if not isinstance(point, (list, tuple)) or len(point) != len(paths):
                problems.append(f'sweep[{i}]: found {point!r}; allowed: one value for each of {tuple(paths)}')
    return problems


def _search(config):
    """The fields of the search, its paths, and what the search itself refuses."""
    given = configs.plain(config)['search']
    if not given:
        return
    known, needed = configs.FIELDS['search'], ('trials', 'space')
    unknown = [name for name in given if name not in known]
    for name in unknown:
        yield f'search.{name}: no such field.{lookup.nearest(name, known)} Fields here: {", ".join(known)}'
    missing = [name for name in needed if name not in given]
    for name in missing:
        yield f'search.{name}: not set; a search needs it'
    for name in ('trials', 'seed'):
        if name in given and not (type(given[name]) is int and given[name] >= 0):
            yield f'search.{name}: found {given[name]!r}; allowed: a whole number >= 0'
            return
    space = given.get('space', [])
    if not isinstance(space, list) or not all(isinstance(d, list) and d and isinstance(d[0], str) for d in space):
        yield f'search.space: found {space!r}; allowed: ((path, scale, low, high), ...)'
        return
    wrong = [*_paths(config, 'search.space', [path for path, *_ in space])]
    yield from wrong
    if not (unknown or missing or wrong):
        try:
            configs.trials(config)
        except ValueError as error:
            yield f'search: {error}'


def _paths(config, where, paths):
    """Each is a field, and stands there once."""
    swept = [path for given, _ in config.sweep for path in ([given] if isinstance(given, str) else given)]
    for path in dict.fromkeys(paths):
        try:
            configs.field(config, path)
        except ValueError as error:
            yield f'{where}: {error}'
        if path in swept or paths.count(path) > 1:
            yield f'{where}: found {path!r} twice; allowed: a path stands once, in search or in sweep'


def _numbers(c):
    """Ranges, and the fields that depend on each other."""
    if (c['steps'] is None) == (c['epochs'] is None):
        yield f'steps, epochs: found {c["steps"]}, {c["epochs"]}; allowed: one set, the other None'
    for name in ('batch_size', 'log'):
        if not (_number(c[name]) and c[name] > 0):
            yield f'{name}: found {c[name]!r}; allowed: a number > 0'
    for name in ('steps', 'epochs', 'microbatch', 'data_parallel', 'regime_adaptation'):
        if c[name] is not None and not (_number(c[name]) and c[name] > 0):
            yield f'{name}: found {c[name]!r}; allowed: a number > 0, or None'
    for name, what in (('evaluate', 'times'), ('checkpoint', 'times'), ('evaluate_train', 'examples')):
        if not (_number(c[name]) and c[name] >= 0):
            yield f'{name}: found {c[name]!r}; allowed: a number of {what} >= 0'
    if not (isinstance(c['seed'], int) and 0 <= c['seed'] < 2**32):
        yield f'seed: found {c["seed"]!r}; allowed: a whole number, 0 .. 2^32 - 1'
    if c['microbatch'] and _number(c['batch_size']) and c['batch_size'] % c['microbatch']:
        yield (
            f'microbatch: found {c["microbatch"]} with batch_size {c["batch_size"]}; '
            'allowed: a divisor of the batch size'
        )
    if c['watchdog'] is not None and not (_number(c['watchdog']) and c['watchdog'] > 0):
        yield f'watchdog: found {c["watchdog"]!r}; allowed: seconds > 0, or None'
    yield from _batch_growth(c)
    if c['replicas'] and c['microbatch'] is not None:
        yield f'microbatch: found {c["microbatch"]} with replicas, which divide the batch themselves; allowed: None'
    if c['layout'] not in ('auto', 'map', 'vmap'):
        yield f"layout: found {c['layout']!r}; allowed: 'auto', 'map', 'vmap'"
    if c['sharding'] not in configs.SHARDINGS:
        yield f'sharding: found {c["sharding"]!r}; allowed: {", ".join(map(repr, configs.SHARDINGS))}'
    yield from _data(c)
    rule, reference = c['batch_scaling']['rule'], c['batch_scaling']['reference']
    if rule not in (None, *configs.SCALINGS):
        hint = lookup.nearest(str(rule), configs.SCALINGS)
        yield f'batch_scaling.rule: found {rule!r}; allowed: None, {", ".join(map(repr, configs.SCALINGS))}.{hint}'
    if rule and not reference:
        yield f'batch_scaling.reference: found {reference}; allowed: a batch size > 0 when rule is {rule!r}'
    if c['regime_adaptation'] is not None and c['epochs'] is None:
        yield 'regime_adaptation: set with steps; allowed: with epochs, which it turns into updates'


def _data(c):
    mode, hosts = c['data']['partition'], c['data']['hosts']
    if mode not in configs.PARTITIONS:
        hint = lookup.nearest(str(mode), configs.PARTITIONS)
        yield f'data.partition: found {mode!r}; allowed: {", ".join(map(repr, configs.PARTITIONS))}.{hint}'
    if hosts is not None and not (_number(hosts) and hosts >= 1):
        yield f'data.hosts: found {hosts!r}; allowed: a number >= 1, or None: the processes of the job'


def _batch_growth(c):
    growth = c['batch_growth']
    if not growth:
        return
    known = configs.FIELDS['batch_growth']
    for name in growth.keys() - set(known):
        yield f'batch_growth.{name}: no such field.{lookup.nearest(name, known)} Fields here: {", ".join(known)}'
    places = growth.get('boundaries')
    ascending = isinstance(places, list) and places and all(_number(p) for p in places) and places == sorted(places)
    if not (ascending and places[0] > 0 and places[-1] < 1):
        yield f'batch_growth.boundaries: found {places!r}; allowed: ascending fractions of the run, in (0, 1)'
    for name in ('factor', 'largest'):
        if growth.get(name) is not None and not (_number(growth[name]) and growth[name] > 0):
            yield f'batch_growth.{name}: found {growth[name]!r}; allowed: a number > 0'
    if not c['microbatch']:
        yield 'microbatch: found None with batch_growth; allowed: a divisor of the batch size, which then is a number'


def _parts(c):
    for key, package in configs.PARTS.items():
        if c[key] == {}:
            continue
        parts = c[key] if isinstance(c[key], list) else [c[key]]
        given = {'batch_size': c['batch_size']} if key == 'example_weights' else {}
        for i, part in enumerate(parts):
            path = f'{key}[{i}]' if isinstance(c[key], list) else key
            wrong = list(_part(package, part, path))
            yield from wrong
            if package == 'lbexp.optimizers' and not wrong:
                yield from _refused(package, {**given, **part}, path)


def _refused(package, part, path):
    """What the function itself says of its numbers: later they are traced, and it cannot look at them."""
    try:
        lookup.build(package, part)
    except Refusal as error:
        yield f'{path}: {error}'


def _part(package, part, path):
    """A part's name and arguments against the signature of the function that it names; then its inner parts."""
    if not isinstance(part, dict) or not isinstance(part.get('name'), str):
        yield f"{path}: found {part!r}; allowed: a dict with a 'name'"
        return
    try:
        function = lookup.find(package, part['name'])
    except ValueError as error:
        yield f'{path}.name: {error}'
        return
    known = lookup.parameters(function)
    kinds = {p.kind for p in known.values()}
    given = {k: v for k, v in part.items() if k != 'name'}
    for name, value in given.items():
        if name not in known and inspect.Parameter.VAR_KEYWORD not in kinds:
            yield (
                f'{path}.{name}: found {value!r}; {part["name"]} has no such argument.'
                f'{lookup.nearest(name, known)} It takes: {", ".join(known)}'
            )
        elif name in known and not _may_be(value, known[name]):
            yield f'{path}.{name}: found {value!r}; allowed: {_like(known[name].default)}'
        if isinstance(value, dict) and 'name' in value:
            yield from _part(package, value, f'{path}.{name}')
    for name, parameter in known.items():
        needed = parameter.default is inspect.Parameter.empty and parameter.kind not in (
            inspect.Parameter.VAR_KEYWORD,
            inspect.Parameter.VAR_POSITIONAL,
        )
        if needed and name not in given and name not in _ENGINE_GIVES.get(package, ()):
            yield f'{path}.{name}: not set; {part["name"]} needs it'


# What the engine itself passes, beside the arguments that the configuration gives.
_ENGINE_GIVES = {
    'lbexp.schedules': ('peak', 'steps'),
    'lbexp.optimizers': ('batch_size', 'dataset_size', 'seed'),
    'lbexp.parallel.replicas': ('seed',),
}


def _may_be(value, parameter):
    """Whether `value` may be given for `parameter`.

    Where the default is a number, None and text only as the annotation says; where it is text, a list of texts unless
    the annotation is plain str: patterns of paths.
    """
    default, annotation = parameter.default, parameter.annotation
    says = lambda *words: any(re.search(rf'\b{word}\b', str(annotation)) for word in words)
    unknown = annotation is inspect.Parameter.empty and default is not inspect.Parameter.empty
    if value is None:
        return default is None or unknown or says('None', 'Optional')
    if isinstance(value, str) and parameter.name == 'learning_rate':  # which seldom has a default
        return False
    if isinstance(value, str) and isinstance(default, (int, float)) and not isinstance(default, bool):
        return unknown or says('str')
    if isinstance(value, (list, tuple)) and isinstance(default, str) and annotation is not str:
        return all(isinstance(v, str) for v in value)
    return _fits(value, default)


def _like(default):
    known = default is not inspect.Parameter.empty and default is not None
    return f'a value like {default!r} ({type(default).__name__})' if known else 'a value: there is no default'


def _fits(value, default):
    """Whether `value` may stand where `default` stands: numbers for numbers, text for text, lists of such for lists."""
    if isinstance(value, float) and math.isnan(value):
        return False
    if default is None or default is inspect.Parameter.empty or isinstance(value, dict):
        return True
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(value, bool) and isinstance(default, bool)
    if isinstance(default, (int, float)):
        return _number(value)
    if isinstance(default, str):
        return isinstance(value, (str, int, float))
    if isinstance(default, (list, tuple)) and isinstance(value, (list, tuple)) and default:
        return all(v is None or any(_fits(v, d) for d in default) for v in value)
    return True


def _number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
