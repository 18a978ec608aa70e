"""Inversion at a look: what the model's encoder guesses, as it is."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import ClassVar, Literal

import torch
from pydantic import Field

from draggan_nodes.inversion.encoding import files
from draggan_nodes.inversion.encoding.network import Encoder
from draggan_nodes.inversion.likeness import Likeness, perceptual_or_not
from draggan_nodes.inversion.network import Invertible
from draggan_nodes.inversion.photo_source import PhotoSource, PhotoSourceParams, Search
from draggan_nodes.inversion.tune import Factors
from draggan_runtime.node import NodeParams


class EncoderParams(PhotoSourceParams):
    perceptual: Literal["auto", "yes", "no"] = Field(
        "auto", description="judge the guess by features of a network that looks, 55 MB; auto: if it can be had"
    )


class Guess:
    """A :class:`~draggan_nodes.inversion.photo_source.Search` of one step, in which the encoder looks."""

    def __init__(self, network: Invertible, likeness: Likeness, w_plus: torch.Tensor) -> None:
        self.name, self.done, self.of = likeness.name, 0, 1
        self.best = w_plus
        self.factors: Factors = {}
        with torch.no_grad():
            self.distance = float(likeness(network.image(w_plus[None])))

    def step(self) -> None:
        """Nothing is left to do."""
        self.done = 1


class EncoderSource(PhotoSource):
    """Takes the encoder's guess for the photo's latent; ``draggan train encoder`` makes one."""

    Params: ClassVar[type[NodeParams]] = EncoderParams

    def search(self, photo: torch.Tensor) -> tuple[Search, Sequence[str]]:
        params: EncoderParams = self.params
        network = self.network
        w_plus = guess(params.model, network, photo)
        perceptual, why = perceptual_or_not(params.perceptual)
        return Guess(network, Likeness(photo, perceptual=perceptual), w_plus), [why] if why else []


@torch.no_grad()
def guess(model: str, network: Invertible, photo: torch.Tensor) -> torch.Tensor:
    """w_plus ``[num_ws, w_dim]`` that the model's encoder gives for a photo ``[1, 3, H, W]``, RGB in [-1, 1].

    Raises UserError if the model has no encoder.
    """
    encoder = _loaded(model, str(files.path(model)), str(photo.device))
    return encoder.w_plus(photo, network.num_ws)[0]


@lru_cache(maxsize=4)
def _loaded(model: str, file: str, device: str) -> Encoder:
    """One load a process; ``file`` tells caches apart."""
    return files.load(model).to(device)
