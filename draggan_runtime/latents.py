"""Latents as other tools keep them: .npy, .npz and .pt files, read as data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from draggan_runtime import inert
from draggan_runtime.errors import UserError
from draggan_runtime.inert.limits import shown

#: Under these names projectors and encoders keep the latent that they found.
_NAMES = ("w_plus", "w", "ws", "latent", "latents", "latent_code", "projected_w")


def read_latent(data: bytes, path: Path) -> np.ndarray[Any, np.dtype[np.float32]]:
    """float32 ``[rows, w_dim]``: a row for each slot, or one that serves them all.

    ``data`` is what lies in ``path``. Raises UserError if it holds no latent, or several.
    """
    found = _find(inert.parse(data, str(path)), path)
    while found.ndim > 2 and len(found) == 1:
        found = found[0]
    if found.ndim == 1:
        found = found[None]
    if found.ndim != 2 or not np.issubdtype(found.dtype, np.floating) or not found.size:
        kind = f"numbers of shape {list(found.shape)}"
        raise UserError(f"{path} holds {kind}, where a latent has [slots, w_dim] or [w_dim]; give a file of one latent")
    values = np.array(found, np.float32, order="C")
    if not np.isfinite(values).all():
        raise UserError(f"{path} holds a latent of values that are not finite numbers")
    return values


def _find(data: Any, path: Path) -> np.ndarray[Any, Any]:
    while isinstance(data, Mapping):
        named = [data[name] for name in _NAMES if name in data]
        inside = named or list(data.values())
        if len(inside) > 1 and not named:
            some = ", ".join(shown(name) if isinstance(name, str) else type(name).__name__ for name in list(data)[:4])
            raise UserError(f"{path} holds {some}: none of them is called {', '.join(_NAMES)}")
        data = inside[0] if inside else None
    if not isinstance(data, np.ndarray):
        raise UserError(
            f"{path} holds no latent; give a .draggan file, a PNG that was saved, or a latent's .npy or .pt"
        )
    return data
