"""The picture of a latent, at full resolution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from pydantic import Field

from draggan_nodes.generation.latents import to_w_plus
from draggan_nodes.generation.protocol import GeneratorNetwork
from draggan_runtime import models
from draggan_runtime.messages import Frame, Latent
from draggan_runtime.node import Node, NodeParams, Turn, event


def to_uint8(image: torch.Tensor) -> torch.Tensor:
    """uint8 ``[H, W, 3]`` of a picture ``[3, H, W]``: ``(x + 1) * 127.5``, rounded half up, clamped."""
    return image.mul(127.5).add_(128).clamp_(0, 255).to(torch.uint8).permute(1, 2, 0).contiguous()


class RendererParams(NodeParams):
    model: str = Field("ffhq", description="the model's name, as the generator's")


class Renderer(Node):
    """Each latent's picture. Apart from the drag's loop, so that it runs at its own rate."""

    Params = RendererParams
    fixed = frozenset({"model"})
    inputs = {"latent": event(Latent)}
    outputs = {"frame": Frame}

    network: GeneratorNetwork

    @classmethod
    def prepare(cls, params: RendererParams) -> None:
        models.find(params.model).fetch()

    def configure(self) -> None:
        self.network = cast(GeneratorNetwork, models.find(self.params.model).load(self.context.device))

    def step(self, turns: Sequence[Turn]) -> None:
        for turn in turns:
            with torch.inference_mode():
                image = self.network.image(to_w_plus(self.network, turn["latent"])[None])[0]
                pixels = to_uint8(image).cpu().numpy()
            turn.emit("frame", Frame(session=turn.session, step=turn.step, image=pixels))
