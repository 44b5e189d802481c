"""What do the features of a network tell of the classes, beside those of the network that it was
before training?"""

import dataclasses
import json
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from lbexp import documents, results
from lbexp.analysis import (
    REPRODUCED,
    UNDECIDED,
    Analysis,
    Table,
    above,
    format_interval,
    judged,
)
from lbexp.engine.metrics_file import replace
from lbexp.errors import Refusal
from lbexp.parallel import hosts
from lbexp.ranges import PositiveInteger, Trials
from lbexp.studies import Study, Trial, _seeds
from lbexp.studies._network.features import linear_accuracy, neighbour_accuracy

PROBE_FILE = 'linear_probe.json'  # {trial: its accuracies}
_PROBES = {'linear': 'linear probe', 'neighbours': 'nearest neighbours'}
_SEED = 20051  # of the choice of labelled examples: one choice for ever
_CAPTION = (
    'Test accuracy of classifiers on frozen features: a logistic regression, and a vote of the '
    'nearest labelled examples; median with its interval over seeds. Untrained: the same network '
    'as it was initialised, each seed its own.'
)


class Accuracies(TypedDict):
    """Of the classifiers on the features of one network, in [0, 1]."""

    linear: float
    neighbours: float


class Measured(TypedDict):
    """Of a trial."""

    step: int  # updates after which these were its weights
    labelled: int
    voters: int
    trained: Accuracies
    untrained: Accuracies


def linear_probe(
    seeds: Trials = 6,
    labelled: PositiveInteger = 5000,
    neighbours: PositiveInteger = 20,
    label: str = 'label',
) -> Study:
    """Trains the configuration with several seeds; once all are through, compares what a logistic
    regression and the nearest neighbours make of each one's features (what its workload's
    `predict` gives) with what they make of those that it had before training.

    An untrained network is strong on small pictures, and no accuracy says how much of it was
    learned. Claims: trained features do better, by the median over seeds. Below 6 seeds nothing is
    decided.

    Args:
        seeds: trials.
        labelled: examples of the training set, drawn at random, whose classes the classifiers are
            given.
        neighbours: that vote.
        label: name of the array of classes.
    """

    def trials(config):
        asked = [Trial({'seed': seed}, {}) for seed in range(seeds)]
        return _seeds.moved(asked, config.seed)

    def measure(config, workdir):
        measure_features(workdir, labelled, neighbours, label)

    return Study(trials, _analyse, measure=measure)


def measure_features(workdir: Path, labelled: int, neighbours: int, label: str):
    """Accuracies on the features of each trial that is done, kept in PROBE_FILE; what is there
    already is not computed again. All processes of a job call it together.

    Raises:
        Refusal: more labelled examples than there are, fewer than neighbours, no test set, no
            classes, or no features.
    """
    from lbexp.trained import Run

    file = Path(workdir) / PROBE_FILE
    accuracies = read_accuracies(workdir)
    run, is_new = Run(workdir), False
    for number in _done(workdir):
        trial = run.trial(number)
        what = {'step': trial.step, 'labelled': labelled, 'voters': neighbours}
        before = accuracies.get(str(number), {})
        if what.items() <= before.items():
            continue
        known, asked = _examples(trial.workload, labelled, neighbours, label)
        accuracies[str(number)] = Measured(
            **what,
            trained=_accuracies(trial, known, asked, neighbours, label),
            untrained=_accuracies(_untrained(trial), known, asked, neighbours, label),
        )
        is_new = True
    if is_new and hosts.is_primary():
        replace(file, json.dumps(accuracies).encode())


def read_accuracies(workdir: Path) -> dict[str, Measured]:
    """What `measure_features` kept, by trial; {}: nothing was measured.

    Raises:
        Refusal: the file is damaged; the message names it.
    """
    file = Path(workdir) / PROBE_FILE
    if not file.exists():
        return {}
    return documents.document(file, dict[str, Measured])


def _done(workdir):
    finals = results.final(workdir)
    return finals['trial'][finals['status'] == 'done'].tolist()


def _examples(workload: Any, labelled: int, neighbours: int, label: str):
    """(labelled training examples, test examples), as the workload's `predict` takes them."""
    train, test = workload.train, workload.test
    if test is None or workload.predict is None:
        missing = 'test set' if test is None else 'predict'
        raise Refusal(f'linear_probe: found a workload without {missing}; allowed: one with it')
    if not neighbours <= labelled <= train.size:
        raise Refusal(
            f'labelled: found {labelled}; allowed: {neighbours} .. {train.size}, the neighbours '
            'that vote to the training examples'
        )
    places = np.random.default_rng(_SEED).permutation(train.size)[:labelled]
    return _read(train, places, workload, label), _read(test, np.arange(test.size), workload, label)


def _read(source, places, workload, label):
    import jax

    def read(arrays, places):
        examples = source.read(arrays, places)
        if label not in examples:
            names = ', '.join(map(repr, examples))
            raise Refusal(f'label: found {label!r}; allowed: {names}')
        return {name: examples[name] for name in (*workload.inputs, label)}

    # compiled: what else is read, such as views, is not computed
    return jax.device_get(jax.jit(read)(source.arrays, places))


def _untrained(trial):
    """The trial's network as it was initialised."""
    from lbexp.engine.state import INIT, stream_key

    params, model_state = trial.workload.init(stream_key(trial.config['seed'], INIT))
    return dataclasses.replace(trial, params=params, model_state=model_state)


def _accuracies(trial, known, asked, neighbours, label) -> Accuracies:
    x, y = _features(trial, known, label), known[label]
    test_x, test_y = _features(trial, asked, label), asked[label]
    return Accuracies(
        linear=linear_accuracy(x, y, test_x, test_y),
        neighbours=neighbour_accuracy(x, y, test_x, test_y, neighbours),
    )


def _features(trial, examples, label):
    """[n, width]."""
    inputs = {name: values for name, values in examples.items() if name != label}
    outputs = np.asarray(trial.predict(inputs))
    return outputs.reshape(len(outputs), -1)


def _analyse(workdir: Path) -> Analysis:
    title = 'Features of a trained encoder'
    numbers = [entry['trial'] for entry in results.entries(workdir)]
    accuracies = read_accuracies(workdir)
    if not accuracies:
        return Analysis(title, '', [], [])
    rows, claims = [], []
    for probe, words in _PROBES.items():
        trained, untrained = [], []
        for number in numbers:
            of_trial: Any = accuracies.get(str(number), {})
            trained.append(of_trial.get('trained', {}).get(probe, np.nan))
            untrained.append(of_trial.get('untrained', {}).get(probe, np.nan))
        gains = np.subtract(trained, untrained)
        cells = [format_interval(values) for values in (trained, untrained, gains)]
        rows.append([words, *cells])
        claim = f'Trained features tell more than untrained ones ({words})'
        claims.append(judged(claim, f'accuracy higher by {cells[-1]}', above, gains))
    columns = ['', 'trained', 'untrained', 'difference']
    verdict = f'Trained less untrained, linear probe: {rows[0][-1]}.'
    outcomes = {claim.outcome for claim in claims}
    passed = None if UNDECIDED in outcomes else outcomes == {REPRODUCED}
    table = Table('Accuracy on frozen features', columns, rows, _CAPTION)
    return Analysis(title, verdict, [table], [], passed, claims)
