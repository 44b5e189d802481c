"""The axes of a sweep and of a search: the trials that they give, and what is refused."""

import pytest
from experiment_files import problems

from lbexp import config as configs
from lbexp.config import check


def test_sweeps_are_checked(experiment, capsys):
    text = experiment.read_text()
    for sweep, told in [
        ("(('optimizer.learning_rat', (1, 2)),)", "Did you mean 'learning_rate'?"),
        ("(('seed', ()),)", 'no trials'),
        ("((('seed', 'batch_size'), (1, 2)),)", 'one value for each of'),
        ("(('batch_size', (32, 0)),)", 'batch_size: found 0'),
    ]:
        experiment.write_text(text.replace('    return c', f'    c.sweep = {sweep}\n    return c'))
        lines = problems(capsys, f'--config={experiment}')
        assert all(told in line for line in lines), lines


SEARCH = "dict(kind='halton', trials=4, space=(('optimizer.learning_rate', 'log', 1e-3, 1.0),))"


@pytest.mark.parametrize(
    'was, now, told',
    [
        ("'halton'", "'haltn'", "search.kind: found 'haltn'; allowed: 'halton', 'sobol'"),
        ('kind', 'knd', "search.knd: no such field. Did you mean 'kind'?"),
        ('trials=4, ', '', 'search.trials: not set'),
        ('trials=4', 'trials=0', 'search.trials: found 0'),
        ('trials=4', 'trials=4.5', 'search.trials: found 4.5; allowed: an integer'),
        ('learning_rate', 'learning_rat', "Did you mean 'learning_rate'?"),
        (
            "'log'",
            "'lg'",
            (
                "search: optimizer.learning_rate: found ('lg', 0.001, 1.0); allowed: "
                "('linear', 'log'"
            ),
        ),
        ('1e-3', '0.0', 'low > 0'),
        ('1e-3', '2.0', 'low <= high'),
        (', 1e-3, 1.0', '', "search: optimizer.learning_rate: found ('log',)"),
        ('optimizer.learning_rate', 'seed', "search.space: found 'seed' twice"),
        ("'log', 1e-3, 1.0", "'log', -1e-3, 'x'", 'search: optimizer.learning_rate: found'),
    ],
)
def test_searches_are_checked(experiment, capsys, was, now, told):
    assert was in SEARCH
    given = (
        f"    c.sweep = (('seed', (0, 1)),)\n    c.search = {SEARCH.replace(was, now)}\n    "
        'return c'
    )
    experiment.write_text(experiment.read_text().replace('    return c', given))
    (line,) = problems(capsys, f'--config={experiment}')
    assert told in line


@pytest.mark.parametrize('kind', ['halton', 'sobol'])
def test_a_search_is_a_product_with_the_sweep_and_keeps_its_points(kind):
    config = configs.base()
    config.sweep = (('seed', (0, 1)),)
    space = (
        ('optimizer.momentum', 'linear', 0.5, 1.0),
        ('optimizer.learning_rate', 'log', 1e-3, 10.0),
    )
    config.search = dict(kind=kind, trials=64, seed=3, space=space)
    few = configs.trials(config)
    config.search.trials = 128
    many = configs.trials(config)
    assert (len(few), len(many)) == (128, 256) and many[:128] == few
    assert [t['seed'] for t in few[:4]] == [0, 1, 0, 1] and few[0]['optimizer.momentum'] == few[1][
        'optimizer.momentum'
    ]
    resolved = configs.resolve(config, few[5])
    assert (
        resolved['optimizer']['learning_rate'] == few[5]['optimizer.learning_rate']
        and 'search' not in resolved
    )


def test_trials_are_the_product_of_the_sweep():
    config = configs.base()
    config.sweep = (
        ('seed', (0, 1)),
        (('batch_size', 'optimizer.learning_rate'), ((32, 0.1), (64, 0.2))),
    )
    trials = configs.trials(config)
    assert [t['seed'] for t in trials] == [0, 0, 1, 1]
    assert [t['batch_size'] for t in trials] == [32, 64, 32, 64]
    resolved = configs.resolve(config, trials[3])
    assert (resolved['seed'], resolved['batch_size'], resolved['optimizer']['learning_rate']) == (
        1,
        64,
        0.2,
    )


def test_trials_do_not_share_what_a_later_path_leads_into():
    config = configs.base()
    optimizers = (dict(name='momentum', learning_rate=0.1), dict(name='lamb', learning_rate=0.2))
    config.sweep = (('optimizer', optimizers), ('optimizer.learning_rate', (1.0, 2.0)))
    resolved = [configs.resolve(config, overrides) for overrides in configs.trials(config)]
    assert [trial['optimizer']['learning_rate'] for trial in resolved] == [1.0, 2.0, 1.0, 2.0]
    assert [trial['optimizer']['name'] for trial in resolved] == [
        'momentum',
        'momentum',
        'lamb',
        'lamb',
    ]


def test_a_check_of_many_trials_is_of_each(written):
    config = configs.load(
        str(written("c.sweep = (('optimizer.momentum', (0.5, 1.5)), ('seed', tuple(range(20))))"))
    )
    (line,) = check.check(config)
    assert 'momentum: found 1.5' in line
