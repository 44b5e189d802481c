"""Writes a trained network as a file that other programs read.

    python -m lbexp.export --workdir=runs/lamb-... --trial=0 --to=lamb.safetensors
    python -m lbexp.export --workdir=runs/lamb-... --trial=0 --format=orbax --to=lamb

The weights that the optimizer would deploy, and the model state, as arrays with names
('params/Dense_0/kernel'), with the trial's configuration and metrics beside them; plain data,
without pickle:

safetensors  pip install '.[export]'; the configuration and the metrics are in its metadata
orbax        a folder; the configuration and the metrics are its custom metadata
msgpack      flax.serialization.msgpack_restore gives nested dicts; __metadata__ is JSON
npz          numpy.load; __metadata__ is JSON

A kill leaves no half file. What a workdir names outside lbexp runs only where --config names it
too, or with --trust_workdir. Exit status: 0 done, 1 the disk or a part failed, 2 something given is
wrong, 3 the checkpoints are damaged.
"""

import signal
import sys

from absl import flags

from lbexp import flag_command
from lbexp.errors import Refusal
from lbexp.exit_status import DONE
from lbexp.output import outlive_readers
from lbexp.trained_flags import command_flags, opened


def main(argv: list[str]) -> int:
    """Parses, writes, says so in a line. Returns the exit status."""
    flag_values = command_flags()
    formats = "'safetensors', 'orbax', 'msgpack', 'npz'"
    flags.DEFINE_string('format', 'safetensors', formats, flag_values=flag_values)
    target = 'file to write; of orbax a folder that is not there'
    flags.DEFINE_string('to', None, target, flag_values=flag_values)

    def check(overrides, words):
        return [] if flag_values.to else ['--to: not given; allowed: a file to write']

    def act(overrides, words):
        return _export(flag_values, overrides)

    return flag_command.run(argv, __doc__, flag_values, act, check)


def _export(flag_values, overrides):
    run = opened(flag_values, overrides)
    number = flag_values.trial
    if number is None:
        if len(run) != 1:
            raise Refusal(f'--trial: not given with {len(run)} trials; allowed: one of them')
        (number,) = run.trials
    trial = run.trial(number)
    trial.export(flag_values.to, flag_values.format)
    print(f'trial {number}, weights of step {trial.step}: {flag_values.to}', flush=True)
    return DONE


if __name__ == '__main__':
    outlive_readers()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # what is half written is not under its name
    sys.exit(main(sys.argv))
