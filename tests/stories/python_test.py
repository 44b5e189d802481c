"""What a stranger does from Python, as she would write it: each at most 20 lines, in an empty
folder."""

import runpy

import numpy as np
import pytest
from PIL import Image

from lbexp import compare, results
from lbexp.config import lookup

TABLE = """
import lbexp
result = lbexp.run(
    {
        'workload': dict(name='classification', data='flowers.csv', model='mlp'),
        'optimizer': dict(name='adamw', learning_rate=0.01),
        'batch_size': 16,
        'epochs': 20.0,
    }
)
page = result.report.read_text()
accuracy = result.trial().metrics['test_accuracy']
"""
EQUINOX = """
import equinox as eqx
class Net(eqx.Module):
    mlp: eqx.nn.MLP
    def __init__(self, outputs, key, width: int = 16):
        self.mlp = eqx.nn.MLP(64, outputs, width, 1, key=key)
    def __call__(self, x):
        return self.mlp(x.reshape(-1))
"""
RATES = """
import lbexp
task = dict(name='classification', data='digits', model='equinox_net:Net')
momentum = dict(name='momentum', learning_rate=0.1)
fields = {'workload': task, 'optimizer': momentum, 'batch_size': 128, 'epochs': 3.0}
result = lbexp.run(fields, {'sweep': [('optimizer.learning_rate', (0.003, 0.03, 0.3))]})
best_first = result.rows.order('test_accuracy desc nulls last').limit(1)
best = best_first.project('"optimizer.learning_rate", test_accuracy').fetchall()[0]
figure = result.figure('test_accuracy')
"""
PICTURE = """
import lbexp
import numpy as np
from PIL import Image
task = dict(name='classification', data='digits', model='mlp')
result = lbexp.run('momentum', {'workload': task, 'epochs': 10.0})
trial = result.trial()
picture = np.asarray(Image.open('zero.png'))[None, :, :, None]
name = trial.output_names[trial.predict(picture)[0].argmax()]
"""
OPTIMIZERS = """
import lbexp
task = dict(name='classification', data='digits', model='mlp')
for optimizer in (
    dict(name='momentum', learning_rate=0.1),
    dict(name='adamw', learning_rate=0.003),
    dict(name='lamb', learning_rate=0.02),
):
    fields = {'workload': task, 'optimizer': optimizer, 'batch_size': 128, 'epochs': 3.0}
    lbexp.run(fields, {'sweep': [('seed', (0, 1, 2))]}, f'runs/{optimizer["name"]}')
"""
FINE_TUNE = """
import lbexp
task = dict(name='classification', data='digits', model='mlp')
momentum = dict(name='momentum', learning_rate=0.1)
fields = {'workload': task, 'optimizer': momentum, 'batch_size': 128, 'epochs': 3.0}
first = lbexp.run(fields, workdir='first').trial().metrics
longer = lbexp.run(fields, {'epochs': 6.0}, workdir='first')
tuning = {
    'optimizer.learning_rate': 0.01,
    'init_from.weights': 'first',
    'freeze': ('Dense_0',),
    'epochs': 1.0,
}
tuned = lbexp.run(fields, tuning, workdir='tuned')
"""


@pytest.fixture
def tell(tmp_path, monkeypatch):
    """Runs a story in an empty folder; returns its names."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))

    def tell(story):
        assert len(story.strip().splitlines()) <= 20
        (tmp_path / 'story.py').write_text(story)
        return runpy.run_path('story.py')

    return tell


@pytest.mark.long
def test_a_table_to_a_report(tell, tmp_path):
    generator = np.random.default_rng(0)
    lines = ['length,width,species']
    for length, width in generator.normal(5, 1, (200, 2)).round(3).tolist():
        lines.append(f'{length},{width},{"rose" if length > width else "lily"}')
    (tmp_path / 'flowers.csv').write_text('\n'.join(lines) + '\n')
    names = tell(TABLE)
    assert 'adamw on classification' in names['page'] and names['accuracy'] > 0.85


@pytest.mark.long
def test_a_model_over_learning_rates(tell, tmp_path):
    (tmp_path / 'equinox_net.py').write_text(EQUINOX)
    names = tell(RATES)
    recorded = results.read(names['result'].workdir)
    place = np.nanargmax(recorded['test_accuracy'])
    rate, accuracy = names['best']
    assert accuracy == recorded['test_accuracy'][place] > 0.5
    assert rate in recorded['optimizer.learning_rate'][recorded['test_accuracy'] == accuracy]
    assert len(names['figure'].axes[0].lines) == 3


def test_run_and_predict_a_picture(tell, tmp_path):
    examples = lookup.build('data', {'name': 'digits'}).test.arrays
    zero = np.flatnonzero(examples['label'] == 0)[0]
    picture = np.asarray(examples['image'])[zero].reshape(8, 8).astype(np.uint8)
    Image.fromarray(picture).save(tmp_path / 'zero.png')
    assert tell(PICTURE)['name'] == '0'


@pytest.mark.long
def test_three_optimizers_side_by_side(tell, tmp_path):
    tell(OPTIMIZERS)
    assert compare.main(['', 'runs/*', '--figures=']) == 0
    page = (tmp_path / 'comparison' / 'report.html').read_text()
    assert 'difference from adamw' in page and '<h2>Paired differences</h2>' in page
    assert 'optimizer.name' in page and page.count('<td>3</td>') >= 4


@pytest.mark.long
def test_extend_and_fine_tune(tell, tmp_path):
    names = tell(FINE_TUNE)
    longer, tuned = names['longer'].trial(), names['tuned'].trial()
    assert longer.step == 68  # 6 epochs of 1,438 examples
    assert longer.metrics['test_loss'] < names['first']['test_loss']
    # it began where the other ended, and what is frozen stays as it was there
    assert tuned.metrics['test_accuracy'] > 0.9
    kernels = [trial.params['Dense_0']['kernel'] for trial in (longer, tuned)]
    np.testing.assert_array_equal(*kernels)
    assert (longer.params['Dense_1']['kernel'] != tuned.params['Dense_1']['kernel']).any()
