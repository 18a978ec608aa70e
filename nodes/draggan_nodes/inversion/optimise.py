"""Inversion by optimisation: the latent whose picture looks most like the photo."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from pydantic import Field

from draggan_nodes.inversion.descent import Descent, Pace
from draggan_nodes.inversion.encoding import files
from draggan_nodes.inversion.encoding.source import guess
from draggan_nodes.inversion.likeness import Likeness, perceptual_or_not
from draggan_nodes.inversion.photo_source import PhotoSource, PhotoSourceParams, Search
from draggan_runtime.node import NodeParams


class OptimiseParams(PhotoSourceParams):
    steps: int = Field(80, ge=1, le=10_000, description="steps of the search")
    learning_rate: float = Field(0.07, gt=0, description="Adam's step size at first, in standard deviations of w")
    space: Literal["w", "w_plus"] = Field("w_plus", description="one w for all slots, or each its own")
    prior: float = Field(0.02, ge=0, description="weight of the whitened distance from the mean of w")
    encoder: Literal["auto", "yes", "no"] = Field(
        "auto", description="begin at what the model's encoder guesses, if that is nearer; auto: if it has one"
    )
    together: float = Field(0.05, ge=0, description="weight of the slots' distance from each other")
    perceptual: Literal["auto", "yes", "no"] = Field(
        "auto", description="compare features of a network that looks, 55 MB; auto: if it can be had"
    )


class OptimiseSource(PhotoSource):
    """Descends in W+ from the mean of w, or from what the model's encoder guesses if that is nearer."""

    Params: ClassVar[type[NodeParams]] = OptimiseParams

    def search(self, photo: torch.Tensor) -> tuple[Search, Sequence[str]]:
        perceptual, why = perceptual_or_not(self.params.perceptual)
        return self.descent(photo, Likeness(photo, perceptual=perceptual)), [why] if why else []

    def descent(self, photo: torch.Tensor, likeness: Likeness) -> Descent:
        """The search in latents, as the parameters say."""
        params: OptimiseParams = self.params
        pace = Pace(params.steps, params.learning_rate, params.prior, params.together, params.space)
        network = self.network
        starts = [network.w_mean[None]]
        if params.encoder == "yes" or (params.encoder == "auto" and files.path(params.model).is_file()):
            starts.append(guess(params.model, network, photo))
        return Descent(network, likeness, starts, pace)
