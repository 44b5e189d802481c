"""What the commands over trained networks share: flags, and the run that they name."""

from typing import TYPE_CHECKING

from absl import flags

from lbexp import command
from lbexp.errors import Refusal

if TYPE_CHECKING:
    from lbexp.trained import Run


def command_flags() -> flags.FlagValues:
    """--workdir, --trial, and whose functions may run."""
    flag_values = flags.FlagValues()
    texts = {
        'workdir': 'folder of the run',
        'config': 'experiment file; what it names outside lbexp, the workdir may name too',
    }
    for name, meaning in texts.items():
        flags.DEFINE_string(name, None, meaning, flag_values=flag_values)
    trial = 'number of the trial; default: all of them, or the only one'
    flags.DEFINE_integer('trial', None, trial, lower_bound=0, flag_values=flag_values)
    trust = "run what the workdir names outside lbexp: a workdir is data, and may be anybody's"
    flags.DEFINE_bool('trust_workdir', False, trust, flag_values=flag_values)
    everything = 'show every frame of an exception, those of lbexp and JAX among them'
    flags.DEFINE_bool('traceback', False, everything, flag_values=flag_values)
    return flag_values


def opened(flag_values: flags.FlagValues, overrides: list) -> 'Run':
    """The run of --workdir, JAX set up for one device."""
    if not flag_values.workdir:
        raise Refusal('--workdir: not given; allowed: the folder of a run')
    if overrides and not flag_values.config:
        raise Refusal(f'--config.{overrides[0][0]}: given without --config; allowed: both')
    # imports what takes seconds, which a refusal should not wait for
    from lbexp.engine.quiet import quiet
    from lbexp.parallel.devices import devices
    from lbexp.trained import Run

    trusted = command.trusted(flag_values, overrides)
    quiet()
    devices(1, many_trials=False)
    return Run(flag_values.workdir, True if trusted is None else trusted)
