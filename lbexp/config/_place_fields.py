"""The fields that say where a trial runs, and how it is watched over there."""

from typing import Annotated, Literal

from annotated_types import Gt

from lbexp.config._field import Count, Field, Part

PLACE_FIELDS = (
    Field(
        'watchdog',
        600.0,
        Annotated[float, Gt(0)] | None,
        'a dispatch that takes longer, and ten times longer than is usual, has hung: the process '
        'ends; None: never',
        'seconds',
        watches=True,
    ),
    Field('data', {}, dict, 'how the hosts of a job share the training set'),
    Field(
        'data.partition',
        'shuffle_then_shard',
        Literal['shuffle_then_shard', 'independent'],
        "one order, of which each reads its slice; 'independent': each its own order",
    ),
    Field('data.hosts', None, Count | None, "of 'independent'; None: the processes of the job"),
    Field(
        'sharding',
        'replicated',
        Literal['replicated', 'fsdp'],
        'of parameters and optimizer state over the devices that share a batch: all on each, or '
        'a share',
    ),
    Field(
        'replicas',
        {},
        Part('replicas', optional=True),
        "workers that differ between synchronisations: dict(name='local_sgd', workers=4, k=8); "
        'empty: none',
        traced='arguments',
    ),
    Field(
        'layout',
        'auto',
        Literal['auto', 'map', 'vmap'],
        "of a cohort's trials on the devices: 'map': one after another on each device",
    ),
    Field(
        'data_parallel',
        None,
        Count | None,
        "None: all of an accelerator's for a lone trial, else 1",
        'devices that share each batch',
    ),
)
