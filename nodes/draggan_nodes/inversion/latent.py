"""The simplest inversion: a latent from a seed, or one that was saved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from draggan_runtime.errors import UserError
from draggan_runtime.messages import Inverting, Latent, LatentRequest, Notice, Placed, Proceed, TunedWeights
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
    """Answers a request with its seed's z, or with the latent it holds. What it does with photos is for others to say.

    ``tuning`` comes before a latent of tuned weights. ``inverting`` tells how an inversion goes on, which makes a step
    for each message on ``proceed``; ``placed`` where in its photo the picture belongs.
    """

    Params: ClassVar[type[NodeParams]] = LatentSourceParams
    inputs = {"request": event(LatentRequest), "proceed": event(Proceed, optional=True)}
    outputs = {"tuning": TunedWeights, "latent": Latent, "inverting": Inverting, "placed": Placed, "notice": Notice}

    def step(self, turns: Sequence[Turn]) -> None:
        for turn in turns:
            with turn.alone():
                if "proceed" in turn.inputs:
                    self.proceed(turn, turn["proceed"])
                else:
                    self.answer(turn, turn["request"])

    def answer(self, turn: Turn, request: LatentRequest) -> None:
        """Give the latent that is asked for. Raises UserError if that cannot be done."""
        placed = request.w_plus is not None and request.placement is not None
        photo = None if placed else request.photo
        if sum(given is not None for given in (request.seed, request.w_plus, photo)) != 1:
            raise UserError("a latent request holds a seed, a latent, or a photo")
        if photo is not None:
            self.begin(turn, request)
        elif request.w_plus is not None:
            if request.tuning is not None:
                turn.emit("tuning", replace(request.tuning, session=turn.session, step=turn.step))
            turn.emit(
                "latent",
                Latent(
                    session=request.session,
                    step=request.step,
                    space="w_plus",
                    values=request.w_plus,
                    anchor=request.anchor,
                    tuning=request.tuning.name if request.tuning else "",
                ),
            )
            if request.photo is not None:
                self.place(turn, request)
        else:
            assert request.seed is not None
            turn.emit(
                "latent",
                Latent(
                    session=request.session,
                    step=request.step,
                    space="z",
                    values=seed_z(request.seed, self.params.z_dim),
                    truncation_psi=request.truncation_psi,
                ),
            )

    def begin(self, turn: Turn, request: LatentRequest) -> None:
        """Begin to look for the latent of ``request.photo``."""
        raise UserError("inversion/latent takes no photos; use --set source.impl=inversion/optimise")

    def place(self, turn: Turn, request: LatentRequest) -> None:
        """Say where in ``request.photo`` the picture belongs, of a latent that was found in it before."""
        words = "the photo stays as it was: inversion/latent takes none; use --set source.impl=inversion/optimise"
        turn.emit("notice", Notice(session=turn.session, step=turn.step, text=words, problem=True))

    def proceed(self, turn: Turn, message: Proceed) -> None:
        """Make the next step of looking, if a photo's latent is being looked for."""
