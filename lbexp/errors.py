"""What lbexp refuses, apart from what goes wrong; and how each is told in one line."""

import dis
import os
import pathlib
import re
import sysconfig
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

IN_PART = 'in '  # begins the note on an exception that an installed package's part raised

_LONGEST = 300  # characters of a message
_OURS = str(pathlib.Path(__file__).parent) + os.sep
_PATHS = sysconfig.get_paths()
_STANDARD = tuple(_PATHS[name] + os.sep for name in ('stdlib', 'platstdlib'))
_INSTALLED = {'site-packages', 'dist-packages'}
_CYTHON = ('.pyx', '.pxi', '.pxd')
_FRAME_IN_TEXT = re.compile(r'File "([^"]+)", line (\d+), in (\S+)')


class Refusal(ValueError):
    """A request that lbexp refuses: the value, the rule, the remedy, in one line that the commands
    print as it is.

    Any other exception is a defect, in a part of the user's or in lbexp, and is told with the place
    that raised it.
    """


class RunFailed(ValueError):
    """What `lbexp.run` raises, from whatever it came of.

    Attributes:
        lines: what the command would print, each without 'lbexp: '.
        status: the command's exit status (lbexp.exit_status).
    """

    def __init__(self, lines: Sequence[str], status: int):
        super().__init__('\n'.join(lines))
        self.lines, self.status = tuple(lines), status

    def __reduce__(self):  # BaseException's would call it with the text alone
        return RunFailed, (self.lines, self.status)


class Damaged(Exception):
    """What a run needs to go on is lost or damaged, in one line with the remedy."""


class _Frame(NamedTuple):
    file: str
    line: int
    function: str

    def __str__(self):
        file = pathlib.Path(self.file)
        if file.is_relative_to(pathlib.Path.cwd()):
            file = file.relative_to(pathlib.Path.cwd())
        return f'{file}:{self.line} in {self.function}'


def describe(error: BaseException) -> str:
    """An exception in one line: a refusal as it is, anything else by kind, message and the user's
    innermost frame.

        ValueError: too many values to unpack (expected 2) (mypkg/bugs.py:8 in update)

    Frames of lbexp, of installed packages (JAX, Flax, Optax) and of the standard library are left
    out. Where there is none of the user's, the part of an installed package stands there, or the
    last frame of lbexp, as its defect.
    """
    if refused(error):
        return ' '.join(str(error).split())
    place = user_frame(error)
    if place is not None:
        return f'{_summary(error)} ({place})'
    for exception in chain(error):
        for note in getattr(exception, '__notes__', []):
            if note.startswith(IN_PART):
                return f'{_summary(error)} ({note})'
    place = _innermost(error, _is_ours)
    if place is None or _is_out_of_memory(error):
        return _summary(error)
    return f'{_summary(error)} ({place}, a defect of lbexp)'


def refused(error: BaseException) -> bool:
    """Whether lbexp refuses something by this exception: a Refusal, or a ValueError that one of its
    parts raises.

    Parts (optimizers, models, schedules, ...) raise plain ValueErrors, as they are used in other
    people's code. One that Python or a library throws is none, nor is one behind a frame of the
    user's.
    """
    if isinstance(error, Refusal):
        return True
    if not isinstance(error, ValueError) or user_frame(error) is not None:
        return False
    traceback = error.__traceback__
    if traceback is None:
        return False
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    code = traceback.tb_frame.f_code
    # What the interpreter itself raises, as int('x') does, stands at another instruction.
    by_statement = code.co_code[traceback.tb_lasti] == dis.opmap['RAISE_VARARGS']
    return by_statement and _is_ours(code.co_filename)


def user_frame(error: BaseException) -> _Frame | None:
    """The innermost frame of the user's own code: of the exception, else of what caused it. None:
    there is none."""
    return _innermost(error, _is_user)


def place(function: Callable) -> str:
    """' (mine.py:8 in loss)', where a function of the user's is written; '' of any other."""
    # Through decorators and functools.partial, to what they hold.
    while (inner := getattr(function, '__wrapped__', getattr(function, 'func', None))) is not None:
        function = inner
    code = getattr(function, '__code__', None) or getattr(type(function).__call__, '__code__', None)
    if code is None or not _is_user(code.co_filename):
        return ''
    return f' ({_Frame(code.co_filename, code.co_firstlineno, code.co_name)})'


def _innermost(error: BaseException, matches: Callable[[str], bool]) -> _Frame | None:
    """The last frame in a file that matches, of the first exception of the chain that has one."""
    for exception in chain(error):
        matching = [frame for frame in _frames(exception) if matches(frame.file)]
        if matching:
            return matching[-1]
    return None


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """The exception, then what it came from."""
    seen = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        # As Python prints it: `raise ... from None` hides what came before.
        if error.__suppress_context__:
            error = error.__cause__
        else:
            error = error.__cause__ or error.__context__


def _frames(error):
    """Frames of one exception, innermost last."""
    traceback = error.__traceback__
    while traceback is not None:
        code = traceback.tb_frame.f_code
        yield _Frame(code.co_filename, traceback.tb_lineno, code.co_name)
        traceback = traceback.tb_next
    if isinstance(error, SyntaxError) and error.filename:
        yield _Frame(error.filename, error.lineno or 0, '<module>')
    # What a callback raised reaches Python as text: a traceback inside the message.
    for file, line, function in _FRAME_IN_TEXT.findall(str(error)):
        yield _Frame(file, int(line), function)


def _is_ours(file):
    return file.startswith(_OURS)


def _is_user(file):
    if _is_ours(file) or file.startswith('<'):  # '<frozen runpy>', '<string>'
        return False
    # Cython names its sources from where a package was built: of the user's own they are there.
    if file.endswith(_CYTHON) and not os.path.exists(file):
        return False
    return not _INSTALLED & set(pathlib.Path(file).parts) and not file.startswith(_STANDARD)


def _summary(error):
    """Kind and message, of what is said in many lines the first."""
    kind, text = type(error).__name__, str(error)
    if _FRAME_IN_TEXT.search(text):  # of a callback's traceback, the last line
        return _shortened(text.strip().splitlines()[-1])
    if _is_out_of_memory(error):
        return _shortened(f'out of memory: {_first(text)}'.rstrip(': '))
    if isinstance(error, SyntaxError):
        text = error.msg or text
    # JAX says in the first line what is wrong, and explains it in a page below.
    if type(error).__module__.partition('.')[0] in ('jax', 'jaxlib'):
        text = _first(text)
    return _shortened(f'{kind}: {" ".join(text.split())}'.rstrip(': '))


def _is_out_of_memory(error):
    return isinstance(error, MemoryError) or 'RESOURCE_EXHAUSTED' in str(error)


def _first(text):
    return (text.strip().splitlines() or [''])[0]


def _shortened(text):
    if len(text) <= _LONGEST:
        return text
    return text[: _LONGEST - 1] + '…'
