"""Means and medians of few cases, and how sure they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Estimate:
    """The mean or median, ``value``, of ``count`` values, and its 95% interval, ``low`` to ``high``."""

    value: float
    low: float
    high: float
    count: int


def estimate(values: Sequence[float], resamples: int = 10_000, seed: int = 0, *, median: bool = False) -> Estimate:
    """The mean of at least one value with its percentile bootstrap interval (Efron 1979); the same each time.

    ``median``: the median instead.
    """
    sample = np.asarray(values, dtype=np.float64)
    drawn = np.random.RandomState(seed).randint(len(sample), size=(resamples, len(sample)))
    of = np.median if median else np.mean
    low, high = np.percentile(of(sample[drawn], axis=1), [2.5, 97.5])
    return Estimate(float(of(sample)), float(low), float(high), len(sample))
