"""Models of the user's that are no `Model`: a class of Flax Linen, Flax NNX or Equinox, or a pair
(init, apply).

    model='mypackage.nets:Net'                               # or, with arguments of the class:
    model=dict(name='mypackage.nets:Net', width=64)

A class is called with the arguments of the configuration and, where it takes them, with `outputs`
(numbers that the task wants for each example), `shape` (of one example of the only input), and
`rngs` (NNX) or `key` (Equinox).
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any

from lbexp.errors import Refusal, place
from lbexp.inputs import only
from lbexp.models import Model, Network

_FROM_LBEXP = ('outputs', 'shape')
# what a framework's class takes that no configuration has
_INTERNAL = {'linen': ('parent', 'name'), 'nnx': ('rngs',), 'equinox': ('key',)}


def adapted(whole: str, subject: Any) -> Any:
    """A function that returns a `Model`, of a class or a pair; anything else as it is.

    Args:
        whole: its name, 'package.module:name', for messages.
        subject: what the user's module has by this name.
    """
    if isinstance(subject, tuple) and len(subject) == 2 and all(map(callable, subject)):
        return _of_pair(whole, *subject)
    framework = _framework(subject)
    if framework is None:
        return subject
    return _of_class(whole, subject, framework)


def _framework(subject):
    """That of a class, by its ancestors: none is imported for it."""
    if not inspect.isclass(subject):
        return None
    for ancestor in subject.__mro__:
        home = ancestor.__module__
        if ancestor.__name__ == 'Module' and home.startswith('flax.linen'):
            return 'linen'
        if ancestor.__name__ == 'Module' and home.startswith('flax.nnx'):
            return 'nnx'
        if ancestor.__name__ == 'Module' and home.startswith('equinox'):
            return 'equinox'
    return None


def _of_class(whole, subject, framework):
    # of NNX the class itself takes anything
    signature = inspect.signature(subject.__init__ if framework == 'nnx' else subject)
    internal = ('self', *_INTERNAL[framework], *_FROM_LBEXP)
    settable = [p for p in signature.parameters.values() if p.name not in internal]

    def model(**arguments: Any) -> Model:
        def network(inputs, outputs):
            offered = {'outputs': outputs, 'shape': only({k: v.shape for k, v in inputs.items()})}
            known = {k: v for k, v in offered.items() if k in signature.parameters}
            construct = functools.partial(subject, **known, **arguments)
            functions = _NETWORKS[framework](construct, inputs)
            return _told(whole, subject, functions, inputs)

        return Model(network)

    return _signed(model, subject, settable)


def _signed(model, subject, parameters):
    """`model` with the signature that the configuration is checked against."""
    model.__signature__ = inspect.Signature(  # pyrefly: ignore[missing-attribute]
        [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters],
        return_annotation=Model,
    )
    model.__module__, model.__doc__ = subject.__module__, subject.__doc__
    return model


def _linen(construct, inputs):
    from lbexp.models._linen import own_linen_network

    return own_linen_network(construct(), inputs)


def _nnx(construct, inputs):
    from lbexp.models._nnx import nnx_network

    return nnx_network(construct)


def _equinox(construct, inputs):
    from lbexp.models._equinox import equinox_network

    return equinox_network(construct)


_NETWORKS = {'linen': _linen, 'nnx': _nnx, 'equinox': _equinox}


def _of_pair(whole, init, apply):
    """init(key) -> params; apply(params, x) -> outputs. Each is given more where it takes it by
    name: init `shape`, `outputs`; apply `train`, `key`."""

    def pair() -> Model:
        def network(inputs, outputs):
            shape = only({name: described.shape for name, described in inputs.items()})
            at_start = _accepted(init, {'shape': shape, 'outputs': outputs})

            def initialise(key):
                return init(key, **at_start), {}

            def outputs_of(params, state, arrays, train, key):
                more = _accepted(apply, {'train': train, 'key': key})
                return apply(params, only(arrays), **more), state

            return _told(whole, apply, Network(initialise, outputs_of), inputs)

        return Model(network)

    return _signed(pair, init, [])


def _accepted(function, offered):
    known = inspect.signature(function).parameters
    return {name: value for name, value in offered.items() if name in known}


def _told(whole: str, subject: Any, network: Network, inputs) -> Network:
    """`network`, whose failures on the inputs are told in one line: most are inputs of another
    shape than it was written for."""
    shapes = []
    for name, described in inputs.items():
        lengths = ', '.join(map(str, ('n', *described.shape)))
        shapes.append(f'{name} ({lengths})')
    shown = ', '.join(shapes)

    def checked(function: Callable) -> Callable:
        @functools.wraps(function)
        def call(*arguments):
            try:
                return function(*arguments)
            except Refusal:
                raise
            except Exception as error:
                line = ' '.join(str(error).split())[:300]
                raise Refusal(
                    f'model {whole}: {type(error).__name__}: {line}; it is given inputs of shape '
                    f'{shown}{place(subject)}'
                ) from error

        return call

    return network._replace(init=checked(network.init), apply=checked(network.apply))
