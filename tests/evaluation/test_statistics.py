"""Means, intervals and distances of sets, against formulas and brute force."""

import itertools

import numpy as np
import pytest

from draggan_runtime.evaluation.frechet import frechet_distance
from draggan_runtime.evaluation.statistics import estimate


def test_the_interval_of_many_values_is_that_of_the_central_limit_theorem():
    values = np.random.RandomState(1).exponential(size=2000)
    found = estimate(values)
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert found.value == pytest.approx(values.mean())
    assert found.count == 2000
    assert found.low == pytest.approx(values.mean() - half, abs=0.06 * half)
    assert found.high == pytest.approx(values.mean() + half, abs=0.06 * half)


def test_the_interval_of_few_values_is_that_of_all_their_resamples():
    values = [1.0, 2.0, 4.0, 9.0]
    means = [np.mean(drawn) for drawn in itertools.product(values, repeat=4)]
    found = estimate(values, resamples=50_000)
    assert found.low == pytest.approx(np.percentile(means, 2.5), abs=0.26)  # the means are 0.25 apart
    assert found.high == pytest.approx(np.percentile(means, 97.5), abs=0.26)


def test_the_interval_is_the_same_each_time_and_a_point_for_one_value():
    assert estimate([3.0, 5.0, 8.0]) == estimate([3.0, 5.0, 8.0])
    assert (estimate([3.0]).low, estimate([3.0]).high) == (3.0, 3.0)


def with_moments(rng, mean, covariance, count):
    """Samples whose mean and covariance are exactly these."""
    x = rng.randn(count, len(mean))
    x -= x.mean(axis=0)
    x = x @ np.linalg.inv(np.linalg.cholesky(np.cov(x, rowvar=False))).T
    return x @ np.linalg.cholesky(covariance).T + mean


def test_the_frechet_distance_of_gaussians_that_share_axes_is_that_of_means_and_deviations():
    rng = np.random.RandomState(0)
    axes = np.linalg.qr(rng.randn(4, 4))[0]
    first, second = np.array([1.0, 4.0, 9.0, 0.25]), np.array([4.0, 1.0, 2.25, 0.25])
    gap = np.array([0.5, -1.0, 0.0, 2.0])
    x = with_moments(rng, np.zeros(4), axes @ np.diag(first) @ axes.T, 40)
    y = with_moments(rng, gap, axes @ np.diag(second) @ axes.T, 25)
    closed = gap @ gap + ((np.sqrt(first) - np.sqrt(second)) ** 2).sum()
    assert frechet_distance(x, y) == pytest.approx(closed)


def test_the_frechet_distance_of_other_gaussians_has_the_root_of_the_product_of_covariances():
    rng = np.random.RandomState(3)
    x, y = rng.randn(30, 5) @ rng.randn(5, 5), rng.randn(50, 5) @ rng.randn(5, 5) + 1
    s1, s2 = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    gap = x.mean(axis=0) - y.mean(axis=0)
    root = np.sqrt(np.linalg.eigvals(s1 @ s2).real).sum()
    assert frechet_distance(x, y) == pytest.approx(gap @ gap + np.trace(s1) + np.trace(s2) - 2 * root)


def test_the_frechet_distance_of_fewer_samples_than_features():
    x = np.random.RandomState(2).randn(6, 300)
    assert frechet_distance(x, x) == 0
    assert frechet_distance(x, x + 0.5) == pytest.approx(300 * 0.25)
    with pytest.raises(ValueError, match="no spread"):
        frechet_distance(x[:1], x)


def test_a_median_and_its_interval_are_not_moved_by_one_case_that_went_wrong():
    found = estimate([1.0, 2.0, 3.0, 4.0, 500.0] * 20, median=True)
    assert found.value == 3
    assert 2 <= found.low <= 3 <= found.high <= 4
