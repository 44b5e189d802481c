"""Arguments of the shapes that signatures ask for: of functions, of classes of arrays, and of
functions that are held to a contract.

They are made when they are asked for, inside a trace: nothing is computed then.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from curvature_shapes import CURVATURE

from lbexp import batch_size, metrics, moments, noise_scale
from lbexp.data.folds import fold_source
from lbexp.data.masking import hide, hiding
from lbexp.data.partition import partition
from lbexp.data.source import memory
from lbexp.data.stream import stream
from lbexp.inputs import Input
from lbexp.models._fields import FieldVectors
from lbexp.models.autoint import FieldAttention
from lbexp.models.cnn import CNN, Conv3x3
from lbexp.models.co_action import CoAction
from lbexp.models.dcn import CrossLayer
from lbexp.models.dropout import Dropout
from lbexp.models.efficientnet_lite0 import EfficientNetLite0
from lbexp.models.encoder import FirstPosition, TokensAtPlaces
from lbexp.models.lstm import LSTM
from lbexp.models.mlp import MLP, mlp
from lbexp.models.norm import BatchNorm
from lbexp.models.resnet import ResNet
from lbexp.models.transformer import Transformer
from lbexp.models.vgg16 import VGG16
from lbexp.probes import Subject, UpdateInfo
from lbexp.theory import exchangeable, noisy_quadratic
from lbexp.theory.fixed_point import fixed_point
from lbexp.theory.linear_maps import rest_of_covariance, rest_of_vector
from lbexp.theory.process import process
from lbexp.workloads import Ratio, SetMetrics
from lbexp.workloads import linear_regression as regression
from lbexp.workloads import noisy_quadratic as quadratic


def ones(*shape):
    return jnp.ones(shape, jnp.float32)


def integers(count, dtype=jnp.uint32):
    return jnp.arange(count, dtype=dtype)


def tokens():
    return jnp.ones((6, 5), jnp.int32)


def hidden_row():
    return hide(jax.random.key(0), tokens()[0], tokens()[0], hiding(0.3, 5, 9, 1, 0))


def real_process():
    return process(0.1, 1.0, 0.5, k=4, buffer_policy='interpolate', ema_decay=0.9)


@functools.cache
def shapes_of_process():
    return jax.eval_shape(real_process)


def a_process():
    """Arrays as a process with 5 numbers has them."""
    return jax.tree.map(lambda like: jnp.ones(like.shape, like.dtype), shapes_of_process())


def a_state():
    return noisy_quadratic.start(a_process(), 1.0)


def eleven_numbers():
    return exchangeable.MomentsUpdate(0.1 * jnp.eye(11), ones(11))


def some_moments():
    return moments.update(moments.zeros({'w': ones(3, 2)}), {'w': ones(3, 2)})


def some_batches():
    return moments.push(moments.batch_means({'w': ones(2)}, 8), {'w': ones(2)})


def update_info():
    params = {'w': ones(2, 3)}
    step, is_row = jnp.int32(1), jnp.asarray(True)
    return UpdateInfo(step, ones(), params, params, params, (), ones(), is_row)


def subject():
    params = {'w': ones(3)}

    def per_example(params, examples):
        return examples['x'] @ params['w']

    return Subject(
        step=jnp.int32(1),
        params=params,
        model_state={},
        opt_state=(),
        learning_rate=ones(),
        loss=lambda params: params['w'].sum(),
        per_example=per_example,
        predict=per_example,
        examples={'x': ones(6, 3)},
        population=6,
        key=jax.random.key(0),
    )


def of_scores():
    return dict(scores=ones(6), labels=integers(6, jnp.int32))


def a_ratio_interval():
    return noise_scale.ratio_interval(ones(2), ones(2, 2), ones())


def of_covariance():
    return dict(process=a_process(), covariance=ones(5, 5))


def of_three_folds():
    rows = list(np.arange(6).reshape(3, 2))
    return dict(examples={'x': np.ones((6, 2)), 'y': np.arange(6)}, rows=rows)


# The arguments of functions, and the fields of classes: several shapes where there are several.
CASES = {f'curvature.{name}': cases for name, cases in CURVATURE.items()}
CASES |= {
    'data.order:order': [lambda: dict(seed=jnp.uint32(1), positions=integers(6), size=200)],
    'data.source:memory': [lambda: dict(examples={'x': np.ones((6, 2)), 'y': np.arange(6)})],
    'data.source:drawn_places': [
        lambda: dict(seed=jnp.uint32(1), positions=integers(6), size=200, replacement=True)
    ],
    'data.folds:FoldArrays': [of_three_folds],
    'data.folds:fold_source': [lambda: dict(**of_three_folds(), fold=jnp.int32(2))],
    'data.masking:Hidden': [lambda: hidden_row()._asdict()],
    'data.masking:hide': [
        lambda: dict(
            key=jax.random.key(0),
            tokens=tokens()[0],
            segments=tokens()[0],
            how=hiding(0.3, 5, 9, 1, 0),
        ),
    ],
    'metrics:average_precision': [of_scores],
    'metrics:bits_per_byte': [lambda: dict(losses=ones(6), sizes=ones(6))],
    'metrics:log_loss': [lambda: dict(logits=ones(6), labels=integers(6, jnp.int32))],
    'metrics:macro_f1': [
        lambda: dict(predictions=integers(6, jnp.int32), labels=integers(6, jnp.int32), classes=7),
    ],
    'metrics:perplexity': [lambda: dict(losses=ones(6), tokens=ones(6))],
    'metrics:roc_auc': [of_scores, lambda: dict(scores=ones(6), labels=ones(6) > 0)],
    'models._fields:FieldVectors.__call__': [
        lambda: dict(
            self=FieldVectors((3, 4), 2, 5),
            arrays={'categorical': jnp.ones((6, 2), jnp.int32), 'numeric': ones(6, 2)},
        ),
    ],
    'models._fields:below': [
        lambda: dict(numbers=ones(6, 2), pieces=()),
        lambda: dict(numbers=ones(6, 2), pieces=((0.0, 1.0, 3.0), (0.0, 2.0))),
    ],
    'models._fields:flat': [lambda: dict(fields=ones(6, 2, 5))],
    'models.autoint:FieldAttention.__call__': [
        lambda: dict(self=FieldAttention(2, 3), fields=ones(6, 4, 5)),
    ],
    'models.cnn:CNN.__call__': [lambda: dict(self=CNN([2], 3, 4), x=ones(6, 4, 5, 2), train=True)],
    'models.cnn:Conv3x3.__call__': [lambda: dict(self=Conv3x3(7), x=ones(6, 4, 5, 2))],
    'models.cnn:max_pool': [lambda: dict(x=ones(6, 4, 5, 2))],
    'models.co_action:CoAction.__call__': [
        lambda: dict(
            self=CoAction((7, 8), (4, 3, 2), 3),
            network_ids=integers(6, jnp.int32),
            input_ids=integers(6, jnp.int32),
        ),
    ],
    'models.compressed_fields:principal': [lambda: dict(moments=ones(5, 5), combinations=3)],
    'models.compressed_fields:products': [
        lambda: dict(fields=ones(6, 4, 5), projection=ones(3, 4)),
    ],
    'models.compressed_fields:random_projection': [
        lambda: dict(seed=0, combinations=3, fields=4),
    ],
    'models.dcn:CrossLayer.__call__': [
        lambda form=form: dict(self=CrossLayer(form), start=ones(6, 5), x=ones(6, 5))
        for form in ('vector', 'matrix', 'mixture')
    ],
    'models.dropout:Dropout.__call__': [
        lambda: dict(self=Dropout(0.5), x=ones(6, 5), train=True),
        lambda: dict(self=Dropout(0.5), x=ones(6, 2, 3, 4), train=False),
    ],
    'models.encoder:FirstPosition.__call__': [
        lambda: dict(
            self=FirstPosition(Transformer(9, 4, causal=False, types=2), 3),
            tokens=tokens(),
            segments=tokens(),
            train=True,
            kinds=tokens(),
        ),
    ],
    'models.encoder:TokensAtPlaces.__call__': [
        lambda: dict(
            self=TokensAtPlaces(Transformer(9, 4, causal=False, types=2)),
            tokens=tokens(),
            segments=tokens(),
            train=True,
            places=jnp.ones((6, 2), jnp.int32),
            kinds=tokens(),
        ),
    ],
    'models.lstm:LSTM.__call__': [
        lambda: dict(self=LSTM(9, 3, 4), tokens=tokens(), segments=tokens(), train=True),
    ],
    'data.packing:Packed': [
        lambda: dict.fromkeys(('tokens', 'targets', 'segments'), np.ones((6, 5), np.int32)),
    ],
    'models.efficientnet_lite0:EfficientNetLite0.__call__': [
        lambda: dict(self=EfficientNetLite0(4), x=ones(6, 32, 33, 3), train=True)
    ],
    'models.efficientnet_lite0:depthwise': [
        lambda: dict(x=ones(6, 4, 5, 2), kernel=ones(3, 3, 2), stride=1)
    ],
    'models.vgg16:VGG16.__call__': [lambda: dict(self=VGG16(4), x=ones(6, 16, 17, 3), train=True)],
    'models.resnet:ResNet.__call__': [
        lambda: dict(self=ResNet(((2, 1), (4, 1)), 4), x=ones(6, 4, 5, 2), train=True),
    ],
    'models.mlp:MLP.__call__': [
        lambda: dict(self=MLP([3], 4), x=ones(6, 5), train=False),
        lambda: dict(self=MLP([3], 4, batch_norm=True), x=ones(6, 2, 3, 4), train=False),
    ],
    'models.norm:BatchNorm.__call__': [
        lambda: dict(self=BatchNorm(3), x=ones(6, 5), train=True),
        lambda: dict(self=BatchNorm(), x=ones(6, 2, 3, 4), train=False),
    ],
    'models.transformer:Transformer.__call__': [
        lambda: dict(
            self=Transformer(9, 4, types=2),
            tokens=tokens(),
            segments=tokens(),
            train=True,
            kinds=tokens(),
        ),
    ],
    'moments:Moments': [
        lambda: some_moments()._asdict(),
        lambda: jax.tree.map(lambda x: jnp.stack([x, x]), some_moments())._asdict(),
    ],
    'moments:BatchMeans': [lambda: some_batches()._asdict()],
    'moments:increments': [
        lambda: dict(moments=some_moments(), mean={'w': ones(3, 2)}, value={'w': ones(3, 2)}),
    ],
    'moments:variance': [lambda: dict(moments=some_moments())],
    'moments:standard_error': [
        lambda: dict(series=some_batches()),
        lambda: dict(series=some_batches(), of={'a': ones(8, 3), 'b': ones(8)}),
    ],
    'moments:stationarity': [
        lambda: dict(series=some_batches()),
        lambda: dict(series=some_batches(), of={'a': ones(8, 3), 'b': ones(8)}),
    ],
    'probes:Subject': [lambda: subject()._asdict()],
    'noise_scale:RatioInterval': [lambda: a_ratio_interval()._asdict()],
    'noise_scale:ratio_interval': [
        lambda: dict(means=ones(2), covariance=ones(2, 2), quantile=ones()),
    ],
    'probes:GradientNoise': [lambda: dict(trace={}, square={}, batch_size=ones())],
    'probes.rotation:scale_invariance': [
        lambda: dict(gradient=lambda params: params, params={'w': ones(2, 3)}),
    ],
    'probes:UpdateInfo': [lambda: update_info()._asdict()],
    'theory.autocorrelation:autocorrelation': [
        lambda: dict(process=a_process(), noise=1.0, lags=3),
    ],
    'theory.critical_batch_size:critical_batch_size': [
        lambda: dict(batch_sizes=[1.0, 2.0, 4.0], steps=[9.0, 5.0, 3.0]),
        lambda: dict(
            batch_sizes=np.array([1, 2, 4]),
            steps=np.array([9.0, 5.0, 3.0]),
            reached=np.array([True, True, False]),
        ),
    ],
    'theory.exchangeable:MomentsUpdate': [lambda: eleven_numbers()._asdict()],
    'theory.exchangeable:MomentsUpdate.applied': [
        lambda: dict(self=eleven_numbers(), moments=ones(11)),
    ],
    'theory.exchangeable:MomentsUpdate.after': [
        lambda: dict(self=eleven_numbers(), change=jnp.eye(11), push=ones(11)),
    ],
    'theory.exchangeable:as_matrix': [lambda: dict(moments=ones(11), workers=4)],
    'theory.exchangeable:from_matrix': [lambda: dict(covariance=ones(7, 7))],
    'theory.fixed_point:FixedPoint': [lambda: fixed_point(a_process(), 1.0)._asdict()],
    'theory.fixed_point:radius_and_gap': [
        lambda: dict(rest=rest_of_covariance(-0.5 * jnp.eye(3), ones(3, 3)), change=jnp.eye(3)),
    ],
    'theory.fixed_point:within_cycle': [
        lambda: dict(process=a_process(), noise=1.0, covariance=ones(5, 5), k=4),
    ],
    'theory.linear_maps:Rest': [
        lambda: rest_of_covariance(-0.5 * jnp.eye(3), ones(3, 3))._asdict(),
        lambda: rest_of_vector(-0.5 * jnp.eye(3), ones(3), ones(3) > 0)._asdict(),
    ],
    'theory.linear_maps:around': [lambda: dict(matrix=ones(2, 3), covariance=ones(3, 3))],
    'theory.linear_maps:compose': [lambda: dict(later=ones(3, 3), earlier=ones(3, 3))],
    'theory.linear_maps:covariance_change': [
        lambda: dict(change=ones(3, 3), covariance=ones(3, 3)),
        lambda: dict(change=ones(4, 3, 3), covariance=ones(4, 3, 3)),
    ],
    'theory.linear_maps:moved': [
        lambda: dict(change=ones(3, 3), vectors=ones(3)),
        lambda: dict(change=ones(3, 3), vectors=ones(3, 4)),
    ],
    'theory.linear_maps:next_power': [lambda: dict(change=ones(3, 3), power=ones(3, 3))],
    'theory.linear_maps:of_vector': [lambda: dict(matrix=ones(2, 3), vector=ones(3))],
    'theory.linear_maps:outer': [lambda: dict(vector=ones(3))],
    'theory.linear_maps:product': [
        lambda: dict(a=ones(2, 3), b=ones(3, 4)),
        lambda: dict(a=ones(5, 2, 3), b=ones(5, 3, 4)),
    ],
    'theory.linear_maps:rest_of_covariance': [lambda: dict(change=ones(3, 3), spread=ones(3, 3))],
    'theory.linear_maps:rest_of_vector': [
        lambda: dict(change=ones(3, 3), push=ones(3), judged=ones(3) > 0),
        lambda: dict(change=ones(3, 3), push=ones(3), judged=np.ones(3, bool)),
    ],
    'theory.linear_maps:spectral_radius': [lambda: dict(matrix=ones(3, 3))],
    'theory.lookahead:lookahead': [lambda: dict(learning_rate=0.1, curvature=1.0, momentum=0.5)],
    'theory.noisy_quadratic:State': [
        lambda: a_state()._asdict(),
        lambda: noisy_quadratic.trajectory(a_process(), 1.0, a_state(), 6)._asdict(),
    ],
    'theory.noisy_quadratic:cycle': [lambda: dict(process=a_process(), noise=1.0)],
    'theory.noisy_quadratic:cycle_change': [lambda: dict(process=a_process())],
    'theory.noisy_quadratic:evaluation_weights': [
        lambda: dict(process=a_process(), state=a_state()),
    ],
    'theory.noisy_quadratic:fast_weights': [lambda: dict(process=a_process(), state=a_state())],
    'theory.noisy_quadratic:spread_after': [
        lambda: dict(update=a_process().inner, spread=ones(5, 5)),
    ],
    'theory.noisy_quadratic:tail_average': [
        lambda: dict(process=a_process(), noise=1.0, state=a_state(), skip=4, steps=8),
    ],
    'theory.process:Process': [lambda: real_process()._asdict()],
    'theory.process:Update': [lambda: a_process().inner._asdict()],
    'theory.process:Update.then': [lambda: dict(self=a_process().inner, change=ones(5, 5))],
    'theory.process:internal': [lambda: dict(process=a_process(), vectors=ones(5, 2))],
    'theory.process:external': [lambda: dict(process=a_process(), vectors=ones(5, 2))],
    'theory.process:internal_covariance': [of_covariance],
    'theory.process:external_covariance': [of_covariance],
    'theory.steps_to_target:steps_to_target': [
        lambda: dict(batch_size=8.0, learning_rate=0.1, spectrum=ones(3)),
        lambda: dict(batch_size=8.0, learning_rate=0.1, spectrum=np.ones(3), start=ones(3)),
    ],
    'theory.steps_to_target:tuned_steps': [lambda: dict(batch_size=8.0, spectrum=ones(3))],
    'workloads._pairs:mean_potential': [lambda: dict(units=ones(6, 2, 3))],
    'workloads._pairs:nt_xent': [lambda: dict(units=ones(6, 2, 3), temperature=ones())],
    'workloads._pairs:squared_distances': [lambda: dict(units=ones(6, 2, 3))],
    'workloads._pairs:unit': [lambda: dict(pairs=ones(6, 2, 3))],
    'workloads:Ratio': [lambda: Ratio(ones(6), ones(6))._asdict()],
}


def workloads():
    """Each with its parameters and some examples."""
    for part in (
        regression.linear_regression(size=200, weights=(1.0, 2.0)),
        quadratic.noisy_quadratic(dimension=3, replicas=2, epoch=200),
    ):
        params, model_state = part.init(jax.random.key(0))
        examples = part.train.draw(part.train.arrays, jnp.uint32(0), integers(6))
        yield part, params, model_state, examples


def sources():
    stored = {'x': np.ones((200, 3), np.float32), 'label': np.arange(200)}
    in_memory = memory(stored)
    yield in_memory
    yield memory(stored, replacement=True)
    yield partition(in_memory, 'independent', 2, 4)
    yield fold_source(stored, np.arange(200).reshape(4, 50), jnp.int32(2))
    for part, *_ in workloads():
        yield part.train
        yield part.test


def streamed():
    source = stream([{'x': np.ones(3, np.float32), 'label': np.int32(i)} for i in range(20)])
    arrays = {'first': jnp.uint32(0), 'examples': {'x': ones(8, 3), 'label': jnp.arange(8)}}
    return source._replace(arrays=arrays)


def drawn():
    for source in (*sources(), streamed()):
        yield source.draw, (source.arrays, jnp.uint32(1), integers(6))


def read():
    for source in sources():
        yield source.read, (source.arrays, integers(6, jnp.int32))
        yield source.read, (source.arrays, integers(6))


def growth(function):
    for largest in (None, 64):
        part = batch_size.batch_growth(8, [100, 200], microbatch=4, largest=largest)
        yield getattr(part, function), (jnp.int32(30),)
        yield getattr(part, function), (30,)


def initialised():
    for part, *_ in workloads():
        yield part.init, (jax.random.key(0),)


def losses():
    for part, *arguments in workloads():
        yield part.loss, (*arguments, jax.random.key(0))


def evaluated(function):
    for part, *arguments in workloads():
        if getattr(part, function) is not None:
            yield getattr(part, function), arguments


def of_network():
    network = mlp([3]).network({'image': Input('image', (5, 1, 1), 'uint8')}, 4)
    yield network.init, (jax.random.key(0),)


def of_subject(function):
    yield getattr(subject(), function), (subject().params, subject().examples)


def set_metrics():
    return SetMetrics(
        outputs=lambda params, model_state, examples: {'score': examples['x'] @ params['w']},
        summary=lambda gathered: {'auc': metrics.roc_auc(gathered['score'], jnp.arange(6) > 2)},
    )


# Functions that are held to a contract, with their arguments.
HELD = {
    'batch_size:BatchGrowth.accumulation': lambda: growth('accumulation'),
    'batch_size:BatchGrowth.position': lambda: growth('position'),
    'batch_size:BatchGrowth.updates': lambda: growth('updates'),
    'batch_size:BatchGrowth.rate_factor': lambda: growth('rate_factor'),
    'data.source:Source.draw': drawn,
    'data.source:Source.read': read,
    'models:Network.init': of_network,
    'probes:Subject.loss': lambda: [(subject().loss, (subject().params,))],
    'probes:Subject.per_example': lambda: of_subject('per_example'),
    'probes:Subject.predict': lambda: of_subject('predict'),
    'workloads:SetMetrics.outputs': lambda: [
        (set_metrics().outputs, ({'w': ones(3)}, {}, {'x': ones(6, 3)}))
    ],
    'workloads:SetMetrics.summary': lambda: [(set_metrics().summary, ({'score': ones(6)},))],
    'workloads:Workload.init': initialised,
    'workloads:Workload.loss': losses,
    'workloads:Workload.metrics': lambda: evaluated('metrics'),
    'workloads:Workload.predict': lambda: evaluated('predict'),
}
