"""The list of tests: what each file says that it holds the code to."""

import ast
import pathlib

from documentation.markdown import cell, code, table
from lbexp.docstrings import first_sentence


def section(folder: pathlib.Path) -> str:
    """A section with a row for each test file that says what it holds to."""
    rows = []
    for file in sorted(folder.rglob('*_test.py')):
        sentence = first_sentence(ast.get_docstring(ast.parse(file.read_text())))
        if sentence:
            rows.append([code(str(file.relative_to(folder))), cell(sentence)])
    return f'\n## The tests\n\n{table(["file of tests/", "holds"], rows)}\n'
