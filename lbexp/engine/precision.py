"""The workload of a trial in the precision of its run."""

from lbexp.errors import Refusal
from lbexp.precision import Precision
from lbexp.workloads import Workload


def in_precision(name: str, workload: Workload, precision: Precision) -> Workload:
    """`workload`, its network computed in a precision.

    What is trained, evaluated, predicted and measured by probes is then the network of rounded
    parameters and activations, and its derivatives are those of its operations, each rounded.

    Args:
        name: of the workload, for errors.

    Raises:
        Refusal: the workload is float32 alone, or its model asks for another precision itself.
    """
    if precision == 'float32':
        return workload
    if workload.in_precision is None:
        raise Refusal(
            f'precision: found {precision!r} with the workload {name}, which is float32 '
            "alone; allowed: 'float32'"
        )
    return workload.in_precision(precision)
