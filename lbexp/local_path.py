"""A path as a user writes it."""

import pathlib
import re

from lbexp.errors import Refusal


def local_path(text: str, name: str) -> pathlib.Path:
    """The path that `text` means: '~' is the home folder, as no shell expands it behind
    '--workdir='.

    Args:
        name: of the flag or variable, for messages.

    Raises:
        Refusal: a URL, such as gs://bucket/run; a home folder that there is not; a name that no
            file can have.
    """
    if re.match(r'[A-Za-z][A-Za-z0-9+.-]*:/', text):
        raise Refusal(
            f'{name}: found {text!r}; allowed: a folder or file of this machine, or '
            'one mounted here'
        )
    if '\0' in text:
        raise Refusal(f'{name}: found {text!r}; allowed: a path, which has no NUL')
    if not text.startswith('~'):  # './~' is a folder of that name, which Path writes as '~'
        return pathlib.Path(text)
    try:
        return pathlib.Path(text).expanduser()
    except RuntimeError as error:
        rule = 'allowed: a path, without ~ where there is no home folder'
        raise Refusal(f'{name}: found {text!r}, and {str(error).rstrip(".")}; {rule}') from error
