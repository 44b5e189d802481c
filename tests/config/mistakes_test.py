"""Mistakes that once ended in a traceback: each is one line with exit status 2, or does what was
meant."""

import pytest
from experiment_files import refusals

from lbexp import config as configs
from lbexp import main
from lbexp.errors import Refusal


@pytest.mark.parametrize(
    'change, told',
    [
        (
            'c.workload.hidden = 64',
            ('workload.hidden: found 64; allowed: a list, each an integer >= 1'),
        ),
        ('c.workload.hidden = (8.5,)', 'workload.hidden: found [8.5]'),
        (
            "c.workload.dropout = 'abc'",
            ("workload.dropout: found 'abc'; allowed: a number in [0, 1) or None"),
        ),
        ("c.workload.ghost = 'replcia'", "Did you mean 'replica'?"),
        ('c.workload = None', "workload: found None; allowed: a dict with a 'name'"),
        ('c.optimizer = None', "optimizer: found None; allowed: a dict with a 'name'"),
        ('c.transforms = None', 'transforms: found None; allowed: a tuple of dicts'),
        ('c.transforms = (None,)', "transforms[0]: found None; allowed: a dict with a 'name'"),
        ('c.study = None', "study: found None; allowed: a dict with a 'name'"),
        ('c.optimizer.name = 5', "optimizer: found {'learning_rate': 1.0, 'name': 5}"),
        (
            "c.optimizer = dict(name='lookahead', inner='sgd')",
            ("optimizer.inner: found 'sgd'; allowed: a dict"),
        ),
        (
            "c.optimizer = dict(name='lookahead', inner=dict(name='sgd'))",
            'optimizer.inner.learning_rate: not set',
        ),
        (
            "c.optimizer = dict(name='lookahead', inner=dict(name='cosine'))",
            'optimizer.inner.name: no optimizer',
        ),
        (
            'c.batch_growth = dict(boundaries=0.5); c.microbatch = 8',
            ('batch_growth.boundaries: found 0.5; allowed'),
        ),
        (
            'c.batch_growth = dict(boundaries=(0.5, 0.2)); c.microbatch = 8',
            ('ascending fractions of the run'),
        ),
        (
            'c.batch_scaling.reference = -4',
            ('batch_scaling.reference: found -4; allowed: an integer in [1, 2^31 - 1]'),
        ),
        (
            "c.transforms = (dict(name='optax:clip_by_global_norm', max_norm='1'),)",
            "transforms[0].max_norm: found '1'",
        ),
        (
            "c.optimizer = dict(name='.a:b')",
            ("optimizer.name: found '.a:b'; allowed: 'package.module:function'"),
        ),
        (
            "c.optimizer = dict(name=':b')",
            ("optimizer.name: found ':b'; allowed: 'package.module:function'"),
        ),
        ("c.optimizer = dict(name='os:getcwd')", 'os:getcwd'),
        ("c.optimizer = dict(name='os:sep')", 'allowed: a function that returns an optimizer'),
        (
            "c.optimizer = dict(name='optax:constant_schedule', value=1.0)",
            'optax:constant_schedule returns',
        ),
        ("c.optimizer = dict(name='optax:lbfgs')", 'value_fn'),
        (
            "c.study = dict(name='optax:sgd', learning_rate=1.0)",
            ('allowed: a function that returns a study'),
        ),
        ("c.optimizer = dict(name='diagnostics')", "no optimizer is named 'diagnostics'"),
        ("c.schedule = dict(name='batch_scaling')", "no schedule is named 'batch_scaling'"),
        (
            "c.schedule = dict(name='constant', peak=1.0)",
            ('schedule.peak: found 1.0; allowed: nothing'),
        ),
        ("c.study = dict(name='convergence', k=0)", 'study.k: found 0; allowed: an integer >= 1'),
        (
            "c.search = dict(trials=2, space=(('batch_size', 'linear', 8, 64),))",
            'batch_size: found',
        ),
        ('c.search = dict(trials=2, space=5)', 'search.space: found 5; allowed: a list'),
        ("c.sweep = (('sweep', (1, 2)),)", "sweep[0]: found 'sweep'; allowed: a field of a trial"),
        ("c.sweep = (('seed', (0, 0)),)", 'sweep[0]: found 0 twice; allowed: a value once'),
        ("c.sweep = (('', (0, 1)),)", "sweep[0]: found ''; allowed: the path of a field"),
        ('c.sweep = 5', 'sweep: found 5; allowed: a list'),
        ("c.sweep = (('optimizer.learning_rate', (1, 0.5, 1.0)),)", 'sweep[0]: found 1.0 twice'),
        (
            "c.sweep = ((('seed', 'seed'), ((0, 1),)),)",
            ("sweep[0]: found 'seed' again; allowed: a path once"),
        ),
        (
            "c.sweep = (('optimizer', (dict(name='sgd', learning_rate=1.0), dict(name='sgd', "
            'learning_rate=0.5))),'
            " ('optimizer.learning_rate', (0.1, 0.2)))",
            'sweep: found trials 0 and 2 with the same fields; allowed: a trial once',
        ),
        (
            "c.sweep = (('optimizer', ('sgd',)), ('optimizer.momentum', (0.5,)))",
            "sweep: optimizer.momentum: found 'sgd' as optimizer; allowed: a dict",
        ),
        (
            (
                "c.sweep = (('optimizer', (dict(name='sgd', learning_rate=1.0),)), "
                "('optimizer.inner.k', (5,)))"
            ),
            'sweep[1]: optimizer.inner: no such field',
        ),
        (
            "c.optimizer.decay = dict(name='sgd', learning_rate=1.0)",
            ("allowed: no part, which a dict with a 'name' is"),
        ),
        (
            'c.epochs, c.steps = 1e308, None',
            ('epochs: found 1e+308; allowed: a number in (0, 2^31 - 1] or None'),
        ),
        ('del c.sweep', 'sweep: not there; allowed: every field of lbexp.config.base()'),
        ('del c.data', 'data: not there'),
        ('c.data = 3', 'data: found 3; allowed: a dict'),
        (
            'c.seed = config_dict.required_placeholder(int)',
            ('seed: not set; allowed: --config.seed=VALUE'),
        ),
        ('c.optimizer.decay = lambda params: True', 'optimizer.decay: found <function'),
        ('c.optimizer.decay = {1, 2}', 'optimizer.decay: found {1, 2}; allowed: plain data'),
        ('c.optimizer.learning_rate = float("nan")', 'optimizer.learning_rate: found nan'),
        ('c.steps = 3e9', 'steps: found 3000000000.0; allowed: an integer in [1, 2^31 - 1]'),
        ('c.steps = 2**31', 'steps: found 2147483648; allowed: an integer in [1, 2^31 - 1]'),
        (
            "c.optimizer = dict(name='lars', learning_rate=2**40)",
            ('found 1099511627776; allowed: integers below'),
        ),
        ('c.batch_size = True', 'batch_size: found True; allowed: an integer'),
    ],
)
def test_a_mistake_is_one_line(written, change, told):
    lines = refusals(written(change))
    assert lines and all(
        line.startswith('config.') and told in line and '\n' not in line for line in lines
    )


@pytest.mark.parametrize(
    'change',
    [
        (
            "c.sweep = (('seed', tuple(np.arange(3))), ('optimizer.learning_rate', np.logspace(-2, "
            '0, 2)))'
        ),
        "c.sweep = (('optimizer.learning_rate', jnp.array([0.5, 1.0])),)",
        'c.batch_size = np.int64(32)',
        'c.optimizer.learning_rate = np.float32(0.5)',
        'c.optimizer.learning_rate = 1',
        'c.optimizer.accumulator_dtype = jnp.bfloat16',
        "c.optimizer.accumulator_dtype = np.dtype('float32')",
        'c = FrozenConfigDict(c)',
        "c.sweep = (('transforms', ((dict(name='gradient_noise', eta=0.1),), ())),)",
        "c.sweep = (('probes', ((dict(name='distance'),), ())),)",
        'c.epochs, c.steps = 5, None',
        'c.workload.hidden = np.array([8, 8])',
        "c.sweep = (('optimizer.decay', (True, '1')),)",
    ],
)
def test_what_means_something_is_taken(written, change):
    path = written(change)
    assert refusals(path) == []
    config = configs.load(str(path))
    for overrides in configs.trials(config):
        assert configs.plain(configs.resolve(config, overrides))


def test_values_are_plain_data(written):
    config = configs.load(
        str(written('c.optimizer.accumulator_dtype = jnp.bfloat16; c.batch_size = np.int64(32)'))
    )
    resolved = configs.resolve(config, {})
    assert resolved['optimizer']['accumulator_dtype'] == 'bfloat16'
    assert resolved['batch_size'] == 32 and type(resolved['batch_size']) is int
    config = configs.load(str(written("c.sweep = (('seed', np.arange(3)),)")))
    assert configs.trials(config) == [{'seed': 0}, {'seed': 1}, {'seed': 2}]


def test_longer_runs_than_a_program_counts_are_refused(written):
    from lbexp.engine.trial_plan import run_length

    config = configs.load(str(written('c.epochs, c.steps = 1e9, None')))
    with pytest.raises(Refusal, match=r'epochs: found 1000000000.0, which is .* at most 2\^31 - 1'):
        run_length(configs.resolve(config, {}))


def test_every_field_is_in_the_help(capsys):
    from lbexp.config.fields import FIELDS

    assert main.main(['main', '--help']) == 0
    printed = capsys.readouterr().out
    for field in FIELDS:
        assert f'--config.{field.name}' in printed and field.unit in printed
    assert 'an integer in [1, 2^31 - 1] [examples per update]' in printed
