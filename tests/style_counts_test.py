"""The script that counts style, on text whose counts are known."""

import pathlib
import runpy

count = runpy.run_path(str(pathlib.Path(__file__).parent.parent / 'scripts' / 'style_counts.py'))[
    'count'
]

SOURCE = '''"""A docstring
of two lines."""

# A comment alone.
double = lambda x: 2 * x  # a comment behind code


def public(a: int, b, *c, d: str = ''):
    """Its docstring."""
    return [i for i in range(a)] if b else {k: (v for v in c) for k in d}


def _private(e):
    return e


class Thing:
    def method(self, f: int):
        return f
'''


def test_counts_of_a_text():
    counts = count(SOURCE)
    assert counts.code_lines == 8
    assert counts.comment_lines == 1
    assert counts.comprehensions == 3
    assert counts.ternaries == 1
    assert counts.named_lambdas == 1
    assert (counts.parameters, counts.annotated) == (5, 3)
    # double = lambda x : 2 * x
    assert count('double = lambda x: 2 * x  # twice\n').tokens == 8
