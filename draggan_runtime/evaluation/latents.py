"""Latents of cases: one face part of the way toward another, as an edit would move it."""

from __future__ import annotations

from typing import Any

import numpy as np

from draggan_runtime import models
from draggan_runtime.api import Session

Latents = np.ndarray[Any, np.dtype[np.float32]]


def way_toward(session: Session, seeds: tuple[int, ...], amounts: np.ndarray[Any, Any]) -> Latents:
    """``[len(amounts), num_ws, w_dim]``: the first of two seeds, each amount of the way toward the second.

    Only the model's coarse slots move, those that an edit moves; what is left is colour and texture.
    """
    ws = []
    for seed in seeds:
        session.seed(seed)
        ws.append(session.w_plus.copy())
    start, end = ws
    coarse = models.find(session.record.model).load("cpu").coarse_slots
    way = np.zeros_like(start)
    way[:coarse] = (end - start)[:coarse]
    return np.asarray(start + amounts[:, None, None].astype(np.float32) * way)


def shown(session: Session, w_plus: Latents) -> np.ndarray[Any, Any]:
    """The picture of a latent ``[num_ws, w_dim]``, uint8 RGB ``[H, W, 3]``."""
    session.set_latent(w_plus)
    return session.image()
