"""What a docstring says of a part: its first sentence, its sections, its arguments, its papers."""

import inspect
import re

# A full stop that ends a sentence stands before a capital letter: not that of 'et al. 2020'.
_SENTENCE = re.compile(r'\.(?=\s+[A-Z]|$)')
_SECTION = re.compile(r'(Args|Arguments common to all|Attributes|Returns|Raises|Source)\s*:')
# 'None: ...' says what a value means, and belongs to the argument before it.
_ARGUMENT = re.compile(r'(?:^|; )((?!None|True|False)\w+(?:, \w+)*): ')
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


def sections(text: str | None) -> dict[str, str]:
    """{name of a section, such as 'Args' or 'Raises': its text}; '' has what stands before them."""
    lines = {'': []}
    name = ''
    for line in inspect.cleandoc(text or '').splitlines():
        match = _SECTION.match(line)
        if match:
            name, line = match[1], line[match.end() :].strip()
        elif line and not line.startswith(' '):
            name = ''  # what follows a section with no indentation is no more of it
        lines.setdefault(name, []).append(line)
    return {name: inspect.cleandoc('\n'.join(part)) for name, part in lines.items()}


def meanings(section: str) -> dict[str, str]:
    """{name: what a section says of it}; of 'a, b: ...' both have the text."""
    texts, names = {}, []
    for line in section.splitlines():
        # A line that is indented no further begins an argument, or several.
        if not line.startswith(' '):
            names = []
            for start, end, named in _parts(line):
                names = named.split(', ')
                texts |= dict.fromkeys(names, line[start:end])
        else:
            for name in names:
                texts[name] = f'{texts[name]} {line.strip()}'
    return texts


def arguments(text: str | None) -> dict[str, str]:
    """{name: what the sections of arguments say of it}."""
    parts = sections(text)
    return meanings(parts.get('Args', '')) | meanings(parts.get('Arguments common to all', ''))


def papers(text: str | None) -> list[str]:
    """The papers that it names: 'You et al. 2020, arXiv:1904.00962v5'."""
    line = ' '.join((text or '').split())
    return list(dict.fromkeys(match[0].rstrip('.') for match in _PAPER.finditer(line)))


def _parts(line):
    """(start, end, names) of the text of each argument that a line begins."""
    matches = list(_ARGUMENT.finditer(line))
    if not matches:
        return []
    ends = [match.start() for match in matches[1:]] + [len(line)]
    return [(match.end(), end, match[1]) for match, end in zip(matches, ends, strict=True)]
