"""Counts how dense the code is: tokens a line, comprehensions, ternaries, lambdas, comments,
annotations.

    python scripts/style_counts.py                       counts of lbexp/
    python scripts/style_counts.py FOLDER [FOLDER ...]   counts of other code, side by side

A code line holds at least one token that is neither a comment nor part of a docstring. A comment
line holds a comment alone. Parameters are those of public functions and methods (no name on the way
to them begins with an underscore), without self and cls.
"""

import ast
import io
import pathlib
import sys
import tokenize
from typing import NamedTuple

_LAYOUT = {
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


class Counts(NamedTuple):
    """Counts of one file; those of many are added."""

    code_lines: int = 0
    tokens: int = 0
    comment_lines: int = 0
    comprehensions: int = 0
    ternaries: int = 0
    named_lambdas: int = 0
    parameters: int = 0
    annotated: int = 0

    def __add__(self, other: 'Counts') -> 'Counts':
        return Counts(*map(sum, zip(self, other, strict=True)))


def count(source: str) -> Counts:
    """Counts of one file's text."""
    tree = ast.parse(source)
    docstrings = _docstring_lines(tree)
    code_lines, comment_lines, tokens = set(), set(), 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in _LAYOUT:
            continue
        if token.type == tokenize.COMMENT:
            comment_lines.add(token.start[0])
        elif token.start[0] not in docstrings:
            tokens += 1
            code_lines.update(range(token.start[0], token.end[0] + 1))
    nodes = list(ast.walk(tree))
    parameters = list(_public_parameters(tree))
    return Counts(
        code_lines=len(code_lines),
        tokens=tokens,
        comment_lines=len(comment_lines - code_lines),
        comprehensions=sum(isinstance(node, _COMPREHENSIONS) for node in nodes),
        ternaries=sum(isinstance(node, ast.IfExp) for node in nodes),
        named_lambdas=sum(
            isinstance(node, ast.Assign) and isinstance(node.value, ast.Lambda) for node in nodes
        ),
        parameters=len(parameters),
        annotated=sum(parameter.annotation is not None for parameter in parameters),
    )


def table(folders: list[pathlib.Path]) -> str:
    """The figures of each folder, one line each."""
    lines = [
        (
            f'{"":20} {"tokens":>8} {"compr.":>8} {"ternary":>8} {"lambdas":>8} {"comments":>9} '
            f'{"annotated":>10}'
        )
    ]
    for folder in folders:
        total = Counts()
        for path in sorted(folder.rglob('*.py')):
            total += count(path.read_text())
        thousands, hundreds = total.code_lines / 1000, total.code_lines / 100
        lines.append(
            f'{folder.name:20} {total.tokens / total.code_lines:8.1f} '
            f'{total.comprehensions / thousands:8.1f} '
            f'{total.ternaries / thousands:8.1f} {total.named_lambdas:8} '
            f'{total.comment_lines / hundreds:9.1f} '
            f'{total.annotated / max(total.parameters, 1):10.0%}'
        )
    lines.append(
        'per code line, per 1,000 lines (2), in all, per 100 lines, of the parameters '
        'of public functions'
    )
    return '\n'.join(lines)


def _docstring_lines(tree):
    lines = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, *_FUNCTIONS)) and ast.get_docstring(
            node, clean=False
        ):
            statement = node.body[0]
            lines.update(range(statement.lineno, statement.end_lineno + 1))
    return lines


def _public_parameters(tree):
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith('_'):
            yield from _public_parameters(node)
        elif isinstance(node, _FUNCTIONS) and not node.name.startswith('_'):
            arguments = node.args
            positional = [*arguments.posonlyargs, *arguments.args]
            if isinstance(tree, ast.ClassDef):
                positional = [
                    parameter for parameter in positional if parameter.arg not in ('self', 'cls')
                ]
            variadic = [parameter for parameter in (arguments.vararg, arguments.kwarg) if parameter]
            yield from [*positional, *arguments.kwonlyargs, *variadic]


if __name__ == '__main__':
    here = pathlib.Path(__file__).parent.parent / 'lbexp'
    print(table([pathlib.Path(folder) for folder in sys.argv[1:]] or [here]))
