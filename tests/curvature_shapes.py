"""Arguments of the shapes that signatures of lbexp.curvature ask for; see shape_cases."""

import jax
import jax.numpy as jnp
import optax

from lbexp import optimizers
from lbexp.curvature import (
    fieller,
    lanczos,
    landscape,
    noise_covariance,
    operators,
    sharpness,
    spectral_density,
    trace,
)


def params():
    return {'a': jnp.ones(3), 'b': jnp.ones((4, 5))}


def loss(tree):
    return sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(tree))


def identity(tree):
    return tree


def key():
    return jax.random.key(0)


def points():
    return jnp.linspace(0.0, 1.0, 7)


def losses(tree, examples):
    return loss(tree) * examples['x']


def outputs(tree, examples):
    return loss(tree) * examples['x'][:, None]


def examples():
    return {'x': jnp.ones(12)}


def rows():
    return jax.tree.map(lambda leaf: jnp.stack([leaf] * 6), params())


def of_product(**others):
    return lambda: dict(product=identity, like=params(), key=key(), **others)


def of_loss(**others):
    return lambda: dict(loss=loss, params=params(), **others)


def tridiagonal():
    return lanczos.tridiagonal(identity, params(), key(), 4)


def adam_state():
    optimizer = optimizers.adamw(0.1)
    return optimizer.update(params(), optimizer.init(params()), params())[1]


def gram():
    return noise_covariance.gram(rows())


def measure():
    return spectral_density.quadrature(identity, params(), key(), 4, 3)


CURVATURE = {
    'fieller:Ratio': [lambda: fieller.fieller(*map(jnp.ones, [()] * 2), (1, 1), 0, 2)._asdict()],
    'lanczos:Tridiagonal': [lambda: tridiagonal()._asdict()],
    'lanczos:Ritz': [lambda: lanczos.ritz(tridiagonal())._asdict()],
    'lanczos:tridiagonal': [of_product(steps=4)],
    'lanczos:extremes': [of_product(steps=4, count=2)],
    'landscape:Barrier': [lambda: landscape.barrier(points(), points())._asdict()],
    'landscape:filter_normalised': [lambda: dict(direction=params(), params=params())],
    'landscape:random_direction': [lambda: dict(key=key(), params=params())],
    'landscape:line': [lambda: of_loss(direction=params(), points=points())()],
    'landscape:plane': [
        lambda: of_loss(first=params(), second=params(), rows=points(), columns=points())(),
    ],
    'landscape:between': [lambda: dict(first=params(), last=params(), place=0.5)],
    'landscape:interpolation': [
        lambda: dict(loss=loss, first=params(), last=params(), points=points()),
    ],
    'landscape:barrier': [lambda: dict(losses=points(), points=points())],
    'landscape:bezier': [lambda: dict(first=params(), middle=params(), last=params(), t=0.5)],
    'landscape:curve': [
        lambda: dict(loss=loss, first=params(), middle=params(), last=params(), points=points()),
    ],
    'landscape:connect': [
        lambda: dict(
            loss=loss,
            first=params(),
            last=params(),
            optimizer=optax.sgd(0.1),
            key=key(),
            steps=2,
        ),
    ],
    'noise_covariance:Covariance': [
        lambda: noise_covariance.covariance(gram(), 2, 2)._asdict(),
    ],
    'noise_covariance:Overlap': [lambda: noise_covariance.overlap(rows(), rows())._asdict()],
    'noise_covariance:NoiseScale': [
        lambda: noise_covariance.hessian_noise_scale(identity, rows(), 2)._asdict(),
    ],
    'noise_covariance:noise_scale': [lambda: dict(products=gram(), size=2, population=90)],
    'noise_covariance:group_gradients': [
        lambda: dict(losses=losses, params=params(), examples=examples(), groups=4),
    ],
    'noise_covariance:gram': [lambda: dict(gradients=rows())],
    'noise_covariance:covariance': [lambda: dict(products=gram(), size=2, count=2)],
    'operators:hessian_product': [of_loss()],
    'operators:gauss_newton_product': [
        lambda: dict(
            outputs=outputs,
            output_curvature=operators.softmax_curvature,
            params=params(),
            examples=examples(),
            chunk=4,
        ),
    ],
    'operators:select': [lambda: dict(params=params(), patterns=['a'])],
    'operators:restricted': [of_loss(patterns=['a'])],
    'operators:preconditioned': [lambda: dict(product=identity, preconditioner=params())],
    'preconditioner:preconditioner': [
        lambda: dict(opt_state=adam_state(), params=params(), b2=0.999, eps=1e-8),
    ],
    'sharpness:Rise': [lambda: sharpness.sam(loss, params(), 0.1)._asdict()],
    'sharpness:Direction': [lambda: sharpness.directional(loss, params(), params())._asdict()],
    'sharpness:sam': [lambda: of_loss(radius=0.1, steps=2, starts=[params()])()],
    'sharpness:adaptive': [of_loss(radius=0.1)],
    'sharpness:keskar': [of_loss(size=0.1)],
    'sharpness:average': [lambda: of_loss(deviation=0.1, key=key(), pairs=3)()],
    'sharpness:directional': [lambda: of_loss(direction=params())()],
    'spectral_density:Quadrature': [lambda: measure()._asdict()],
    'spectral_density:Density': [
        lambda: spectral_density.density(measure(), points(), 0.1, 1.0)._asdict(),
    ],
    'spectral_density:quadrature': [of_product(steps=4, probes=3)],
    'spectral_density:density': [
        lambda: dict(measure=measure(), points=points(), width=0.1, linear=1.0),
    ],
    'trace:Estimate': [lambda: trace.hutchinson(identity, params(), key(), 3)._asdict()],
    'trace:hutchinson': [of_product(samples=3)],
    'trace:xtrace': [of_product(samples=3), of_product(samples=20)],
    'trees:dot': [lambda: dict(a=params(), b=params())],
    'trees:norm': [lambda: dict(tree=params())],
    'trees:scaled': [lambda: dict(tree=params(), factor=2.0)],
    'trees:added': [lambda: dict(a=params(), b=params(), factor=2.0)],
    'trees:size': [lambda: dict(tree=params())],
    'trees:unit': [lambda: dict(tree=params())],
    'trees:normal_like': [lambda: dict(key=key(), tree=params())],
    'trees:signs_like': [lambda: dict(key=key(), tree=params())],
}
