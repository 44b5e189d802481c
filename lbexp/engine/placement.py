"""How the trials of a cohort lie on the devices."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from lbexp.engine.components import replicas
from lbexp.engine.plan import Cohort
from lbexp.errors import Refusal
from lbexp.parallel import mesh as meshes


class Placement(NamedTuple):
    """How the trials of a cohort lie on the devices."""

    layout: str  # 'map' or 'vmap'
    mesh: Mesh
    count: int  # trials
    padding: int  # trials beyond them, so that every device has as many
    sharding: str  # of a state over the devices that share a batch: 'replicated' or 'fsdp'
    by_worker: tuple[str, ...]  # fields of the state that lie where the workers are; (): one place

    @property
    def worker_axes(self) -> tuple[str, ...]:
        """The mesh axes along which workers lie; (): every device has all of them."""
        return ('data',) if self.by_worker else ()

    @property
    def shards(self) -> int:
        return self.mesh.shape['data']

    @property
    def at_once(self) -> int:
        """Trials that a device trains at the same time."""
        if self.layout != 'vmap':
            return 1
        return (self.count + self.padding) // self.mesh.shape['trial']

    def pad(self, values: np.ndarray, fill: np.ndarray | None = None) -> np.ndarray:
        """Values of all trials, then the last one's, or `fill`, for the padding."""
        if fill is None:
            fill = values[-1:]
        return np.concatenate([values, np.repeat(fill, self.padding, 0)])

    def share_examples(self, examples: Any) -> Any:
        """Each device has its share of the examples; where workers lie on devices, each has drawn
        its own there already."""
        count = jax.tree.leaves(examples)[0].shape[0]
        # Pieces of a microbatch may be smaller than the devices are many: each has all of them.
        if self.shards == 1 or self.by_worker or count % self.shards:
            return examples
        return self.share_evaluation(examples)

    def share_evaluation(self, examples: Any) -> Any:
        """Each device has its share of the examples, where they can be shared equally."""
        count = len(jax.tree.leaves(examples)[0])
        if self.shards == 1 or count % self.shards:
            return examples
        along_data = meshes.named_sharding(self.mesh, 'data')
        return jax.lax.with_sharding_constraint(examples, along_data)

    def keep_shares(self, state: Any) -> Any:
        """The state of a trial, whose large arrays stay where they lie."""
        if self.shards == 1 or self.sharding == 'replicated' or self.by_worker:
            return state
        shares = meshes.state_sharding(self.mesh, state, self.sharding)
        return jax.lax.with_sharding_constraint(state, shares)

    def of_states(self, states: Any) -> Any:
        """The placement of each array of the states of all trials."""
        if self.by_worker:
            return _by_worker(states, self.mesh, self.by_worker)
        return meshes.state_sharding(self.mesh, states, self.sharding, 'trial')


def placement(cohort: Cohort, layout: str, data_parallel: int | None) -> tuple[Placement, str]:
    """How the trials lie on the devices, and that in words.

    Raises:
        Refusal: a layout that the devices do not allow.
    """
    count, shared = len(cohort.trials), _shared(cohort)
    layout, across, shards = meshes.mesh_shape(
        layout, count, shared.parts, data_parallel, shared.of
    )
    place = Placement(
        layout,
        meshes.mesh(across, shards),
        count,
        padding=-count % across,
        sharding=cohort.config['sharding'],
        by_worker=shared.by_worker if shards > 1 else (),
    )
    return place, f'{layout}, mesh trial={across} data={shards}{shared.words}'


def over_trials(
    place: Placement, f: Callable, placements: Any = None, updates: bool = False
) -> Callable:
    """Lifts f(arrays, *of one trial) to f(arrays, *of all trials).

    Args:
        updates: f(arrays, numbers, state, *ticks) returns (state, columns). One after another,
            trials are then updated where their states lie: there is no second array of all states.
        placements: of the states, where each device has its own workers: f(arrays, numbers, state,
            *ticks) then runs on each device, and returns (state, columns).
    """
    many = partial(_one_after_another, f)
    if updates:
        many = partial(_updated_one_after_another, f)
    if place.layout == 'vmap':
        # shard_map, which `placements` ask for, has taken the axis apart already.
        axis = None if placements else 'trial'
        many = partial(_batched, f, axis)
    if placements is None and (place.layout == 'vmap' or place.mesh.shape['trial'] == 1):
        return many
    by_trial = PartitionSpec('trial')

    def on_each_device(arrays, *trials):
        # The arrays are everywhere, whatever belongs to a trial lies where the trial does.
        inputs, outputs = [PartitionSpec()] + [by_trial] * len(trials), by_trial
        if placements is not None:
            states = jax.tree.map(lambda placement: placement.spec, placements)
            inputs[2], outputs = states, (states, by_trial)
        mapped = jax.shard_map(
            many, mesh=place.mesh, in_specs=tuple(inputs), out_specs=outputs, check_vma=False
        )
        return mapped(arrays, *trials)

    return on_each_device


def _batched(f, axis, arrays, *trials):
    return jax.vmap(partial(f, arrays), spmd_axis_name=axis)(*trials)


def _one_after_another(f, arrays, *trials):
    return jax.lax.map(lambda trial: f(arrays, *trial), trials)


def _updated_one_after_another(f, arrays, numbers, states, *ticks):
    def update(states, inputs):
        number, numbers, ticks = inputs
        state = jax.tree.map(partial(_of_trial, number), states)
        state, columns = f(arrays, numbers, state, *ticks)
        return jax.tree.map(partial(_with_trial, number), states, state), columns

    count = len(jax.tree.leaves(states)[0])
    return jax.lax.scan(update, states, (jnp.arange(count), numbers, ticks))


def _of_trial(number, states):
    return jax.lax.dynamic_index_in_dim(states, number, keepdims=False)


def _with_trial(number, states, state):
    return jax.lax.dynamic_update_index_in_dim(states, state, number, axis=0)


class _Shared(NamedTuple):
    """What devices may share of a trial."""

    parts: int  # that its batch has
    of: str
    by_worker: tuple[str, ...]  # fields of the state that lie where the workers are
    words: str


def _shared(cohort):
    way = replicas(cohort.config)
    if not cohort.config['replicas']:
        words = ''
        if cohort.config['sharding'] == 'fsdp':
            words = ', fsdp'
        return _Shared(cohort.microbatch, 'examples per microbatch', (), words)
    if cohort.config['sharding'] != 'replicated':
        raise Refusal(
            "sharding: found 'fsdp' with replicas, whose weights differ; allowed: 'replicated'"
        )
    words = f', {cohort.config["replicas"]["name"]} of {way.workers} workers'
    if way.by_worker:
        return _Shared(way.workers, 'workers', way.by_worker, words)
    return _Shared(cohort.microbatch // way.pieces, 'examples per pass', (), words)


def _by_worker(states, mesh, by_worker):
    """The placement of each leaf of the states: by trial, and by worker where that is the next
    axis."""

    def placed(name, part):
        axes = ('trial', 'data') if name in by_worker else ('trial',)
        placement = meshes.named_sharding(mesh, *axes)
        return jax.tree.map(lambda leaf: placement, part)

    return states._replace(**{name: placed(name, part) for name, part in states._asdict().items()})
