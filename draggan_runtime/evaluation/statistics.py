"""Means of few cases, and how sure they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Estimate:
    """The mean of ``count`` values, and its 95% interval, ``low`` to ``high``."""

    mean: float
    low: float
    high: float
    count: int


def estimate(values: Sequence[float], resamples: int = 10_000, seed: int = 0) -> Estimate:
    """The mean of at least one value with its percentile bootstrap interval (Efron 1979); the same each time."""
    sample = np.asarray(values, dtype=np.float64)
    drawn = np.random.RandomState(seed).randint(len(sample), size=(resamples, len(sample)))
    low, high = np.percentile(sample[drawn].mean(axis=1), [2.5, 97.5])
    return Estimate(float(sample.mean()), float(low), float(high), len(sample))
