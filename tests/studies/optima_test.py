"""The optimum by a parabola: exact on one, its errors against their own spread, what has none, and
what the grid may have missed."""

import math

import numpy as np
import pytest

from lbexp.studies._comparison import optima
from lbexp.studies._comparison.searches import Point

pytestmark = pytest.mark.quick

RATE = {'rate': ('log', 0.01, 1.0)}
X = np.linspace(-1.0, 1.0, 9)


def points(x, path='rate'):
    return [Point({path: math.exp(value)}) for value in x]


def test_a_parabola_is_found_exactly():
    fit = optima.parabola(X, 0.05 + 0.3 * (X - 0.37) ** 2)
    assert fit.vertex == pytest.approx(0.37) and fit.curvature == pytest.approx(0.3)
    assert fit.value == pytest.approx(0.05) and fit.freedom == 4  # 7 of 9 points, 3 coefficients
    assert fit.vertex_error < 1e-12 and fit.value_error < 1e-12


def test_many_are_fitted_as_each_alone():
    random = np.random.default_rng(0)
    x = random.uniform(-1, 1, size=(5, 4, 8))
    scores = x**2 + random.normal(0, 0.1, size=x.shape)
    scores[1, 2, 3:6] = math.inf
    together = optima.parabola(x, scores)
    for place in np.ndindex(5, 4):
        for number, alone in zip(together, optima.parabola(x[place], scores[place]), strict=True):
            np.testing.assert_allclose(number[place], alone, rtol=1e-9)


def test_standard_errors_are_the_spread_over_noise():
    """4,000 fits of all of five points: no window depends on the noise."""
    x = np.linspace(-0.6, 0.8, 5)
    random = np.random.default_rng(1)
    noise = random.normal(0, 0.004, size=(4000, 5))
    fit = optima.parabola(np.broadcast_to(x, noise.shape), 0.05 + 0.3 * x**2 + noise)
    assert np.isfinite(fit.vertex).all()
    for value, error in ((fit.vertex, fit.vertex_error), (fit.value, fit.value_error)):
        expected = math.sqrt(np.mean(error**2))
        assert np.std(value) == pytest.approx(expected, rel=0.06)


def test_scores_behind_a_cliff_do_not_bend_the_fit():
    x = np.linspace(-1.0, 1.0, 11)
    bowl = 0.05 + 0.3 * (x + 0.2) ** 2
    for beyond in (0.9, math.inf):
        fit = optima.parabola(x, np.where(x > 0.3, beyond, bowl))
        assert fit.vertex == pytest.approx(-0.2)


@pytest.mark.parametrize(
    'scores',
    [
        -((X - 0.1) ** 2),  # no minimum
        X,  # at the edge
        np.where(np.abs(X) < 0.6, X**2, math.inf)[::2],  # three points
        np.full(9, math.inf),
        np.full(9, 0.25),  # flat
    ],
)
def test_what_has_no_optimum_inside_has_no_vertex(scores):
    x = X if len(scores) == 9 else X[::2]
    fit = optima.parabola(x, np.asarray(scores))
    assert all(math.isnan(number) for number in fit)


def test_points_at_one_place_have_no_vertex():
    assert math.isnan(optima.parabola(np.zeros(8), np.arange(8.0)).vertex)


def test_the_reported_rate_is_that_of_the_vertex_in_three_digits():
    scores = (X - 0.3712345) ** 2
    fit = optima.fitted(RATE, points(X), scores)
    best = Point({'rate': 1.0}, 1, 3)
    reported = optima.vertex_point(RATE, fit, best)
    assert reported == Point({'rate': 1.45}, 1, 3, 1.45)  # exp(0.3712345) = 1.4495
    linear = {'rate': ('linear', 0.0, 1.0)}
    x = np.linspace(0.0, 1.0, 9)
    tried = [Point({'rate': value}) for value in x]
    fit = optima.fitted(linear, tried, (x - 0.61234) ** 2)
    assert optima.vertex_point(linear, fit, tried[5]).values == {'rate': 0.612}


def test_one_number_alone_is_fitted():
    scores = (X - 0.1) ** 2
    assert optima.fitted({**RATE, 'decay': ('log', 1.0, 2.0)}, points(X), scores) is None
    assert optima.fitted({'rate': ('whole', 0, 8)}, points(X), scores) is None
    assert optima.fitted({}, [Point({})], np.array([0.1])) is None


def test_the_grid_error_of_a_tried_point_is_the_parabola_at_half_the_distance():
    """Points 0.25 apart, curvature 0.3: 0.3 (0.125)^2."""
    scores = 0.05 + 0.3 * (X - 0.02) ** 2
    best = Point({'rate': math.exp(X[4])})
    assert optima.grid_error(RATE, points(X), scores, best) == pytest.approx(0.3 * 0.125**2)
    # the order of trying does not matter
    order = np.random.default_rng(2).permutation(9)
    shuffled = optima.grid_error(RATE, points(X[order]), scores[order], best)
    assert shuffled == pytest.approx(0.3 * 0.125**2)


def test_the_grid_error_of_a_vertex_is_that_of_its_standard_error():
    scores = 0.3 * X**2 + 0.001 * np.array([1, -1, 0, 1, 0, -1, 1, 0, -1])
    fit = optima.parabola(X, scores)
    best = optima.vertex_point(RATE, fit, points(X)[4])
    missed = optima.grid_error(RATE, points(X), scores, best)
    # t(4, 0.975) = 2.776445
    assert missed == pytest.approx(fit.curvature * (2.776445 * fit.vertex_error) ** 2, rel=1e-6)
    assert missed < optima.grid_error(RATE, points(X), scores, points(X)[4])
    # and never more than that of the point
    noisy = 0.3 * X**2 + 0.05 * np.array([1, -1, 0, 1, -2, -1, 1, 0, -1])
    fit = optima.parabola(X, noisy)
    best = optima.vertex_point(RATE, fit, points(X)[4])
    assert optima.grid_error(RATE, points(X), noisy, best) == pytest.approx(
        fit.curvature * 0.125**2
    )


def test_the_grid_error_without_a_parabola_is_half_the_rise_to_a_neighbour():
    x, scores = X[:4], np.array([0.3, 0.1, 0.2, math.inf])
    assert optima.grid_error(RATE, points(x), scores, points(x)[1]) == pytest.approx(0.1)
    edge = np.array([0.1, 0.14, 0.2, math.inf])
    assert optima.grid_error(RATE, points(x), edge, points(x)[0]) == pytest.approx(0.02)
    alone = np.array([math.inf, 0.1, math.inf, math.inf])
    assert optima.grid_error(RATE, points(x), alone, points(x)[1]) == math.inf
    assert optima.grid_error({}, [Point({})], np.array([0.1]), Point({})) == 0.0
    assert math.isnan(optima.grid_error(RATE, points(x), np.full(4, math.inf), None))
