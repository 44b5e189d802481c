"""Which of many cases the default suite runs; `pytest -m slow` runs the others."""

from typing import Any

import pytest


def param(*values: Any, default: bool, id: str | None = None) -> Any:
    """A set of parameters; slow unless it is a `default` one."""
    return pytest.param(*values, marks=[] if default else pytest.mark.slow, id=id)
