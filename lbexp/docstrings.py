"""What a docstring says of a part: its first sentence, its arguments, its papers."""

import inspect
import re

# A full stop that ends a sentence stands before a capital letter: not that of 'et al. 2020'.
_SENTENCE = re.compile(r'\.(?=\s+[A-Z]|$)')
_SECTION = re.compile(r'(Args|Arguments common to all|Attributes|Returns|Raises|Source)\s*:')
_ARGUMENT = re.compile(r'(?:^|; )(\w+(?:, \w+)*): ')
_PAPER = re.compile(
    r'[A-Z][\w-]+(?:,? (?:et al\.|and [A-Z][\w-]+|[A-Z][\w-]+))*,? '  # authors
    r'\(?\d{4}\)?(?:, arXiv:[\w./]+)?'
)


def first_sentence(text: str | None) -> str:
    """The first sentence in one line, without its full stop; '' where there is none."""
    paragraph, _, _ = inspect.cleandoc(text or '').partition('\n\n')
    line = ' '.join(paragraph.split())
    end = _SENTENCE.search(line)
    return line[: end.start()] if end else line


def arguments(text: str | None) -> dict[str, str]:
    """{name: what the sections of arguments say of it}; of 'a, b: ...' both have the text."""
    meanings, names = {}, []
    for line in _section_lines(text):
        # A line that is indented no further begins an argument, or several.
        if not line.startswith(' '):
            names = []
            for start, end, named in _parts(line):
                names = named.split(', ')
                meanings |= dict.fromkeys(names, line[start:end])
        else:
            for name in names:
                meanings[name] = f'{meanings[name]} {line.strip()}'
    return meanings


def papers(text: str | None) -> list[str]:
    """The papers that it names: 'You et al. 2020, arXiv:1904.00962v5'."""
    line = ' '.join((text or '').split())
    return list(dict.fromkeys(match[0].rstrip('.') for match in _PAPER.finditer(line)))


def _parts(line):
    """(start, end, names) of the text of each argument that a line begins."""
    matches = list(_ARGUMENT.finditer(line))
    ends = [match.start() for match in matches[1:]] + [len(line)]
    return [(match.end(), end, match[1]) for match, end in zip(matches, ends, strict=True)]


def _section_lines(text):
    """The lines of the sections of arguments, without their common indentation."""
    inside = False
    for line in inspect.cleandoc(text or '').splitlines():
        if line and not line.startswith(' '):
            match = _SECTION.match(line)
            inside = match is not None and match[1] in ('Args', 'Arguments common to all')
        elif inside and line.strip():
            yield line.removeprefix('    ')
