"""MLflow: a run a trial, in an experiment. `pip install lbexp[mlflow]`; where to:
MLFLOW_TRACKING_URI, a server or a file."""

import importlib
import importlib.util
import os
import time
from typing import Any, NamedTuple

from lbexp.errors import Refusal
from lbexp.trackers import (
    TrackedCohort,
    Tracker,
    by_trial,
    hyperparameters,
    label,
    numbers,
)

_AT_ONCE = 1000  # metrics that a server takes in a request
_STEP = 'lbexp.step'  # tag: the step of the last row that the run has
_KEY = 'lbexp.key'  # tag: which trial of which run it is
_ENDS = {'done': 'FINISHED', 'running': 'KILLED'}  # of what is stopped and goes on later


class _Session(NamedTuple):
    client: Any
    entities: Any
    runs: dict[int, str]  # the identifier of each trial's
    steps: dict[int, int]  # of the last row that each has


def mlflow() -> Tracker:
    """One run a trial: its hyperparameters as parameters, curves 'train/loss', 'test/accuracy',
    ..., over the step. It goes on where the trial does.

    MLFLOW_TRACKING_URI says where to: a server, or a file such as 'sqlite:///runs.db'; the
    experiment is that of MLFLOW_EXPERIMENT_NAME, here 'lbexp', if it is not set.

    Raises:
        Refusal: MLflow is not installed.
    """
    # Imported where nobody waits for it: it takes seconds.
    if importlib.util.find_spec('mlflow') is None:
        raise Refusal('not installed; pip install lbexp[mlflow]')
    return Tracker(_begin, _write, _finish)


def _begin(cohort: TrackedCohort):
    client = importlib.import_module('mlflow.tracking').MlflowClient()
    session = _Session(client, importlib.import_module('mlflow.entities'), {}, {})
    experiment = _experiment(session.client)
    for trial in cohort.trials:
        run = _found(session.client, experiment, cohort.key(trial))
        if run is None:
            run = _created(session, experiment, cohort, trial)
        else:
            session.client.update_run(run.info.run_id, status='RUNNING')
        session.runs[trial.number] = run.info.run_id
        session.steps[trial.number] = int(run.data.tags.get(_STEP, -1))
    _write(session, cohort.rows)
    return session


def _experiment(client) -> str:
    """The identifier of the experiment."""
    name = os.environ.get('MLFLOW_EXPERIMENT_NAME', 'lbexp')
    experiment = client.get_experiment_by_name(name)
    return client.create_experiment(name) if experiment is None else experiment.experiment_id


def _found(client, experiment, key):
    """The run of a trial that goes on; None: there is none."""
    runs = client.search_runs([experiment], f"tags.`{_KEY}` = '{key}'", max_results=1)
    return next(iter(runs), None)


def _created(session, experiment, cohort, trial):
    tags = {_KEY: cohort.key(trial), 'lbexp.workdir': str(cohort.workdir)}
    run = session.client.create_run(experiment, tags=tags, run_name=label(trial))
    params = []
    for path, value in hyperparameters(trial).items():
        params.append(session.entities.Param(path, str(value)))
    session.client.log_batch(run.info.run_id, params=params[:100])  # what a request takes
    return run


def _write(session, rows):
    for trial, rows_of_trial in by_trial(rows).items():
        new = [row for row in rows_of_trial if row['step'] > session.steps[trial]]
        if not new:
            continue
        now, metrics = int(time.time() * 1000), []
        for row in new:
            for name, value in numbers(row).items():
                metrics.append(session.entities.Metric(name, value, now, row['step']))
        for start in range(0, len(metrics), _AT_ONCE):
            batch = metrics[start : start + _AT_ONCE]
            session.client.log_batch(session.runs[trial], metrics=batch)
        session.steps[trial] = new[-1]['step']
        # Behind the rows that it counts: a kill between the two sends some twice, and loses none.
        session.client.set_tag(session.runs[trial], _STEP, session.steps[trial])


def _finish(session, statuses):
    for trial, run in session.runs.items():
        session.client.set_terminated(run, _ENDS.get(statuses[trial], 'FAILED'))
