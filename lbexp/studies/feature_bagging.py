"""Does an ensemble whose members each see some of the columns beat one network that sees all of
them?"""

import json
from pathlib import Path

import numpy as np

from lbexp import config as configs
from lbexp import documents, results
from lbexp.analysis import Analysis, Claim, Table, above
from lbexp.engine.metrics_file import replace
from lbexp.errors import Refusal
from lbexp.inference import Interval
from lbexp.parallel import hosts
from lbexp.ranges import PositiveFraction, Trials
from lbexp.resampling import percentiles, resampled
from lbexp.studies import Study, Trial, _seeds

ENSEMBLE_FILE = 'ensemble.json'  # {'AUC' or 'log loss': {of what: value, ends of its interval}}
BAGGED, WHOLE = 'bagged', 'whole'  # arms
_ONE, _ALL = 'one {} network', 'ensemble of {} networks'
_AUC, _LOSS = 'AUC', 'log loss'
_CAPTION = (
    'On the test examples after the last update; 95 % intervals: bootstrap over these examples, '
    'for these networks. One network: the mean over all of its kind. An ensemble averages logits. '
    'Bagged: each network sees a random share of the columns.'
)


def feature_bagging(members: Trials = 8, share: PositiveFraction = 0.7) -> Study:
    """Trains `members` networks that each see a random share of the columns, and as many that see
    all of them, as one cohort where the configuration allows one; then averages the logits of each
    kind on the test examples.

    Claims: the bagged ensemble has a lower log loss than one whole network, and than as many of
    them: what averaging does alone. A network is compared with an ensemble that costs as many times
    as much.

    Args:
        members: networks of each kind.
        share: of the columns that a bagged one sees, in (0, 1].

    Random subspaces: Ho 1998, doi:10.1109/34.709601; ensembles of whole networks: Lakshminarayanan
    et al. 2017, arXiv:1612.01474.
    """

    def trials(config):
        workload = configs.plain(config.workload)
        model = workload.get('model')
        if workload['name'] != 'binary' or model is None:
            raise Refusal(
                f'workload: found {workload["name"]}; allowed: binary, with a model of columns'
            )
        asked = []
        for arm, seen in ((BAGGED, float(share)), (WHOLE, 1.0)):
            bag = {'name': 'feature_bag', 'model': model, 'share': seen}
            for seed in range(members):
                asked.append(Trial({'workload.model': bag, 'seed': seed}, {'arm': arm}))
        return _seeds.moved(asked, config.seed)

    def measure(config, workdir):
        del config
        measure_ensembles(workdir)

    return Study(trials, _analyse, measure=measure)


def measure_ensembles(workdir: Path):
    """AUC and log loss of networks and ensembles, kept in ENSEMBLE_FILE. All processes of a job
    call it together. Trials that diverged are no members; an arm without any leaves nothing."""
    from lbexp.trained import Run

    run, finals = Run(workdir), results.final(workdir)
    done = set(finals['trial'][finals['status'] == 'done'].tolist())
    logits, labels = {BAGGED: [], WHOLE: []}, np.zeros(0)
    for number, tags in results.roles(workdir):
        if number in done and tags.get('arm') in logits:
            outputs, labels = _on_test_examples(run.trial(number))
            logits[tags['arm']].append(outputs)
    if not all(logits.values()) or not hosts.is_primary():
        return
    measured = {}
    for name, values in compared(logits, labels).items():
        measured[name] = {what: list(percentiles(of_draws)) for what, of_draws in values.items()}
    replace(Path(workdir) / ENSEMBLE_FILE, json.dumps(measured).encode())


def compared(logits: dict[str, list[np.ndarray]], labels: np.ndarray) -> dict[str, dict]:
    """{'AUC', 'log loss': {of what: values on the examples, then on each resample [1 + draws]}}.

    Args:
        logits: by arm, of each network [n].
        labels: [n], 0 or 1.
    """
    of_auc, of_loss = {}, {}
    for arm, of_networks in logits.items():
        each = [resampled(network, labels) for network in of_networks]
        together = resampled(np.mean(of_networks, axis=0), labels)
        of_auc[_ONE.format(arm)] = np.mean([scores.auc for scores in each], axis=0)
        of_loss[_ONE.format(arm)] = np.mean([scores.loss for scores in each], axis=0)
        of_auc[_ALL.format(arm)], of_loss[_ALL.format(arm)] = together.auc, together.loss
    for values in (of_auc, of_loss):
        for other in (_ONE, _ALL):
            name = other.format(WHOLE)
            values[_less(name)] = values[name] - values[_ALL.format(BAGGED)]
    return {_AUC: of_auc, _LOSS: of_loss}


def _less(name):
    return f'{name} less {_ALL.format(BAGGED)}'


def _on_test_examples(trial):
    """(logits [n], labels [n]) of a trial of the workload `binary`."""
    test = trial.workload.test
    if test is None:
        raise Refusal('feature_bagging: found a workload without test set; allowed: one with it')
    examples = test.read(test.arrays, np.arange(test.size))
    outputs = trial.workload.set_metrics.outputs(trial.params, trial.model_state, examples)
    return np.asarray(outputs['score'], np.float64), np.asarray(outputs['label'])


def _analyse(workdir: Path) -> Analysis:
    title = 'Feature-bagged ensemble'
    results.roles(workdir)  # refuses a workdir that is no study's
    file = Path(workdir) / ENSEMBLE_FILE
    if not file.exists():
        return Analysis(title, '', [], [])
    measured = documents.document(file, dict[str, dict[str, tuple[float, float, float]]])
    auc, loss = measured[_AUC], measured[_LOSS]
    rows, claims = [], []
    for name in auc:
        rows.append([name, _in_words(auc[name]), _in_words(loss[name])])
    for other in (_ONE, _ALL):
        name = other.format(WHOLE)
        claim = f'The ensemble of bagged networks has a lower log loss than the {name}'
        difference = loss[_less(name)]
        words = f'log loss of the {name} less that of the bagged ensemble: {_in_words(difference)}'
        claims.append(Claim(claim, words, above(difference[1:])))
    columns = ['', _AUC, _LOSS]
    verdict = f'{claims[0].measured}; {claims[1].measured}.'
    table = Table('Networks and ensembles', columns, rows, _CAPTION)
    return Analysis(title, verdict, [table], [], None, claims)


def _in_words(ends):
    value, low, high = Interval(*ends)
    return f'{value:.4f} [{low:.4f}, {high:.4f}]'
