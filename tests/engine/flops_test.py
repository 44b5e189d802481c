"""Operations of an example: closed forms, loops, and what a run says of them."""

import json

import jax
import jax.numpy as jnp
import pytest
from training import tiny, train

from lbexp import config as configs
from lbexp.data.source import memory
from lbexp.engine.flops import flops_per_example
from lbexp.quantities import with_prefix
from lbexp.workloads import Workload


def cost(workload, **fields):
    trial = configs.resolve(tiny(workload=workload, **fields), {})
    size = trial['microbatch'] or trial['batch_size']
    return flops_per_example(trial['workload'], size, trial['freeze'])


def of_pixels(output):
    """A workload of 8 x 8 pixels: output(params, pixels) -> anything of one array an example."""

    def init(key):
        params = {'kernel': (3, 3, 2, 4), 'square': (128, 128)}
        return {name: jnp.ones(shape) for name, shape in params.items()}, ()

    def loss(params, model_state, examples, key):
        values = output(params, examples['x']).reshape(len(examples['x']), -1)
        return {'loss': values.sum(1)}, model_state

    data = memory({'x': jnp.ones((64, 8, 8, 2))})
    return Workload(init, loss, lambda *_: {}, train=data)


def scanned(length: int = 5) -> Workload:
    """x <- x W, again and again."""

    def output(params, x):
        flat = x.reshape(len(x), 128)
        return jax.lax.scan(lambda x, _: (x @ params['square'], None), flat, None, length)[0]

    return of_pixels(output)


def convolved(stride: int = 1) -> Workload:
    def output(params, x):
        layout = ('NHWC', 'HWIO', 'NHWC')
        kernel = params['kernel']
        y = jax.lax.conv_general_dilated(x, kernel, (1, 1), 'VALID', dimension_numbers=layout)
        second = jnp.swapaxes(kernel, 2, 3)
        return jax.lax.conv_general_dilated(
            jnp.sin(y), second, (stride, stride), 'VALID', dimension_numbers=layout
        )

    return of_pixels(output)


def chosen() -> Workload:
    """One product or two, as the pixels say."""

    def output(params, x):
        flat, square = x.reshape(len(x), 128), params['square']
        return jax.lax.cond(
            x.sum() > 0, lambda: flat @ square, lambda: jnp.sin(flat @ square) @ square
        )

    return of_pixels(output)


def test_of_a_perceptron():
    """2 m n forward and 2 m n for each gradient; the pixels have none."""
    workload = dict(name='digits_mlp', hidden=(32,))
    assert cost(workload) == 2 * 2 * 64 * 32 + 3 * 2 * 32 * 10
    assert cost(workload, batch_size=4) == cost(workload, microbatch=8) == cost(workload)
    # nothing needs the gradient of the hidden layer
    assert cost(workload, freeze=('Dense_0',)) == 2 * 64 * 32 + 2 * 2 * 32 * 10


def test_of_a_transformer():
    """6 N for each token, and attention's 12 blocks length width (Kaplan et al. 2020, Table 1)."""
    data = dict(name=f'{__name__}:letters')
    model = dict(name='transformer', width=16, blocks=2, heads=2)
    length, width, vocabulary = 12, 16, 29
    parameters = 2 * 12 * width**2 + width * vocabulary
    attention = 2 * 6 * 2 * length * width  # scores and sums, over all places
    expected = length * (6 * parameters + attention)
    workload = dict(name='language_model', data=data, model=model)
    assert cost(workload) == expected
    again = dict(workload, model=dict(model, rematerialise=True))
    assert expected < cost(again) < 4 / 3 * expected


def letters():
    from lbexp.datasets import Dataset
    from lbexp.inputs import Input, Target

    rows = {name: jnp.ones((64, 12), jnp.int32) for name in ('tokens', 'targets', 'segments')}
    names = tuple(map(str, range(29)))
    described = {
        'tokens': Input('tokens', (12,), 'int32', vocabulary=(29,)),
        'segments': Input('tokens', (12,), 'int32'),
    }
    return Dataset(memory(rows), described, Target('tokens', 'targets', names), memory(rows))


def test_a_scan_counts_as_often_as_it_goes_round():
    """The first product has no gradient to its input."""
    forward = 2 * 128 * 128
    for length in (1, 5):
        workload = dict(name=f'{__name__}:scanned', length=length)
        assert cost(workload) == pytest.approx(3 * length * forward)


def test_of_branches_the_dearest_counts():
    assert cost(dict(name=f'{__name__}:chosen')) == (3 + 2) * 2 * 128 * 128


@pytest.mark.parametrize('stride', [1, 2])
def test_of_convolutions(stride):
    """3 x 3, 2 channels to 4 on 6 x 6 places, and back to 2 on 4 x 4 or, with stride 2, 2 x 2."""
    places = {1: 16, 2: 4}[stride]
    first = 2 * 36 * 4 * (9 * 2)
    second = 2 * places * 2 * (9 * 4)
    # to the pixels between, each a sum over the window; of a stride a quarter is no zero
    backward = 2 * 36 * 4 * (9 * 2) / stride**2
    expected = 2 * first + 2 * second + backward
    assert cost(dict(name=f'{__name__}:convolved', stride=stride)) == pytest.approx(expected)


def test_in_words():
    assert with_prefix(0, 'FLOP') == '0 FLOP' and with_prefix(999.4, 'FLOP') == '999 FLOP'
    assert with_prefix(999.6, 'FLOP') == '1 kFLOP' and with_prefix(2.14e12, 'B') == '2.14 TB'


def test_a_run_tells_what_it_costs_and_how_fast_it_was(tmp_path):
    lines = []
    config = tiny(workload=dict(name='digits_mlp', hidden=(32,)), sweep=(('seed', (0, 1)),))
    config.steps = 100
    (tmp_path / 'config.json').write_text('{"config": {}, "trials": [], "environment": {}}')
    train(config, tmp_path, log=lines.append)
    assert lines[0].endswith('2,410 parameters, 10.1 kFLOP an example')
    words = json.loads((tmp_path / 'config.json').read_text())['environment']
    speed = words['speed of trials 0, ..., 2 together']
    assert lines[-1] == f'cohort 1/1: trained {speed}'
    examples, operations = (float(part.split()[0].replace(',', '')) for part in speed.split(', '))
    scale = {'M': 1e6, 'G': 1e9}[speed.split(', ')[1].split()[1][0]]
    assert operations * scale == pytest.approx(10112 * examples, rel=0.01)
