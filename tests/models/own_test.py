"""Models of the user's: a Linen, an NNX, an Equinox module, a plain pair, each by its name. The
examples are those of docs/how_to/own_model.md."""

import importlib
import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from training import tiny, train

from lbexp import config as configs
from lbexp.config import lookup
from lbexp.config.check import check
from lbexp.engine.fingerprint import fingerprint
from lbexp.engine.run import build_once
from lbexp.errors import Refusal

PAGE = pathlib.Path(__file__).parents[2] / 'docs' / 'how_to' / 'own_model.md'
BLOCKS = re.findall('```python\n(.*?)```', PAGE.read_text(), flags=re.DOTALL)
SOURCES = dict(zip(('linen', 'nnx', 'equinox', 'pair'), BLOCKS, strict=True))
ADAPTED = [pytest.param(name, marks=pytest.mark.long) for name in ('nnx', 'equinox')]


@pytest.fixture
def module(request, tmp_path, monkeypatch):
    """A module of the user's with this source, by its name."""
    kind = request.param if request.param in SOURCES else 'wrong'
    name = f'own_{kind}_{abs(hash(request.param)) % 10**6}'
    (tmp_path / f'{name}.py').write_text(SOURCES.get(request.param, request.param))
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    return name


def workload(model, **arguments):
    return dict(name='classification', data='digits', model=model, **arguments)


def built(model):
    return lookup.build('workload', workload(model))


@pytest.mark.parametrize('module', ['linen', 'pair', *ADAPTED], indirect=True)
def test_an_own_model_is_at_most_15_lines_and_learns(module, tmp_path):
    assert len((tmp_path / f'{module}.py').read_text().strip().splitlines()) <= 15
    config = tiny(workload=workload(f'{module}:Net'), steps=40, batch_size=64)
    config.optimizer = dict(name='optax:adam', learning_rate=0.01)
    assert not check(config)
    rows = train(config, tmp_path / 'run')
    assert rows[-1]['loss'] < 0.8 * rows[0]['loss']
    assert rows[-1]['test_accuracy'] > 0.3


@pytest.mark.parametrize('module', ['linen', 'nnx', 'equinox'], indirect=True)
def test_training_and_evaluation_differ_by_dropout_and_statistics(module):
    part = built(f'{module}:Net')
    params, state = part.init(jax.random.key(0))
    examples = part.train.draw(part.train.arrays, jnp.uint32(0), jnp.arange(32, dtype=jnp.uint32))
    first, new_state = part.loss(params, state, examples, jax.random.key(1))
    again, _ = part.loss(params, state, examples, jax.random.key(1))
    other, _ = part.loss(params, state, examples, jax.random.key(2))
    assert np.array_equal(first['loss'], again['loss'])
    assert not np.array_equal(first['loss'], other['loss'])
    assert jax.tree.structure(new_state) == jax.tree.structure(state)
    whole = part.predict(params, state, examples)
    alone = part.predict(params, state, {name: values[:1] for name, values in examples.items()})
    np.testing.assert_allclose(alone[0], whole[0], rtol=1e-5, atol=1e-5)
    has_statistics = bool(jax.tree.leaves(state))
    assert has_statistics == ('equinox' not in module)
    # batch statistics are those of the whole batch: no microbatch may cut it
    assert part.together == (None if has_statistics else 1)
    if has_statistics:
        moved = jax.tree.map(lambda a, b: bool((a != b).any()), new_state, state)
        assert all(jax.tree.leaves(moved))


@pytest.mark.parametrize('module', ['equinox', 'nnx'], indirect=True)
def test_weights_are_those_of_the_module(module):
    """Against the framework's own way to make and call it."""
    cls = importlib.import_module(module).Net
    part = built(f'{module}:Net')
    key = jax.random.key(7)
    params, state = part.init(key)
    images = np.random.default_rng(0).integers(0, 17, (5, 8, 8, 1), np.uint8)
    x = jnp.asarray(images, jnp.float32) / 16
    if 'equinox' in module:
        import equinox as eqx

        net = eqx.nn.inference_mode(cls(10, key=key))
        expected = jax.vmap(net)(x)
    else:
        from flax import nnx

        net = cls(10, (8, 8, 1), rngs=nnx.Rngs(key))
        net.eval()
        expected = net(x)
    outputs = part.predict(params, state, {'image': images})
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('module', ['linen', 'nnx', 'equinox'], indirect=True)
def test_arguments_are_those_of_the_class(module):
    config = tiny(workload=workload(dict(name=f'{module}:Net', width=4)))
    assert not check(config)
    config = tiny(workload=workload(dict(name=f'{module}:Net', widht=4)))
    (line,) = check(config)
    assert line.startswith('workload.model.widht: found 4;') and "Did you mean 'width'?" in line
    assert line.endswith('It takes: width')


@pytest.mark.parametrize('module', ['linen'], indirect=True)
def test_the_code_of_an_own_model_belongs_to_the_run(module):
    names = fingerprint([configs.resolve(tiny(workload=workload(f'{module}:Net')), {})])
    assert f"code of model '{module}:Net' ({module}.py)" in names


@pytest.mark.parametrize('module', ['linen'], indirect=True)
def test_a_workdir_may_not_name_one(module):
    with lookup.recorded(), pytest.raises(Refusal, match='the workdir names a model outside lbexp'):
        built(f'{module}:Net')


OTHER_OUTPUTS = SOURCES['linen'].replace('self.outputs)', '7)')
OTHER_INPUTS = SOURCES['equinox'].replace('MLP(64', 'MLP(63')
INTEGERS = SOURCES['equinox'].replace('eqx.nn.Dropout(0.2)', '__import__("jax").numpy.arange(3)')
NOT_A_MODEL = 'Net = 3'


@pytest.mark.parametrize(
    'module, problem',
    [
        (OTHER_OUTPUTS, r'gives outputs of shape \(16, 7\) for 16 examples; allowed: \(16, 10\)'),
        (OTHER_INPUTS, r'dot_general .* it is given inputs of shape image \(n, 8, 8, 1\)'),
        (INTEGERS, r'model: found dropout of .*, which is not trained'),
        (NOT_A_MODEL, r'found 3; allowed: a function that returns a model'),
    ],
    indirect=['module'],
)
def test_a_model_that_does_not_fit(module, problem):
    config = tiny(workload=workload(f'{module}:Net'))
    with pytest.raises(Refusal, match=problem) as refused:
        build_once([configs.resolve(config, {})], trace=True)
    assert '\n' not in str(refused.value)
