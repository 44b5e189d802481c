"""What goes wrong in a part of the user's is told in one line, with the user's own place;
--traceback shows all."""

import re
import subprocess
import sys

import optax
import pytest

from lbexp import main
from lbexp.config import lookup
from lbexp.engine import contracts
from lbexp.errors import Refusal, describe, refused
from lbexp.wording import with_article

BUGS = """
import jax
import optax
from lbexp import optimizers
from lbexp.config import lookup
from lbexp.probes import Probe
from lbexp.studies import Study


def broken(x=None):
    a, b = (1, 2, 3)
    return x


def calm(x=None):
    return x


def workload(where='', **ignored):
    given = lookup.build('workload', {'name': 'linear_regression', 'size': 32})
    here = lambda name: broken if name == where else calm
    here('build')()

    def init(key):
        return here('init')(given.init(key))

    def loss(params, model_state, examples, key):
        return here('loss')(given.loss(params, model_state, examples, key))

    def metrics(params, model_state, examples):
        return here('metrics')(given.metrics(params, model_state, examples))

    return given._replace(init=init, loss=loss, metrics=metrics)


def optimizer(learning_rate, where=''):
    inner = optax.sgd(learning_rate)
    here = lambda name: broken if name == where else calm

    def update(updates, state, params=None):
        jax.lax.cond(True, lambda: here('update')(0), lambda: 0)
        return inner.update(updates, state, params)

    return optax.GradientTransformation(lambda params: here('init')(inner.init(params)), update)


def with_negative_rate(learning_rate):
    return optimizers.sgd(-1.0)


def at_run_time(learning_rate):
    def update(updates, state, params=None):
        jax.debug.callback(broken, ordered=False)
        return updates, state

    return optax.GradientTransformation(lambda params: (), update)


def schedule(peak, steps, where=''):
    here = lambda name: broken if name == where else calm
    here('build')()
    return lambda count: here('rate')(peak)


def probe(where=''):
    here = lambda name: broken if name == where else calm
    update = lambda state, facts: here('update')(state)
    return Probe(lambda facts: here('init')(facts.loss), update, lambda state: {'mine': here('summary')(state)})


def study(where=''):
    here = lambda name: broken if name == where else calm
    return Study(lambda config: here('trials')([{}]), lambda workdir: here('analyse')())
"""  # noqa: E501

EXPERIMENT = """
from lbexp import config


def get_config(part=''):
    c = config.base()
    c.workload = dict(name='bugs:workload')
    c.steps, c.batch_size, c.num_rows, c.num_evaluations, c.num_checkpoints = 2, 4, 1, 1, 0
    c.optimizer = dict(name='bugs:optimizer', learning_rate=0.1)
    if part == 'get_config':
        {}['typo']
    if part == 'broken':
        import bugs
        bugs.broken()
    if part.startswith('optimizer='):
        c.optimizer.name = part.partition('=')[2]
    elif '.' in part:
        field, where = part.split('.')
        value = dict(name='bugs:' + field, where=where)
        if field == 'optimizer':
            value['learning_rate'] = 0.1
        setattr(c, {'probe': 'probes'}.get(field, field), (value,) if field == 'probe' else value)
    return c
"""

PLACES = [
    'broken',
    *(f'workload.{where}' for where in ('build', 'init', 'loss', 'metrics')),
    *(f'optimizer.{where}' for where in ('init', 'update')),
    *(f'schedule.{where}' for where in ('build', 'rate')),
    *(f'probe.{where}' for where in ('init', 'update', 'summary')),
    *(f'study.{where}' for where in ('trials', 'analyse')),
]


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('mine')
    (folder / 'bugs.py').write_text(BUGS)
    (folder / 'experiment.py').write_text(EXPERIMENT)
    return folder


def run(folder, monkeypatch, part, *flags, status):
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    workdir = folder / re.sub(r'\W', '-', part)
    assert (
        main.main(['main', f'--config=experiment.py:{part}', f'--workdir={workdir}', *flags])
        == status
    )


@pytest.mark.parametrize('part', PLACES)
def test_a_bug_of_the_users_is_told_with_its_place(folder, monkeypatch, capsys, part):
    run(folder, monkeypatch, part, status=1)
    printed = capsys.readouterr().err
    expected = (
        'lbexp: ValueError: too many values to unpack (expected 2) (bugs.py:11 in '
        'broken); --traceback shows all'
    )
    assert printed.splitlines()[-1] == expected  # a bar of progress may stand before it
    assert 'Traceback' not in printed and 'File' not in printed


def test_a_bug_in_the_experiment_file(folder, monkeypatch, capsys):
    run(folder, monkeypatch, 'get_config', status=1)
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "lbexp: KeyError: 'typo' (experiment.py:11 in get_config); --traceback shows all"


@pytest.mark.processes
def test_a_bug_that_shows_when_the_program_runs(folder, monkeypatch):
    """JAX hands on as text what a callback raised."""
    arguments = ['--config=experiment.py:optimizer=bugs:at_run_time', '--workdir=run']
    command = [sys.executable, '-m', 'lbexp.main', *arguments]
    monkeypatch.setenv('PYTHONPATH', f'{folder}:{":".join(filter(None, sys.path))}')
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 1
    assert (
        'ValueError: too many values to unpack (expected 2) (bugs.py:11 in broken)'
        in done.stderr.splitlines()[-1]
    )


def test_what_lbexp_refuses_inside_a_part_keeps_the_parts_place(folder, monkeypatch, capsys):
    run(folder, monkeypatch, 'optimizer=bugs:with_negative_rate', status=1)
    (line,) = capsys.readouterr().err.splitlines()
    assert 'learning_rate: found -1.0' in line and 'in with_negative_rate)' in line


def test_the_flag_shows_all(folder, monkeypatch, capsys):
    run(folder, monkeypatch, 'workload.loss', '--traceback', status=1)
    printed = capsys.readouterr().err
    assert 'Traceback (most recent call last)' in printed and 'lbexp/engine/step.py' in printed
    assert printed.splitlines()[-1].startswith('lbexp: ValueError: too many values')


def test_a_file_that_python_cannot_read(folder, monkeypatch, capsys):
    (folder / 'torn.py').write_text('def get_config(:\n    pass\n')
    monkeypatch.chdir(folder)
    assert main.main(['main', '--config=torn.py']) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith('lbexp: SyntaxError: ') and '(torn.py:1 in <module>)' in line


def test_what_is_a_refusal():
    """A Refusal, and what a part of lbexp raises; not what Python throws, there or elsewhere."""
    from lbexp import optimizers
    from lbexp.theory.limits import require

    for raising, is_refused in [
        (lambda: refuse('no'), True),
        (lambda: optimizers.sgd(-1.0), True),
        (lambda: require('k', 0, False, 'more'), True),
        (lambda: int('x'), False),
        (lambda: lookup.nearest('name', 5), False),
    ]:
        error = without_own_frames(raising)
        assert refused(error) is is_refused, error
        assert '\n' not in describe(error)


def refuse(text):
    raise Refusal(text)


def without_own_frames(function):
    """What `function` raises, as a command of lbexp would catch it: without the frames of this
    file."""
    try:
        function()
    except Exception as error:
        traceback = error.__traceback__
        while traceback.tb_next is not None and traceback.tb_frame.f_code.co_filename == __file__:
            traceback = traceback.tb_next
        return error.with_traceback(traceback)


@pytest.mark.parametrize('is_there', [False, True])
def test_frames_of_compiled_packages_are_not_the_users(tmp_path, monkeypatch, is_there):
    """Their sources are named from where they were built; a user's own are there."""
    monkeypatch.chdir(tmp_path)
    if is_there:
        (tmp_path / 'error.pxi').touch()
    code = compile("raise ValueError('no')", 'error.pxi', 'exec')
    error = without_own_frames(lambda: exec(code))
    assert ('error.pxi:1' in describe(error)) is is_there


def test_a_noun_has_its_article():
    assert with_article('optimizer') == 'an optimizer'
    assert with_article('EmptyState') == 'an EmptyState'
    assert with_article('probe') == 'a probe'
    with lookup.recorded(), pytest.raises(Refusal, match='names an optimizer outside lbexp'):
        lookup.find('optimizer', 'mine:optimizer')


def test_a_defect_of_lbexps_says_so():
    error = without_own_frames(lambda: lookup.nearest('name', 5))
    line = describe(error)
    assert line.startswith("TypeError: 'int' object is not iterable (")
    assert line.endswith(' in nearest, a defect of lbexp)')


def test_a_part_of_an_installed_package_is_named():
    part = contracts.transformation('optax:adamw', optax.adamw(0.1, mask={'another': True}))
    error = without_own_frames(lambda: part.init({'kernel': 1.0}))
    assert describe(error).endswith(' (in optimizer optax:adamw)')
    bare = without_own_frames(
        lambda: optax.adamw(0.1, mask={'another': True}).init({'kernel': 1.0})
    )
    assert 'optax:adamw' not in describe(bare)


def test_long_messages_are_cut():
    assert len(describe(RuntimeError('x' * 10_000))) < 400
    assert describe(MemoryError()) == 'out of memory'
    assert describe(
        RuntimeError('RESOURCE_EXHAUSTED: Out of memory allocating 4 bytes.\nand more')
    ) == ('out of memory: RESOURCE_EXHAUSTED: Out of memory allocating 4 bytes.')
