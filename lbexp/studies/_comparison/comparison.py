"""The study that compares arms: each tuned alike, reported with fresh seeds, then asked about."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from lbexp import config as configs
from lbexp import results
from lbexp.analysis import Analysis
from lbexp.config import lookup
from lbexp.crossed import require_resolution
from lbexp.errors import Refusal
from lbexp.studies import Study, Trial
from lbexp.studies._comparison import stopping
from lbexp.studies._comparison.arms import (
    Arm,
    Tuning,
    each_tuning,
    first_trials,
    next_trials,
    tuning_results,
    validate,
)
from lbexp.studies._comparison.compared import Compared as Compared
from lbexp.studies._comparison.sensitivity import sensitivity_figures
from lbexp.studies._comparison.tagged import recorded
from lbexp.studies._comparison.verdicts import stand, told_changes
from lbexp.studies._finals import require_metric, require_test_set
from lbexp.studies._seeds import first_seed, moved


def comparison(
    arms_of: Callable[[dict[str, Any]], Sequence[Arm]],
    tuning: Tuning,
    analyse: Callable[[Compared], Analysis],
    others: Sequence[Trial] = (),
    measure: Callable[[ConfigDict, Path], None] | None = None,
    margin: float | None = None,
    reports_test: bool = True,
) -> Study:
    """A study of arms, each tuned with the same budget on validation examples, then run with seeds.

    What `analyse` gives gains the sensitivity of each arm to what was tuned; its claims on
    differences of arms are held against the grid of points and the test set (`verdicts.stand`), and
    tell of margins that were changed after there were results.

    Args:
        arms_of: (configuration as plain data) -> the arms.
        tuning: how each is tuned, and with how many seeds it is reported.
        analyse: (Compared) -> Analysis; it reads and never trains.
        others: trials of the first round beside the arms.
        measure: as in `Study`.
        margin: difference of test error that counts as none; refused where the test set does not
            resolve it (`crossed.require_resolution`). None: there is none. Of another metric of
            `tuning` nothing is known that a margin could be too small for.
        reports_test: whether `analyse` reports errors of the test set; False: of the validation set
            alone.
    """

    def trials(config: ConfigDict) -> list[Trial]:
        workload = lookup.build('workload', configs.plain(config.workload))
        _require_validation(config, workload)
        if reports_test:
            require_test_set(config)
        is_error = tuning.metric == 'error'
        if not is_error:
            require_metric(configs.plain(config.workload), tuning.metric, less_is_better=True)
        if is_error and margin is not None and workload.test is not None:
            require_resolution(margin, _tested(config, workload.test.size))
        arms, seeded = arms_of(configs.plain(config)), _seeded(tuning, config.seed)
        validate(arms, seeded)
        return [*first_trials(arms, seeded), *moved(others, config.seed)]

    def more(config: ConfigDict, workdir: Path) -> list[Trial]:
        arms, seeded = arms_of(configs.plain(config)), _seeded(tuning, config.seed)
        if seeded.grows is None:
            return next_trials(workdir, arms, seeded)
        draws = stopping.latest_look(workdir, arms, seeded)
        trials = next_trials(workdir, arms, stopping.of_look(seeded, draws))
        if not recorded(workdir, trials):
            return trials
        analysis = analyse(_compared(workdir, arms, seeded))
        return stopping.trials_of_next_look(workdir, arms, seeded, analysis) or trials

    def analyse_workdir(workdir: Path) -> Analysis:
        # said first: what follows would complain of fields that another study has not
        results.roles(workdir)  # refuses a workdir that is no study's
        config = configuration(workdir)
        arms, seeded = arms_of(config), _seeded(tuning, config['seed'])
        compared = _compared(workdir, arms, seeded)
        taken_back = stopping.at_level_of_looks if seeded.grows else None
        analysis = stand(compared, analyse(compared), taken_back)
        figures = [*analysis.figures, *sensitivity_figures(arms, compared.results)]
        analysis = analysis._replace(figures=figures)
        return told_changes(analysis, results.changes(workdir))

    return Study(trials, analyse_workdir, more, measure)


def _compared(workdir, arms, tuning):
    """Arms with what tuning found, as far as the workdir has it."""
    if tuning.grows is not None:
        tuning = stopping.of_look(tuning, stopping.latest_look(workdir, arms, tuning))
    tunings = [tuning_results(workdir, arms, each) for each in each_tuning(tuning)]
    return Compared(Path(workdir), configuration(workdir), arms, tuning, tunings)


def _seeded(tuning, seed):
    return tuning._replace(first_seed=first_seed(seed))


def configuration(workdir: Path) -> dict[str, Any]:
    """The study's configuration as the workdir has it.

    Raises:
        Refusal: it has no optimizer or workload; the message names the file.
    """
    for name in ('optimizer', 'workload'):
        results.part(workdir, name)
    return results.configuration(workdir)['config']


def _tested(config, size):
    """Examples of the test set that an evaluation covers."""
    return size if config.evaluate_test == 'all' else min(config.evaluate_test, size)


def _require_validation(config, workload):
    """Refuses a workload that holds no examples out to tune on, or where nobody looks at them."""
    if workload.validation is None:
        raise Refusal(
            'workload.validation: found none; allowed: at least 1 example held out, to tune on'
        )
    if config.num_evaluations < 1:
        raise Refusal(
            f'num_evaluations: found {config.num_evaluations}; allowed: at least 1, '
            'what is tuned on is an evaluation'
        )
