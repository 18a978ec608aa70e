"""The simplest inversion: a latent from a seed, or one that was saved."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pydantic import Field

from draggan_runtime.errors import UserError
from draggan_runtime.messages import Latent, LatentRequest
from draggan_runtime.node import Node, NodeParams, Turn, event

_SEEDS = 2**32


def seed_z(seed: int, z_dim: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """z ``[z_dim]`` float32 of a seed as in the published tools: ``RandomState(seed).randn(1, z_dim)``.

    Raises UserError for a seed outside 0 .. 2^32 - 1.
    """
    if not 0 <= seed < _SEEDS:
        raise UserError(f"seed {seed} is out of range; use 0 to {_SEEDS - 1}")
    z = np.random.RandomState(seed).randn(1, z_dim)
    return np.asarray(z[0], np.float32)


class LatentSourceParams(NodeParams):
    z_dim: int = Field(512, ge=1, description="length of z; the model's")


class LatentSource(Node):
    """Answers a request with its seed's z, or with the latent it holds."""

    Params = LatentSourceParams
    inputs = {"request": event(LatentRequest)}
    outputs = {"latent": Latent}

    def step(self, turns: Sequence[Turn]) -> None:
        for turn in turns:
            turn.emit("latent", self._latent(turn["request"]))

    def _latent(self, request: LatentRequest) -> Latent:
        if (request.seed is None) == (request.w_plus is None):
            raise UserError("a latent request holds either a seed or a latent")
        if request.seed is None:
            assert request.w_plus is not None
            return Latent(
                session=request.session,
                step=request.step,
                space="w_plus",
                values=request.w_plus,
                anchor=request.anchor,
            )
        return Latent(
            session=request.session,
            step=request.step,
            space="z",
            values=seed_z(request.seed, self.params.z_dim),
            truncation_psi=request.truncation_psi,
        )
