"""A workdir is data: nothing that it names outside lbexp runs, unless the user names it too."""

import json

import pytest
from reports import sweep

from lbexp import config as configs
from lbexp.config import lookup
from lbexp.engine import record
from lbexp.errors import Refusal
from lbexp.studies import Study
from lbexp.sweep.__main__ import main as sweep_main

PARTS = ('study', 'workload', 'optimizer', 'schedule', 'replicas', 'example_weights')
LISTS = ('probes', 'transforms')


def hostile(folder, through=True, **parts):
    """A workdir of lbexp.sweep whose configuration names what it likes."""
    sweep(folder, config={'study': {'name': 'training'}, 'probes': [], 'transforms': [], **parts})
    document = json.loads((folder / 'config.json').read_text())
    numbers = [entry['trial'] for entry in document['trials']]
    (folder / 'cohorts.json').write_text(json.dumps([{'round': 0, 'trials': numbers}]))
    if not through:
        states = {str(number): {'status': 'running', 'step': 1} for number in numbers}
        (folder / 'status.json').write_text(json.dumps({'status': 'running', 'trials': states}))
    return folder


def mkdir(folder):
    """A part whose lookup and call would leave a trace."""
    return {'name': 'os:mkdir', 'path': str(folder / 'executed')}


def report(capsys, *arguments):
    status = sweep_main(['', '--figures=', *map(str, arguments), 'report'])
    return status, capsys.readouterr()


@pytest.mark.parametrize(
    'part, through',
    [
        ('study', True),
        ('workload', True),
        ('optimizer', False),
        ('probes', True),
        *(pytest.param(part, True, marks=pytest.mark.slow) for part in PARTS[2:]),
        *(pytest.param(part, False, marks=pytest.mark.slow) for part in [*PARTS, *LISTS]),
        pytest.param('transforms', True, marks=pytest.mark.slow),
    ],
)
def test_a_report_runs_nothing_that_the_workdir_names(tmp_path, capsys, part, through):
    named = mkdir(tmp_path)
    workdir = hostile(tmp_path / 'w', through, **{part: [named] if part in LISTS else named})
    status, told = report(capsys, f'--workdir={workdir}')
    assert not (tmp_path / 'executed').exists()
    if part in ('study', 'workload') and through:  # what an analysis needs
        assert status == 2 and told.err.count('\n') == 1
        assert f'names a {part} outside lbexp' in told.err and '--trust_workdir' in told.err
    else:
        assert status == 0 and (workdir / 'report.html').exists()


def test_parts_inside_parts_are_looked_up_by_the_same_rule(tmp_path):
    inner = {'name': 'lookahead', 'inner': mkdir(tmp_path)}
    with lookup.recorded(), pytest.raises(Refusal, match='optimizer outside lbexp'):
        lookup.build('optimizer', inner)
    assert not (tmp_path / 'executed').exists()


def test_the_user_may_trust_a_workdir_by_a_flag_or_by_his_own_experiment_file(
    tmp_path, capsys, monkeypatch
):
    (tmp_path / 'outsider.py').write_text(
        'from lbexp.analysis import Analysis\n'
        'from lbexp.studies import Study\n\n\n'
        'def study():\n'
        "    return Study(lambda config: [{}], lambda workdir: Analysis('From outside', 'Ran.', "
        '[], []))\n'
    )
    monkeypatch.syspath_prepend(tmp_path)
    workdir = hostile(tmp_path / 'w', study={'name': 'outsider:study'})
    assert report(capsys, f'--workdir={workdir}')[0] == 2
    status, told = report(capsys, f'--workdir={workdir}', '--trust_workdir')
    assert status == 0 and 'Ran.' in told.out
    experiment = tmp_path / 'mine.py'
    content = 'from lbexp import config\n\n\ndef get_config():\n    c = config.base()\n'
    content += '    c.study = dict(name={!r})\n    return c\n'
    experiment.write_text(content.format('outsider:study'))
    status, told = report(capsys, f'--workdir={workdir}', f'--config={experiment}')
    assert status == 0 and 'Ran.' in told.out
    experiment.write_text(content.format('training'))
    assert report(capsys, f'--workdir={workdir}', f'--config={experiment}')[0] == 2


def test_whatever_a_study_looks_up_in_a_workdir_is_looked_up_as_data(tmp_path):
    """Also where no command stands around it: in a notebook."""
    study = Study(None, lambda workdir: lookup.find('optimizer', 'os:mkdir'))
    with pytest.raises(Refusal, match="found 'os:mkdir'"):
        study.analyse(tmp_path)
    with lookup.trusting(['optax:sgd']), pytest.raises(Refusal, match='os:mkdir'):
        study.analyse(tmp_path)
    with lookup.trusting(['os:mkdir']):
        assert study.analyse(tmp_path)
    assert lookup.find('optimizer', 'os:mkdir'), 'a name of the user reaches outside'


def test_trials_that_were_put_into_a_workdir_that_grows_are_not_trained(tmp_path):
    config = configs.plain(configs.base())
    record.record(tmp_path, config, [{'seed': 0}], grows=True)
    document = json.loads((tmp_path / 'config.json').read_text())
    document['trials'].append({'trial': 1, 'round': 0, 'overrides': {'optimizer': mkdir(tmp_path)}})
    (tmp_path / 'config.json').write_text(json.dumps(document))
    with pytest.raises(Refusal, match=r'config.json: found .*os:mkdir'):
        record.record(tmp_path, config, [{'seed': 0}], grows=True)
    mine = {'optimizer': mkdir(tmp_path)}
    assert len(record.record(tmp_path, config, [{'seed': 0}, mine], grows=True)) == 2


def test_names_outside_are_found_wherever_they_stand():
    nested = {
        'a': [{'name': 'x:y'}, ('os:system', 3)],
        'b': {'c': {'d': 'p.q:r'}},
        'e': 'plain',
        'f': 'colon:',
    }
    assert lookup.outside_names(nested) == {'x:y', 'os:system', 'p.q:r'}
