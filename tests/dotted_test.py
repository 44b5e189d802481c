"""Nested data by dotted names."""

import pytest

from lbexp.dotted import flatten

pytestmark = pytest.mark.quick

NESTED = {'a': {'b': 1, 'c': {}}, 'd': [2, {'e': 3}], 'f': []}


def test_dicts_are_taken_apart_and_lists_where_they_are_asked_for():
    assert flatten(NESTED) == {'a.b': 1, 'a.c': {}, 'd': [2, {'e': 3}], 'f': []}
    lists_too = flatten(NESTED, lists=True)
    assert lists_too == {'a.b': 1, 'a.c': {}, 'd.0': 2, 'd.1.e': 3, 'f': []}
    assert list(lists_too) == ['a.b', 'a.c', 'd.0', 'd.1.e', 'f']


def test_nothing_has_no_names():
    assert flatten({}) == {}
