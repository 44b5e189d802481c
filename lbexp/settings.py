"""What a run takes beside its configuration."""

from collections.abc import Sequence
from typing import Any, NamedTuple


class Settings(NamedTuple):
    """The fields have the names of the command's flags.

    Args:
        config: experiment file, FILE.py or FILE.py:ARGUMENT; None: the configuration is no file's.
        workdir: folder of the run; None: runs/NAME-HASH-HASH.
        figures: formats of the files of each figure.
        allow_config_change: go on in a workdir with another configuration, code or data.
        restart_lost: train from the start the trials whose checkpoints or rows are lost.
        trackers: names of what shows the rows elsewhere.
        profile: 'START:STOP', updates that the JAX profiler traces; None: none.
        ends_hung: whether the process ends where a dispatch hangs; the command's may, that of a
            notebook may not.
    """

    config: str | None
    workdir: str | None
    figures: Sequence[str]
    allow_config_change: bool = False
    restart_lost: bool = False
    trackers: Sequence[str] = ('tensorboard',)
    profile: str | None = None
    ends_hung: bool = True

    @classmethod
    def of(cls, flag_values: Any) -> 'Settings':
        """Those of the flags of lbexp.main."""
        return cls(
            flag_values.config,
            flag_values.workdir,
            flag_values.figures,
            flag_values.allow_config_change,
            flag_values.restart_lost,
            flag_values.trackers,
            flag_values.profile,
        )
