"""What a trained network gets wrong, from its weights: the same numbers as its metrics."""

import base64
import io
import shutil

import numpy as np
import pytest
from PIL import Image

import lbexp
from lbexp import results
from lbexp.data.load import load
from lbexp.errors import Refusal
from lbexp.report.__main__ import main
from lbexp.trained import predictions


@pytest.fixture
def run(workdir, tmp_path):
    """What is written is not in the workdir that other tests share."""
    return lbexp.open(shutil.copytree(workdir, tmp_path / 'run'))


def test_counts_losses_and_pictures_are_those_of_the_test_set(run):
    kept = predictions.keep(run)
    trial, test = run.trial(1), load('digits', 'test')
    logits, labels = trial.predict(test['image']), test['label']
    accuracies = [run.trial(number).metrics['test_accuracy'] for number in range(3)]
    assert kept.trial == int(np.argmax(accuracies)) == 1 and kept.step == 31
    confusion = np.array(kept.confusion)
    assert confusion.sum() == kept.examples == len(labels)
    assert np.trace(confusion) / len(labels) == pytest.approx(trial.metrics['test_accuracy'])
    assert confusion.sum(axis=1).tolist() == np.bincount(labels).tolist()
    probabilities = np.exp(logits - logits.max(1, keepdims=True))
    probabilities /= probabilities.sum(1, keepdims=True)
    of_label = probabilities[np.arange(len(labels)), labels]
    assert [hard.place for hard in kept.hardest[:5]] == np.argsort(of_label)[:5].tolist()
    hard = kept.hardest[0]
    assert hard.probability == pytest.approx(of_label.min(), rel=1e-4)
    assert hard.label == str(labels[hard.place])
    assert hard.predicted == str(logits[hard.place].argmax())
    content = io.BytesIO(base64.b64decode(hard.picture))
    picture = np.asarray(Image.open(content).convert('L'))
    assert picture.shape == test['image'].shape[1:3]
    # brighter where the digit is
    assert np.corrcoef(picture.ravel(), test['image'][hard.place].ravel())[0, 1] > 0.999
    assert results.predictions(run.workdir) == kept


def test_the_command_shows_them_of_the_trial_that_is_named(run, capsys):
    flags = ['--predictions', '--trial=2', '--figures=']
    assert main(['', f'--workdir={run.workdir}', *flags]) == 0
    page = (run.workdir / 'report.html').read_text()
    assert 'id="confusion"' in page and 'trial 2, step 17' in page
    assert page.count('data:image/webp;base64,') == 16
    assert main(['', f'--workdir={run.workdir}', '--predictions', '--trial=3']) == 2
    assert 'trial 3' in capsys.readouterr().err


def test_a_task_without_classes_is_refused(copied, capsys):
    with pytest.raises(Refusal, match='found no test set with classes, and no texts'):
        predictions.keep(lbexp.open(copied))
