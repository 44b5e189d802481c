"""What the commands that read flags share: help, what is wrong with the flags, and how they end."""

from collections.abc import Callable

from absl import flags

from lbexp import command
from lbexp.exit_status import DONE

HELP = {'--help', '-h', '-help', '--helpfull'}

# overrides of the configuration, (path, text), and the words beside the flags
Act = Callable[[list, list[str]], int]  # -> exit status
Check = Callable[[list, list[str]], list[str]]  # -> what is wrong with the flags


def run(
    argv: list[str],
    text: str | None,
    flag_values: flags.FlagValues,
    act: Act,
    check: Check | None = None,
    words: tuple[str, ...] = (),
) -> int:
    """Parses, and acts unless help is asked for or something is wrong; returns the exit status.

    Args:
        text: of the help, above that of the flags.
        act: what the command does.
        check: asked once the flags can be read; None: each flag says for itself what it takes.
        words: what may stand beside the flags.
    """
    if HELP & set(argv):
        print(f'{text}\nFlags:\n{flag_values.get_help()}')
        return DONE
    overrides, present, problems = command.parse(flag_values, argv, words)
    if check is not None and flag_values.is_parsed():
        problems += check(overrides, present)
    if problems:
        return command.refuse(problems)
    try:
        return act(overrides, present)
    except Exception as error:
        return command.tell(error, flag_values.traceback)
