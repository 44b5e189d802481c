"""Costs and figure of workers that meet every k steps."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from lbexp import results
from lbexp.analysis import Figure, Series, Table, interval
from lbexp.studies._comparison import compare
from lbexp.studies._comparison.arms import Arm, TuningResult
from lbexp.studies._comparison.compare import Measured
from lbexp.studies._finals import row_of_trial


def cost(workdir: Path, tuned: Mapping[str, TuningResult]) -> Table:
    """Examples, steps and bytes of each arm."""
    finals = results.final(workdir)
    row_of = row_of_trial(finals)
    rows = []
    for name, result in tuned.items():
        if result.trials:
            # the same for all seeds
            row = row_of[result.trials[0]]
            examples = int(finals['examples'][row])
            steps = int(finals['step'][row])
            sent = float(finals['communicated_bytes'][row])
            rows.append([name, examples, steps, sent, sent * steps])
    columns = ['arm', 'examples', 'steps', 'bytes all-reduced per step', 'bytes in all']
    caption = (
        'Steps count updates of each worker; bytes are the size of what is all-reduced, on '
        'average over steps.'
    )
    return Table('What it costs', columns, rows, caption)


def figure(compared_arms: Sequence[Arm], measured: Measured) -> Figure:
    """A line over k for each number of workers; slow steps, outer momentum and AdamW as points."""
    lines, points = {}, []
    for arm in compared_arms:
        way, errors = arm.overrides['replicas'], measured[arm.name]['test_error']
        k = way.get('k', 1)  # synchronous replicas meet every step
        plain = way.get('slow_step_size', 1.0) == 1.0 and not way.get('outer_momentum')
        if plain and 'optimizer' not in arm.overrides:
            lines.setdefault(f'W {way["workers"]}', []).append((k, errors))
        else:
            middle, low, high = interval(errors)
            points.append(Series(arm.name, [k], [middle], [low], [high], 'points'))
    series: list[Series] = []
    for name, members in lines.items():
        ks, errors = zip(*members, strict=True)
        series += compare.points(name, ks, errors)
    caption = (
        'Medians with intervals over seeds, each arm at its best learning rate; k 1: '
        'synchronous replicas.'
    )
    labels = 'steps between synchronisations, k', 'test error [fraction]'
    title = 'Test error at equal examples'
    return Figure('error', title, *labels, [*series, *points], 'log', 'linear', caption)
