"""How far apart two sets of pictures are, from their features."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]


def frechet_distance(first: Array, second: Array) -> float:
    """The squared Frechet distance of the Gaussians that fit two sets of features, ``[N, D]`` and ``[M, D]``.

    |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)), as in FID (Heusel et al. 2017), which is this of an Inception network's
    features. Small sets give too large a distance: compare sets of one size only. Raises ValueError for sets of fewer
    than two.
    """
    if len(first) < 2 or len(second) < 2:
        raise ValueError("a set of fewer than two has no spread")
    x, y = (np.asarray(a, dtype=np.float64) for a in (first, second))
    gap = x.mean(axis=0) - y.mean(axis=0)
    # Of S = X'X the root (S1 S2)^(1/2) has the trace of the singular values of X Y': no D x D root is needed.
    x = (x - x.mean(axis=0)) / np.sqrt(len(x) - 1)
    y = (y - y.mean(axis=0)) / np.sqrt(len(y) - 1)
    common = np.linalg.svd(x @ y.T, compute_uv=False).sum()
    spread = (x**2).sum() + (y**2).sum()
    distance = float(gap @ gap + spread - 2 * common)
    return distance if distance > 1e-9 * spread else 0.0  # of equal sets only rounding is left
