"""Networks of which two layers are rescaled: the same function at other weights, and how sharp it
is there."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict

from lbexp import documents, results
from lbexp.config import lookup
from lbexp.engine.metrics_file import replace
from lbexp.errors import Refusal
from lbexp.parallel import hosts
from lbexp.studies._comparison import arms

RESCALED_FILE = 'rescaled.json'  # {trial: Rescaled}
_ALPHA = 10.0


class Rescaled(TypedDict):
    """Sharpness of a trial's network, as trained and with two layers rescaled."""

    step: int  # updates after which these were its weights
    keskar: tuple[float, float]
    adaptive: tuple[float, float]


def measure_rescaled(
    workdir: Path, layers: tuple[str, str], examples: int, radius: Mapping[str, float]
):
    """Sharpness of each reported trial as trained and rescaled, kept in RESCALED_FILE; what is
    there already is not computed again. All processes of a job call it together.
    """
    from lbexp.trained import Run

    kept, run, measure = read_rescaled(workdir), Run(workdir), None
    finals = results.final(workdir)
    done = set(finals['trial'][finals['status'] == 'done'].tolist())
    for number, tags in results.roles(workdir):
        if number not in done or tags.get('phase') != arms.REPORTING:
            continue
        trial = run.trial(number)
        if kept.get(str(number), {}).get('step') == trial.step:
            continue
        # compiled once: of all trials the network and the examples are the same
        measure = measure or _measurement(trial.objective(examples=examples).loss, radius)
        here, there = measure(trial.params), measure(rescaled_layers(trial.params, layers))
        pairs = [(float(a), float(b)) for a, b in zip(here, there, strict=True)]
        kept[str(number)] = Rescaled(step=trial.step, keskar=pairs[0], adaptive=pairs[1])
    if measure is not None and hosts.is_primary():
        replace(Path(workdir) / RESCALED_FILE, json.dumps(kept).encode())


def _measurement(loss, radius):
    """Function of parameters: (Keskar's sharpness, the adaptive one)."""
    import jax

    from lbexp.curvature import sharpness

    def measure(params):
        box = sharpness.keskar(loss, params, radius['keskar'])
        return box.value, sharpness.adaptive(loss, params, radius['adaptive']).value

    return jax.jit(measure)


def require_layers(workload: dict[str, Any], layers: tuple[str, str]):
    """Refuses layers that the network of a workload has not."""
    import jax

    params, _ = jax.eval_shape(lookup.build('workload', workload).init, jax.random.key(0))
    first, second = layers
    if first not in params or 'kernel' not in params.get(second, {}):
        names = ', '.join(params)
        raise Refusal(f'rescaled: found {first!r}, {second!r}; allowed: two of {names}')


def rescaled_layers(params: dict, layers: tuple[str, str]) -> dict:
    """The weights of the first layer times 10, the kernel of the second over 10: the same function
    where ReLU is all there is between them (Dinh et al. 2017, arXiv:1703.04933, Section 3)."""
    first, second = layers
    larger = {name: _ALPHA * values for name, values in params[first].items()}
    smaller = {**params[second], 'kernel': params[second]['kernel'] / _ALPHA}
    return {**params, first: larger, second: smaller}


def read_rescaled(workdir: Path) -> dict[str, Rescaled]:
    """What `measure_rescaled` kept, by trial; {}: nothing was measured.

    Raises:
        Refusal: the file is damaged; the message names it.
    """
    file = Path(workdir) / RESCALED_FILE
    if not file.exists():
        return {}
    return documents.document(file, dict[str, Rescaled])
