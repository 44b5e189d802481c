"""config.json and status.json of a workdir, which may be anything: torn, damaged, somebody else's."""

import functools
import json
import pathlib
import stat
import sys
from typing import Any

from lbexp.errors import Refusal

CONFIG, STATUS = 'config.json', 'status.json'
_DEPTH = 50  # of nested data; a configuration has about 6


def document(file: pathlib.Path) -> dict:
    """A JSON file as data, {} when it is absent or (being written, damaged) not readable."""
    try:
        return parsed(file)
    except (OSError, ValueError):
        return {}


def parsed(file: pathlib.Path) -> dict:
    """The object that a JSON file holds, its text such that it can be written as UTF-8.

    Raises:
        Refusal: it holds something else; the message names the file.
        OSError: there is none, or it cannot be read.
    """
    raw = pathlib.Path(file).read_bytes()
    try:
        content = json.loads(raw.decode())
    except (ValueError, RecursionError) as error:
        raise Refusal(f'{file}: found no JSON ({str(error)[:80]}); allowed: what lbexp writes there') from error
    if not isinstance(content, dict) or _is_deeper(content, _DEPTH):
        found = type(content).__name__ if not isinstance(content, dict) else f'objects more than {_DEPTH} deep'
        raise Refusal(f'{file}: found {found}; allowed: a JSON object, as lbexp writes it there')
    return encodable(content) if b'\\u' in raw else content


def configuration(folder: pathlib.Path) -> dict:
    """config.json of a workdir: 'config' (a dict) and 'trials' ([{'trial': number, 'overrides': {path: value}}]).

    Without the file nothing is known of its trials: {} and [].

    Raises:
        Refusal: the file is not what lbexp writes; the message names it, and what is wrong.
    """
    file = pathlib.Path(folder) / CONFIG
    if not file.exists():
        return {'config': {}, 'trials': []}
    content = {'config': {}, 'trials': [], **parsed(file)}
    wrong = _wrong(content)
    if wrong:
        rule = 'allowed: "config", an object, and "trials", each with its own "trial" and "overrides"'
        raise Refusal(f'{file}: found {wrong}; {rule}. Run the experiment again, or remove the file')
    return content


def part(folder: pathlib.Path, name: str) -> dict:
    """A part of the configuration of a workdir, such as its workload: a dict with a 'name'.

    Raises:
        Refusal: config.json has no such part; the message names the file.
    """
    content = configuration(folder)['config'].get(name)
    if not isinstance(content, dict) or not isinstance(content.get('name'), str):
        rule = "allowed: an object with a 'name'"
        raise Refusal(f'{pathlib.Path(folder) / CONFIG}: found {name} {str(content)[:80]}; {rule}')
    return content


def states(folder: pathlib.Path) -> dict[int, str]:
    """By trial, the status that status.json tells; what it does not tell in the way of lbexp is left out."""
    file = pathlib.Path(folder) / STATUS
    try:
        trials = parsed(file).get('trials')
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        say_once(f'{error}. The status of its trials is unknown')
        return {}
    entries = trials.items() if isinstance(trials, dict) else ()
    known = {
        int(trial): entry['status']
        for trial, entry in entries
        if trial.isdecimal() and len(trial) < 16 and isinstance(entry, dict) and isinstance(entry.get('status'), str)
    }
    if not isinstance(trials, dict) or len(known) < len(trials):
        say_once(f'{file}: found trials without a status; allowed: what lbexp writes there. Theirs is unknown')
    return known


def is_readable(file: pathlib.Path, root: pathlib.Path) -> bool:
    """Whether a file is there to be read; Refusal: it is no plain file, or a link to one outside `root`."""
    try:
        mode = file.stat().st_mode
    except FileNotFoundError:
        if file.is_symlink():
            raise Refusal(f'{file}: found a link to nothing; allowed: a file') from None
        return False
    if not stat.S_ISREG(mode):
        raise Refusal(f'{file}: found a device, pipe or folder; allowed: a file')
    if file.is_symlink() and not file.resolve().is_relative_to(root.resolve()):
        raise Refusal(f'{file}: found a link out of {root}; allowed: a file in it')
    return True


@functools.cache
def say_once(problem: str):
    """What is skipped is told on standard error, once a process."""
    print(f'lbexp: {" ".join(problem.split())}', file=sys.stderr)


def encodable(value: Any) -> Any:
    """Nested data whose text UTF-8 can hold: lone surrogates, which JSON can, become escapes."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode('utf-8', 'backslashreplace').decode()
    if isinstance(value, dict):
        return {encodable(key): encodable(inner) for key, inner in value.items()}
    return [encodable(inner) for inner in value] if isinstance(value, list) else value


def _is_deeper(value, depth):
    if isinstance(value, (dict, list)):
        inner = value.values() if isinstance(value, dict) else value
        return depth == 0 or any(_is_deeper(one, depth - 1) for one in inner)
    return False


def _wrong(content):
    """What is wrong with a config.json, or ''."""
    config, trials = content['config'], content['trials']
    if not isinstance(config, dict) or not isinstance(trials, list):
        return f'"config" {type(config).__name__}, "trials" {type(trials).__name__}'
    numbers = set()
    for entry in trials:
        number = entry.get('trial') if isinstance(entry, dict) else None
        if type(number) is not int or not 0 <= number < 2**53 or number in numbers:
            return f'the trial {str(entry)[:80]}'
        if not isinstance(entry.get('overrides'), dict):
            return f'trial {number} with overrides {str(entry.get("overrides"))[:80]}'
        numbers.add(number)
    return ''
