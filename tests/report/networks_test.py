"""What the page says of the networks of a workdir."""

import html
import json

import numpy as np
from reports import bare_page, sweep

from lbexp import results
from lbexp.documents import Layer, Network, Summary
from lbexp.report import networks

NASTY = '</script><b>"&'


def network(parameters, target=('accuracy', 0.9)):
    layers = [Layer('dense/kernel', [3, 4], 'float32'), Layer('scale', [], 'float32')]
    return Network([0], 'net', layers, parameters, {'train': 1500, 'test': 20}, target)


def summarised(folder, name='net', steps=(0, 1, 2), rates=(0.1, 0.2, 0.3)):
    sweep(folder, seeds=1)
    layers = [{'path': name, 'shape': [3, 4], 'dtype': name}]
    one = {'trials': [0, 1], 'name': name, 'layers': layers, 'parameters': 12}
    one |= {'examples': {name: 1500}, 'target': [name, 0.5]}
    schedule = {'trials': [0], 'steps': list(steps), 'rates': list(rates)}
    content = {'docstring': f'{name} claims.\n\nMore.', 'networks': [one], 'schedules': [schedule]}
    (folder / 'summary.json').write_text(json.dumps(content))
    return folder


def test_parameters_are_counted_in_the_table_and_in_the_header():
    rows = networks.layers(network(13)).rows
    assert rows[0] == ['dense/kernel', '3 × 4', 'float32', '12']
    assert rows[1][1:] == ['number', 'float32', '1'] and rows[-1][-1] == '13'
    summary = Summary(networks=[network(1300), network(13)])
    assert networks.facts(summary) == ['13 to 1,300 parameters', '1,500 train, 20 test examples']
    assert networks.facts(Summary()) == []


def test_what_an_example_costs_is_told_where_it_is_known():
    costs = [network(13) for _ in range(3)]
    costs[1].flops, costs[2].flops = 10112.0, 69.2e6
    cost = ' an example, forward and backward'
    assert networks.facts(Summary(networks=costs[:2]))[1] == '10.1 kFLOP' + cost
    assert networks.facts(Summary(networks=costs))[1] == '10.1 kFLOP to 69.2 MFLOP' + cost


def test_the_speed_of_a_network_is_the_median_over_the_rows_of_its_trials():
    small, large, unknown = network(13), network(1300), network(7)
    small.trials, small.flops = [0, 2], 1000.0
    large.trials, large.flops = [1], 2e6
    speeds = np.array([np.nan, 3e6, 8e9, 5e6, 4e6, 6e9])
    trials = np.array([0, 0, 1, 2, 2, 1])
    rows = {'trial': trials, 'step': np.arange(6), 'flop_per_second': speeds}
    table = networks.throughput(Summary(networks=[small, large, unknown]), rows)
    assert table is not None and [line[1:] for line in table.rows] == [
        ['13', '1 kFLOP', '4,000', '4 MFLOP/s'],
        ['1,300', '2 MFLOP', '3,500', '7 GFLOP/s'],
    ]
    assert networks.throughput(Summary(networks=[unknown]), rows) is None
    assert (
        networks.throughput(Summary(networks=[small]), {'trial': trials, 'step': np.arange(6)})
        is None
    )


def test_the_target_is_that_of_all_networks():
    assert networks.target(Summary(networks=[network(1), network(2)])) == 'accuracy'
    assert networks.target(Summary(networks=[network(1), network(2, ('auc', 0.9))])) is None
    assert networks.target(Summary(networks=[network(1, None)])) is None


def test_the_page_has_the_claim_the_layers_and_the_schedule(tmp_path):
    text = bare_page(summarised(tmp_path)).read_text()
    assert text.index('Experiment: net claims.') < text.index('<nav')
    assert '12 parameters · 1,500 net examples' in text and '<td>3 × 4</td>' in text
    lines = (tmp_path / 'figures' / 'schedule.csv').read_text().splitlines()
    assert [line.split(',')[2:4] for line in lines[1:]] == [
        ['0', '0.1'],
        ['1', '0.2'],
        ['2', '0.3'],
    ]


def test_the_page_tells_the_speed_where_rows_do(tmp_path):
    folder = summarised(tmp_path)
    assert 'Throughput' not in bare_page(folder).read_text()
    summary = json.loads((folder / 'summary.json').read_text())
    summary['networks'][0]['flops'] = 1e6
    (folder / 'summary.json').write_text(json.dumps(summary))
    rows = []
    for line in (folder / 'metrics.jsonl').read_text().splitlines():
        rows.append(json.dumps({**json.loads(line), 'flop_per_second': 2e9}) + '\n')
    (folder / 'metrics.jsonl').write_text(''.join(rows))
    text = bare_page(folder).read_text()
    assert '<td>2 GFLOP/s</td>' in text and '<td>2,000</td>' in text
    assert not (folder / 'figures' / 'flop_per_second.csv').exists()


def test_names_are_text_and_lengths_may_differ(tmp_path):
    text = bare_page(summarised(tmp_path, NASTY, steps=range(9))).read_text()
    assert NASTY not in text and html.escape(NASTY) in text
    assert len(networks.schedule(results.summary(tmp_path), results.final(tmp_path))) == 1


def test_every_link_of_the_contents_leads_to_a_section(tmp_path):
    text = bare_page(summarised(tmp_path)).read_text()
    links = [part.partition('"')[0] for part in text.split('<a href="#')[1:]]
    assert len(links) >= 7 and len(set(links)) == len(links)
    assert all(f'<details id="{link}"' in text for link in links)
