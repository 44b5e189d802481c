"""Tables that `lbexp.data.prepare` makes from packages, as data sets."""

from typing import Any

from lbexp.data.packages import examples_file, licences
from lbexp.datasets import Dataset
from lbexp.datasets.file import file


def packaged_table(name: str, source: str, **arguments: Any) -> Dataset:
    """The table `name` of lbexp.data.packages.

    Args:
        source: where it comes from.
        arguments: of lbexp.datasets.file.

    Raises:
        ValueError: not prepared; the message says what to run.
    """
    data = file(str(examples_file(name)), **arguments)
    described = f'{source} ({licences(name)["licence"]})'
    return data._replace(source=described, schema={**data.schema, 'source': name})
