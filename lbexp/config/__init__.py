"""Configurations: what an experiment file starts from, how it is read, overridden and expanded into trials."""

import copy
import inspect
import itertools
import json
import pathlib
import runpy
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_dict, config_flags

from lbexp.config import lookup, search
from lbexp.errors import Refusal

SCALINGS = ('linear', 'square_root', 'square_root_adam')  # rules of batch_scaling, as lbexp.batch_size has them
PARTITIONS = ('shuffle_then_shard', 'independent')  # of data, as lbexp/data/partition.py has them
SHARDINGS = ('replicated', 'fsdp')  # as lbexp/parallel/mesh.py has them
FIELDS = {  # of a dict that may be empty
    'batch_growth': ('boundaries', 'factor', 'largest'),
    'search': ('kind', 'trials', 'seed', 'space'),
}
PARTS = {  # which package the names of a part are looked up in
    'workload': 'lbexp.workloads',
    'optimizer': 'lbexp.optimizers',
    'transforms': 'lbexp.optimizers',
    'example_weights': 'lbexp.optimizers',
    'schedule': 'lbexp.schedules',
    'probes': 'lbexp.probes',
    'replicas': 'lbexp.parallel.replicas',
    'study': 'lbexp.studies',
}


def base() -> ConfigDict:
    """The configuration that every experiment file starts from.

    A part (workload, optimizer, transforms, schedule, probes, study) is a dict: 'name' is looked up (config.lookup),
    the rest are the arguments of the function found. `None` means: not set.
    """
    c = ConfigDict()
    c.workload = dict(name='digits_mlp')  # data, model, loss and metrics: a file of lbexp/workloads
    c.optimizer = dict(name='momentum', learning_rate=0.1)  # a file of lbexp/optimizers, or 'optax:adamw'
    c.transforms = ()  # parts chained before the optimizer: gradient noise, clipping ('optax:clip_by_global_norm')
    c.schedule = dict(name='constant')  # multiplies every learning rate of the optimizer; see lbexp/schedules.py
    c.batch_scaling = dict(  # how the learning rate follows the batch size
        rule=config_dict.placeholder(str),  # 'linear', 'square_root', 'square_root_adam'; None: it does not
        reference=config_dict.placeholder(int),  # batch size at which the factor is 1 [examples]
    )
    c.batch_size = 64  # examples per global batch, that is: per optimizer update
    c.microbatch = config_dict.placeholder(int)  # examples per forward/backward pass; None: the global batch.
    #                     When it is set, batch size is a number: all batch sizes of a sweep share one program.
    c.regime_adaptation = config_dict.placeholder(int)  # a batch size [examples]: the run makes as many updates as
    #                     `epochs` of that batch size would, whatever its own; None: as many epochs
    c.batch_growth = {}  # the batch grows in training: dict(boundaries=(0.5, 0.75), factor=2.0, largest=1024): where
    #                     [fractions of the examples of the run], by what, up to what; needs a microbatch
    c.steps = config_dict.placeholder(int)  # length of the run [optimizer updates]; or:
    c.epochs = config_dict.placeholder(float)  # length of the run [passes over the training set]
    c.seed = 0  # of initial weights, data order, dropout and noise [0 .. 2^32 - 1]
    c.log = 100  # rows per trial, evenly spaced over the run
    c.evaluate = 20  # evaluations per trial, at rows evenly spaced over the run
    c.evaluate_train = 0  # training examples, the first ones, that each evaluation covers too: metrics train_...
    c.checkpoint = 5  # checkpoints per cohort, evenly spaced over the run; one more when it is interrupted
    c.probes = ()  # measurements beyond the norms: files of lbexp/probes
    c.example_weights = {}  # multiplicative gradient noise: dict(name='example_weights', matched_batch_size=...);
    #                     empty: every example weighs 1
    c.sweep = ()  # ((path, values), ...): trials are the product; a tuple of paths goes with tuples of values
    c.search = {}  # quasi-random points, each with the whole sweep: dict(trials=64, space=((path, scale, low, high),
    #                     ...)), scale 'log', 'linear' or 'whole'; also kind='halton' or 'sobol', seed=0. More trials
    #                     later, in the same workdir, keep the first and run only what is new
    c.study = dict(name='training')  # the question asked of the trials: a file of lbexp/studies
    c.watchdog = 600.0  # a dispatch that takes longer, and ten times longer than is usual, has hung: the process ends
    #                     [seconds]; None: it may take for ever
    c.data = dict(  # how the hosts of a job share the training set; see lbexp/data/partition.py
        partition='shuffle_then_shard',  # one order, of which each reads its slice; 'independent': each its own order
        hosts=config_dict.placeholder(int),  # of 'independent'; None: the processes of the job
    )
    c.sharding = 'replicated'  # of parameters and optimizer state over the devices that share a batch: 'replicated':
    #                     each has all; 'fsdp': each has its share of every large array
    c.replicas = {}  # workers that differ between synchronisations, a file of lbexp/parallel/replicas:
    #                     dict(name='local_sgd', workers=4, k=8); they share the batch. Empty: none
    c.layout = 'auto'  # of a cohort's trials on the devices: 'map' (one after another on each device), 'vmap'
    c.data_parallel = config_dict.placeholder(int)  # devices that share each batch; None: all of an accelerator's
    #                     devices for a lone trial, else 1
    return c


def load(argument: str) -> ConfigDict:
    """Reads 'experiments/lamb.py' or 'experiments/lamb.py:argument' and returns what its get_config returns.

    Raises:
        Refusal: no such file, no get_config, or an argument it does not take. What goes wrong inside it passes.
    """
    path, _, given = argument.partition(':')
    if not pathlib.Path(path).is_file():
        beside = [str(p) for p in pathlib.Path(path).parent.glob('*.py')]
        raise Refusal(f'no file {path!r}.{lookup.nearest(path, beside)}')
    get_config = runpy.run_path(path).get('get_config')
    if not callable(get_config):
        raise Refusal(f'{path} has no get_config()')
    arguments = [given] if given else []
    try:
        inspect.signature(get_config).bind(*arguments)
    except TypeError as error:
        raise Refusal(f'{path}: get_config: {error}') from error
    loaded = get_config(*arguments)
    if not isinstance(loaded, ConfigDict):
        raise Refusal(f'{path}: get_config() returned {loaded!r}; allowed: lbexp.config.base(), with its fields set')
    return loaded.lock()


def override(config: ConfigDict, path: str, text: str):
    """Sets the field `path` ('optimizer.weight_decay') to what `text` says, in place.

    An argument that the part's function takes may be set even where the experiment file does not write it.

    Raises:
        Refusal: no such field, or `text` is not of the field's type.
    """
    parent, name = field(config, path)
    if name not in parent:
        with parent.unlocked():
            parent[name] = _default(config, parent, path)
    found = _at(config, path)
    if isinstance(found, ConfigDict):
        fields = ', '.join(f'{path}.{inner}' for inner in sorted(found)) or 'none that could be set here'
        raise Refusal(f'{path}: found {text!r}; allowed: a value for one of its fields: {fields}')
    if text == 'None':  # unsets a field that may be unset
        parent[name] = None
        return
    values = flags.FlagValues()
    token = f'--config.{path}={text}'
    try:
        config_flags.DEFINE_config_dict('config', config, flag_values=values, sys_argv=['', token])
        values(['', token])
    except Exception as error:
        kind = config.get_type(path) if '.' not in path else parent.get_type(name)
        raise Refusal(f'{path}: found {text!r}; allowed: a value like {found!r} ({kind.__name__})') from error


def field(config: ConfigDict, path: str) -> tuple[ConfigDict, str]:
    """The dict that holds the field `path`, and the field's name in it. Refusal: there is no such field."""
    *parents, name = path.split('.')
    holder, so_far = config, []
    for parent in parents:
        if not isinstance(holder.get(parent), ConfigDict):
            raise Refusal(_unknown(holder, [*so_far, parent]))
        holder, so_far = holder[parent], [*so_far, parent]
    if name not in holder and name not in _arguments(config, holder, so_far):
        raise Refusal(_unknown(holder, [*so_far, name], _arguments(config, holder, so_far)))
    return holder, name


def trials(config: ConfigDict) -> list[dict[str, Any]]:
    """The overrides of each trial: the points of the search, each with the product of the sweep, last axis fastest.

    One empty dict without either.
    """
    axes = [_searched(**config.search)] if config.search else []
    for paths, values in config.sweep:
        paths, values = ((paths,), [(v,) for v in values]) if isinstance(paths, str) else (paths, values)
        axes.append([dict(zip(paths, point, strict=True)) for point in values])
    return [{k: v for point in points for k, v in point.items()} for points in itertools.product(*axes)]


def resolve(config: ConfigDict, overrides: dict[str, Any]) -> dict:
    """The configuration of one trial as plain data: `overrides` set, sweep and search dropped."""
    resolved = plain(config)
    del resolved['sweep'], resolved['search']
    for path, value in overrides.items():
        *parents, name = path.split('.')
        holder = resolved
        for parent in parents:
            holder = holder[parent]
        holder[name] = copy.deepcopy(value)  # a later path may lead into it
    return resolved


def _searched(trials, space, **how):
    return search.search({path: tuple(given) for path, *given in space}, trials, **how)


def plain(config: ConfigDict) -> dict:
    """The configuration as dicts, lists and scalars: what json holds."""
    return json.loads(json.dumps(config.to_dict(), default=list))


def _arguments(config, holder, path):
    """Arguments that the part `holder` at `path` could take, as its function's signature says."""
    unset = lambda names: {name: inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in names}
    if len(path) == 1 and path[0] in FIELDS:
        return unset(FIELDS[path[0]])
    if not path or path[0] not in PARTS:
        return {}
    if 'name' not in holder:  # such as example_weights, where the experiment file sets none
        return unset(['name'])
    try:
        return lookup.parameters(lookup.find(PARTS[path[0]], holder['name']))
    except ValueError:  # an unknown name is reported where the parts are checked
        return {}


def _default(config, holder, path):
    default = _arguments(config, holder, path.split('.')[:-1])[path.rpartition('.')[2]].default
    plain_kinds = (bool, int, float, str, tuple)
    return default if isinstance(default, plain_kinds) else config_dict.placeholder(object)


def _unknown(holder, path, more=()):
    known = sorted({*holder, *more} - {'name'}) or ['name']
    where = '.'.join(path)
    return f'{where}: no such field.{lookup.nearest(path[-1], known)} Fields here: {", ".join(known)}'


def _at(config, path):
    value = config
    for name in path.split('.'):
        value = value[name]
    return value
