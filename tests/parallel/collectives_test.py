"""What processes tell each other, as far as one process shows it."""

import pathlib

import pytest

from lbexp.parallel.collectives import run_on_primary


@pytest.mark.parametrize('value', [pathlib.Path('page'), {'page': pathlib.Path('page')}, {1, 2}])
def test_what_several_processes_could_not_tell_each_other_fails_with_one(value):
    with pytest.raises(TypeError, match='not JSON serializable'):
        run_on_primary(lambda: value)


@pytest.mark.parametrize('value', [None, 0, 'page', ['a', 1.5], {'rows': [1, 2]}])
def test_what_they_can_is_what_comes_back(value):
    assert run_on_primary(lambda: value) == value
