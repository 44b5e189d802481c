"""Which configuration of a sweep is best, and what is said beside it."""

import json

import numpy as np
import pytest
from reports import bare_page, sweep

from lbexp import results
from lbexp.report import best, curves, figure
from lbexp.results import metrics


def values(folder, metric, by_trial):
    """Gives each trial's rows this metric."""
    lines = [json.loads(line) for line in (folder / 'metrics.jsonl').read_text().splitlines()]
    for row in lines:
        row[metric] = by_trial[row['trial']]
    (folder / 'metrics.jsonl').write_text(''.join(json.dumps(row) + '\n' for row in lines))


def told(folder, target=None):
    finals = results.final(folder)
    return best.answer(finals, best.comparison(finals, target))


def test_the_best_median_is_told_with_its_interval_and_the_next(tmp_path):
    folder = sweep(tmp_path, rates=(0.1, 0.2, 0.4), seeds=6, steps=10)
    low, middle, high = np.arange(6) / 100, 0.5 + np.arange(6) / 100, 0.3 + np.arange(6) / 100
    values(folder, 'test_accuracy', [*low, *middle, *high])
    words = told(folder)
    assert 'Best of 3 configurations by test accuracy: learning_rate 0.2' in words
    assert 'median 0.525 [0.5, 0.55] over 6 trials' in words
    assert 'Next: learning_rate 0.4, median 0.325' in words and 'do not overlap' in words
    assert 'At the edge' not in words, 'the best rate is between two others'
    values(folder, 'test_accuracy', [*(middle + 0.02), *middle, *low])
    words = told(folder)
    assert 'At the edge: learning_rate 0.1 is the smallest' in words
    assert 'do not tell them apart' in words


@pytest.mark.parametrize(
    'metric, rate', [('perplexity', 0.1), ('bits_per_byte', 0.1), ('loss', 0.1), ('auc', 0.2)]
)
def test_of_some_metrics_less_is_better(tmp_path, metric, rate):
    folder = sweep(tmp_path, seeds=2, steps=10)
    values(folder, f'test_{metric}', [1.0, 1.1, 2.0, 2.1])
    assert f'by test {metric.replace("_", " ")}: learning_rate {rate}' in told(folder, metric)


def test_a_configuration_half_of_which_diverged_is_not_the_best(tmp_path):
    folder = sweep(tmp_path, seeds=2, diverged=[2])
    values(folder, 'test_accuracy', [0.5, 0.5, 0.9, 0.9])
    assert 'learning_rate 0.1, median 0.5' in told(folder) and 'No other has' in told(folder)


def test_a_choice_by_validation_examples_comes_before_one_by_test_examples(tmp_path):
    folder = sweep(tmp_path, seeds=2)
    values(folder, 'test_accuracy', [0.5, 0.5, 0.9, 0.9])
    values(folder, 'validation_accuracy', [0.8, 0.8, 0.7, 0.7])
    assert 'by validation accuracy: learning_rate 0.1' in told(folder)


def test_one_configuration_and_a_study_with_tags_have_no_best(tmp_path):
    assert told(sweep(tmp_path / 'alone', rates=(0.1,))) == ''
    folder = sweep(tmp_path / 'study')
    content = json.loads((folder / 'config.json').read_text())
    for trial in content['trials']:
        trial['tags'] = [{'arm': 'a'}]
    (folder / 'config.json').write_text(json.dumps(content))
    assert told(folder) == ''


def test_the_final_metric_is_drawn_against_each_number_coloured_by_the_other(tmp_path):
    folder = sweep(tmp_path, rates=(0.001, 0.01, 1.0), seeds=4)
    content = json.loads((folder / 'config.json').read_text())
    for trial in content['trials']:
        trial['overrides']['batch_size'] = 32 * 2 ** (trial['trial'] % 2)
        trial['overrides']['seed'] = trial['trial'] % 4 // 2
    (folder / 'config.json').write_text(json.dumps(content))
    finals = results.final(folder)
    drawn = best.figures(finals, best.comparison(finals))
    by_label = {drawing.x_label: drawing for drawing in drawn}
    assert set(by_label) == {'learning_rate', 'batch_size'}
    of_rates = by_label['learning_rate']
    assert of_rates.x_scale == 'log' and of_rates.colour_label == 'batch_size'
    assert sorted({series.value for series in of_rates.series}) == [32, 64]
    of_sizes = figure.figure(by_label['batch_size'])
    colours = {}
    for trace in of_sizes['data']:
        if trace['mode'] == 'markers' and trace.get('hovertemplate'):
            rate = trace['hovertemplate'].partition('<br>')[0]
            colours[rate.partition(',')[0]] = trace['marker']['color']
    first, last = (colours[f'learning_rate {rate}'] for rate in (0.001, 1))
    middle = colours['learning_rate 0.01']
    assert (first, last) == ('#46327e', '#d8c822')
    # a third of the way on a logarithmic scale: the third of seven colours
    assert middle == '#277f8e'
    assert not of_sizes['layout']['showlegend'] and 'colorbar' in str(of_sizes['data'][-1])


def test_the_answer_is_at_the_top_of_the_page(tmp_path):
    text = bare_page(sweep(tmp_path)).read_text()
    assert text.index('Best of 2 configurations') < text.index('<nav')


def test_metrics_of_a_table_begin_with_the_target():
    recorded = ['loss', 'token_loss', 'gradient_norm', 'test_loss', 'test_token_loss']
    recorded.append('test_perplexity')
    assert metrics.headline(recorded, 'perplexity') == [
        'test_perplexity',
        'loss',
        'test_loss',
        'test_token_loss',
        'token_loss',
    ]
    assert metrics.headline(recorded)[0] == metrics.deciding(recorded) == 'test_perplexity'
    both = ['test_accuracy', 'test_auc', 'test_average_precision', 'test_loss']
    assert metrics.deciding(both) == 'test_auc'
    assert metrics.deciding(['loss', 'test_loss']) == 'test_loss'
    assert metrics.deciding(['loss']) == 'loss' and metrics.deciding(['step']) is None


def test_of_thousands_of_configurations_some_are_drawn_among_them_the_best_and_the_worst(tmp_path):
    rates = np.geomspace(0.001, 1, 1000).round(6).tolist()
    folder = sweep(tmp_path, rates=rates, seeds=1, steps=1)
    accuracy = np.random.default_rng(0).permutation(1000) / 1000
    values(folder, 'test_accuracy', accuracy.tolist())
    finals = results.final(folder)
    (drawn,) = best.figures(finals, best.comparison(finals))
    heights = [series.y[0] for series in drawn.series]
    assert len(heights) == curves.LINES
    assert max(heights) == 0.999 and min(heights) == 0.0
    assert np.median(heights) == pytest.approx(0.5, abs=0.01)
    assert f'{curves.LINES} of 1000 are drawn' in drawn.caption
