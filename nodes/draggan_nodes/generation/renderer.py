"""The picture of a latent: at full resolution, and about, while a drag runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from pydantic import ConfigDict, Field

from draggan_nodes.generation.latents import to_w_plus
from draggan_nodes.generation.preview import Preview
from draggan_nodes.generation.protocol import GeneratorNetwork
from draggan_nodes.generation.tuned import OwnNetwork
from draggan_runtime import models
from draggan_runtime.errors import UserError
from draggan_runtime.messages import Frame, Latent, TunedWeights
from draggan_runtime.node import Node, NodeParams, Turn, event, latched
from draggan_runtime.pictures import Pixels, to_uint8

NO_PREVIEW = "none"
_ROWS = 64  # at most, of the map that previews come from unless one is named: the next one costs twice as much


class RendererParams(NodeParams):
    model_config = ConfigDict(coerce_numbers_to_str=True)  # renderer.preview=32

    model: str = Field("ffhq", description="the model's name, as the generator's")
    preview: str = Field(
        "auto",
        description='feature level that previews are made from; "auto": "64", or the model\'s finest below; "none": '
        "no previews",
    )


@dataclass
class Drawn:
    """A session's last full picture, the latent it shows, and previews from there once one has been asked for."""

    origin: str
    w_plus: torch.Tensor
    image: Pixels
    level: str = ""
    preview: Preview | None = None


@dataclass
class RendererState:
    """What is known of a session's picture."""

    drawn: Drawn | None = None
    own: OwnNetwork = field(default_factory=OwnNetwork)


class Renderer(Node):
    """Each latent's picture. Apart from the drag's loop, so that it runs at its own rate.

    A latent on ``latent`` gives the full picture on ``frame``; one on ``preview`` an approximate one on ``preview``, at
    about a sixth of the cost, if a full one of the same origin has been drawn before and not yet this one's.
    """

    Params = RendererParams
    State = RendererState
    fixed = frozenset({"model"})
    aside = True
    inputs = {
        "latent": event(Latent),
        "preview": event(Latent, optional=True),
        "tuning": latched(TunedWeights, optional=True),
    }
    outputs = {"frame": Frame, "preview": Frame}

    network: GeneratorNetwork

    @classmethod
    def prepare(cls, params: RendererParams) -> None:
        models.find(params.model).fetch()

    def configure(self) -> None:
        self.network = cast(GeneratorNetwork, models.find(self.params.model).load(self.context.device))
        self._level = _level(self.network, self.params.preview)

    def change(self, params: RendererParams) -> None:
        self._level = _level(self.network, params.preview)
        super().change(params)

    def snapshot(self, state: RendererState) -> dict[str, Any]:
        """Nothing: the next full picture is all that previews need."""
        return {}

    def restore(self, data: Mapping[str, Any]) -> RendererState:
        return RendererState()

    def step(self, turns: Sequence[Turn]) -> None:
        for turn in turns:
            with torch.inference_mode():
                if "latent" in turn.inputs:
                    self._draw(turn, turn["latent"])
                else:
                    self._preview(turn, turn["preview"])

    def _draw(self, turn: Turn, latent: Latent) -> None:
        w_plus = to_w_plus(self.network, latent)
        network = turn.state.own.of(self.network, latent.tuning, turn.get("tuning"))
        image = to_uint8(network.image(w_plus[None])[0]).cpu().numpy()
        turn.state.drawn = Drawn(latent.origin, w_plus, image)
        turn.emit("frame", Frame(session=turn.session, step=turn.step, image=image))

    def _preview(self, turn: Turn, latent: Latent) -> None:
        drawn: Drawn | None = turn.state.drawn
        if self._level is None or drawn is None or not latent.origin or latent.origin != drawn.origin:
            return
        network = turn.state.own.of(self.network, latent.tuning, turn.get("tuning"))
        if drawn.preview is None or drawn.level != self._level:
            drawn.level, drawn.preview = self._level, Preview(self._features(network, drawn.w_plus), drawn.image)
        w_plus = to_w_plus(self.network, latent)
        if torch.equal(w_plus, drawn.w_plus):  # made ready, so that the drag's first preview costs no more than others
            return
        image = drawn.preview.picture(self._features(network, w_plus))
        turn.emit("preview", Frame(session=turn.session, step=turn.step, image=image, preview=True))

    def _features(self, network: GeneratorNetwork, w_plus: torch.Tensor) -> torch.Tensor:
        """The map ``[C, rows, columns]`` that previews come from."""
        assert self._level is not None
        return network.features(w_plus[None], [self._level])[self._level][0]


def _level(network: GeneratorNetwork, wanted: str) -> str | None:
    """The level that previews are made from, None for no previews. Raises UserError if the model does not have it."""
    maps = [name for name in network.levels if name.isdecimal()]
    if wanted == NO_PREVIEW:
        return None
    if wanted == "auto":
        return max((name for name in maps if int(name) <= _ROWS), key=int, default=None)
    if wanted not in maps:
        raise UserError(
            f"model '{network.name}' has no feature level '{wanted}' to make previews from; it has {', '.join(maps)}"
        )
    return wanted
