"""Pictures without labels: two views of one are to be closer than views of different ones."""

from typing import Any

import jax
import jax.numpy as jnp

from lbexp.data.augmentation import paired
from lbexp.datasets import Dataset
from lbexp.errors import Refusal
from lbexp.inputs import Input, normalised
from lbexp.models import Model
from lbexp.models._precision import in_precision
from lbexp.models.mlp import mlp
from lbexp.ranges import Number, Positive, PositiveInteger, checked
from lbexp.workloads import SetMetrics, Workload
from lbexp.workloads._pairs import mean_potential, nt_xent, squared_distances, unit


@checked
def contrastive(
    data: Dataset,
    model: Model,
    augment: dict[str, Number],
    temperature: Positive = 0.5,
    projection: PositiveInteger = 128,
    contrasted: PositiveInteger = 256,
) -> Workload:
    """SimCLR: NT-Xent over two views of each picture of a batch (Chen et al. 2020,
    arXiv:2002.05709, algorithm 1; the equation is that of `_pairs.nt_xent`).

    The encoder is the model without its last layer, h = f(view); z = W2 relu(W1 h), of length 1, is
    what is compared. `predict` gives h of a picture as it is. The classes of the data set are not
    looked at.

    The loss of an example depends on the batch that it is in: a batch passes at once, without
    accumulation, on however many devices; workers of `replicas` compare their own examples alone.
    Metrics of an evaluation set, whose views are the same always: alignment, the mean squared
    distance of the two views; and over blocks of `contrasted` examples in stored order (fewer than
    a block are left over) loss, accuracy (how often the other view is the most similar of all),
    uniformity (Wang and Isola 2020, arXiv:2005.10242).

    Args:
        data: pictures: a file of lbexp/datasets, or your own, not augmented itself.
        model: one that offers its features: cnn, resnet. Its batch norm sees both views of a batch;
            a ghost batch of g pictures is g / 2 examples.
        augment: of lbexp.data.augmentation: what the views differ by.
        temperature: tau > 0.
        projection: numbers of z; the layer before has as many units as there are features.
        contrasted: examples of a block in evaluation; as many as the batch size make its loss
            comparable with that of training.

    Raises:
        ValueError: data that are not pictures, a model without features, or `augment` out of range.
    """
    pictures = _name_of_pictures(data)
    encoder = _Encoder(data.inputs, pictures, model, projection)

    def loss(params, model_state, examples, key):
        units, new_state = encoder.units(params, model_state, examples, True, key)
        losses, finds = nt_xent(units, jnp.asarray(temperature, jnp.float32))
        values = {'loss': losses, 'accuracy': finds, 'alignment': squared_distances(units)}
        return values, new_state

    def units_of(params, model_state, examples):
        return encoder.units(params, model_state, examples, False, None)[0]

    def metrics(params, model_state, examples):
        return {'alignment': squared_distances(units_of(params, model_state, examples))}

    def outputs(params, model_state, examples):
        return {'units': units_of(params, model_state, examples)}

    def summary(gathered):
        return _summary(gathered['units'], contrasted, jnp.asarray(temperature, jnp.float32))

    def with_views(source):
        return None if source is None else paired(source, pictures, augment)

    return Workload(
        init=encoder.init,
        loss=loss,
        metrics=metrics,
        train=paired(data.train, pictures, augment),
        test=with_views(data.test),
        validation=with_views(data.validation),
        together=None,
        predict=encoder.features,
        inputs=(pictures,),
        set_metrics=SetMetrics(outputs, summary),
        in_precision=lambda precision: contrastive(
            data,
            in_precision(model, precision),
            augment,
            temperature,
            projection,
            contrasted,
        ),
        schema=data.schema,
    )


def _name_of_pictures(data):
    shapes = {name: described.shape for name, described in data.inputs.items()}
    name, *others = shapes
    if others or data.inputs[name].kind != 'image' or len(shapes[name]) != 3:
        allowed = 'one image (h, w, channels)'
        raise ValueError(f'data: found inputs of shapes {shapes}; allowed: {allowed}')
    return name


class _Encoder:
    """The model's features, and the projection head behind them."""

    def __init__(self, inputs: dict[str, Input], pictures: str, model: Model, projection: int):
        if model.features is None:
            raise ValueError('model: found one without features; allowed: cnn, resnet')
        self._inputs, self._pictures = inputs, pictures
        self._network = model.features(inputs)
        blank = {pictures: jnp.zeros((1, *inputs[pictures].shape))}

        def blank_features(key):
            params, state = self._network.init(key)
            return self._network.apply(params, state, blank, False, None)[0]

        features = jax.eval_shape(blank_features, jax.random.key(0))
        if len(features.shape) != 2:
            raise Refusal(f'model: found features of shape {features.shape}; allowed: (1, width)')
        width = features.shape[1]
        head = in_precision(mlp((width,)), model.precision or 'float32')
        self._head = head.network({'h': Input('numeric', (width,), 'float32')}, projection)

    def init(self, key: Any) -> Any:
        """({'encoder', 'head'}, the encoder's state)."""
        of_encoder, of_head = jax.random.split(key)
        params, state = self._network.init(of_encoder)
        return {'encoder': params, 'head': self._head.init(of_head)[0]}, state

    def units(self, params: Any, state: Any, examples: Any, train: bool, key: Any) -> Any:
        """(z of the views [n, 2, projection], each of length 1, and the state)."""
        views = examples['views']
        # both views of an example side by side: on several devices nothing has to move
        pictures = views.reshape(-1, *views.shape[2:])
        arrays = normalised(self._inputs, {self._pictures: pictures})
        features, new_state = self._network.apply(params['encoder'], state, arrays, train, key)
        vectors, _ = self._head.apply(params['head'], {}, {'h': features}, False, None)
        return unit(vectors.reshape(len(views), 2, -1)), new_state

    def features(self, params: Any, state: Any, examples: Any) -> Any:
        """h of pictures as they are [n, width], in evaluation mode."""
        arrays = normalised(self._inputs, examples)
        return self._network.apply(params['encoder'], state, arrays, False, None)[0]


def _summary(units, size, temperature):
    """Metrics of a set, over blocks of `size` examples, or of all where they are fewer."""
    size = min(size, len(units))
    count = len(units) // size
    blocks = units[: count * size].reshape(count, size, *units.shape[1:])

    def of_block(block):
        losses, finds = nt_xent(block, temperature)
        return losses.mean(), finds.mean(), mean_potential(block)

    losses, finds, potentials = jax.lax.map(of_block, blocks)
    return {
        'loss': losses.mean(),
        'accuracy': finds.mean(),
        'uniformity': jnp.log(potentials.mean()),
    }
