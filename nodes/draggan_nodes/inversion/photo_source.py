"""What all inversions of photos share: the photo is cut out, then a search goes on step by step."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, cast

import torch
from pydantic import Field

from draggan_nodes.inversion.alignment import crop, placed
from draggan_nodes.inversion.cut import Kind, Piece, cut
from draggan_nodes.inversion.latent import LatentSource, LatentSourceParams
from draggan_nodes.inversion.network import Invertible
from draggan_nodes.inversion.tune import Factors, name_of
from draggan_runtime import heap, models
from draggan_runtime.messages import Inverting, Latent, LatentRequest, Notice, Placed, Proceed, TunedWeights
from draggan_runtime.node import NodeParams, Turn
from draggan_runtime.pictures import to_uint8
from draggan_runtime.tuned_weights import changes_of

#: s between two pictures of a search for its user to see.
SHOW = 3.0


class Search(Protocol):
    """A search for a photo's latent."""

    @property
    def name(self) -> str:
        """What the distance is of."""

    @property
    def done(self) -> int:
        """Steps made."""

    @property
    def of(self) -> int:
        """Steps there are."""

    @property
    def distance(self) -> float:
        """From the photo, of the best so far."""

    @property
    def best(self) -> torch.Tensor:
        """w_plus ``[num_ws, w_dim]``."""

    @property
    def factors(self) -> Factors:
        """How the weights change for it; empty: they do not."""

    def step(self) -> None:
        """Make the next step."""


class PhotoSourceParams(LatentSourceParams):
    model: str = Field("ffhq", description="the model's name, as the generator's")
    cut: Kind = Field("auto", description="how photos are cut: by a face's landmarks, the centre; auto: a face if any")


@dataclass
class PhotoState:
    """A session's search, None if there is none, and when its user was last shown a picture of it."""

    search: Search | None = None
    piece: Piece | None = None
    shown: float = 0.0


class PhotoSource(LatentSource):
    """A latent for seeds, saved latents, and photos: of a photo in as many steps as its search takes."""

    Params: ClassVar[type[NodeParams]] = PhotoSourceParams
    State = PhotoState
    fixed = frozenset({"model"})

    @property
    def network(self) -> Invertible:
        """The model's; loaded when the first photo comes."""
        return cast(Invertible, models.find(self.params.model).load(self.context.device))

    def search(self, photo: torch.Tensor) -> tuple[Search, Sequence[str]]:
        """The search for the latent of ``photo`` ``[1, 3, H, W]``, RGB in [-1, 1], and what its user should know."""
        raise NotImplementedError

    def answer(self, turn: Turn, request: LatentRequest) -> None:
        turn.state.search = None
        super().answer(turn, request)

    def begin(self, turn: Turn, request: LatentRequest) -> None:
        piece = cut(request.photo, models.find(self.params.model).info.size, self.params.cut, request.face, request.box)
        device = self.context.device
        pixels = torch.from_numpy(piece.pixels).to(device).permute(2, 0, 1)[None].float() / 127.5 - 1
        search, words = self.search(pixels)
        turn.state.search, turn.state.piece = search, piece
        for text in (*piece.notices, *words):
            turn.emit("notice", Notice(session=turn.session, step=turn.step, text=text))
        self._show(turn)

    def proceed(self, turn: Turn, message: Proceed) -> None:
        state: PhotoState = turn.state
        if state.search is None:
            return
        if not message.cancelled:
            state.search.step()
        finished = message.cancelled or state.search.done >= state.search.of
        if finished or time.monotonic() > state.shown + SHOW:
            self._show(turn, finished)
        else:
            self._tell(turn, finished=False)
        if finished:
            assert state.piece is not None
            changes = {name: up @ down for name, (up, down) in state.search.factors.items()}
            self._place(turn, state.piece, state.search.best, changes)
            state.search = state.piece = None
            heap.give_back()

    def place(self, turn: Turn, request: LatentRequest) -> None:
        found: Any = request.anchor if request.anchor is not None else request.w_plus
        photo: Any = request.photo
        placement = placed(request.placement, photo, models.find(self.params.model).info.size)
        piece = Piece(crop(photo, placement), placement)
        network, tuning = self.network, request.tuning
        changes = changes_of(tuning, network.tunable, network.w_mean) if tuning is not None else {}
        self._place(turn, piece, torch.as_tensor(found, device=self.context.device), changes)

    def _place(self, turn: Turn, piece: Piece, w_plus: torch.Tensor, changes: Mapping[str, torch.Tensor]) -> None:
        """Where the picture of the latent ``w_plus [num_ws, w_dim]`` belongs, which was found for ``piece``.

        ``changes`` are those of its weights.
        """
        picture = self.network.tuned(changes).image(w_plus[None])[0]
        turn.emit(
            "placed",
            Placed(
                session=turn.session,
                step=turn.step,
                matrix=piece.placement.to_crop,
                piece=piece.pixels,
                picture=to_uint8(picture).cpu().numpy(),
            ),
        )

    def _show(self, turn: Turn, finished: bool = False) -> None:
        # Told first: a session takes the latent that comes after the end for its picture.
        self._tell(turn, finished)
        state: PhotoState = turn.state
        assert state.search is not None
        best, factors = state.search.best, state.search.factors
        name = name_of(factors)
        if name:
            turn.emit("tuning", TunedWeights(session=turn.session, step=turn.step, name=name, factors=factors))
        turn.emit("latent", Latent(session=turn.session, step=turn.step, space="w_plus", values=best, tuning=name))
        state.shown = time.monotonic()

    def _tell(self, turn: Turn, finished: bool) -> None:
        search: Search = turn.state.search
        piece: Piece = turn.state.piece
        turn.emit(
            "inverting",
            Inverting(
                session=turn.session,
                step=turn.step,
                done=search.done,
                of=search.of,
                distance=search.distance,
                by=search.name,
                finished=finished,
                faces=piece.faces,
            ),
        )

    def snapshot(self, state: PhotoState) -> dict[str, Any]:
        """Nothing: of a search that was interrupted the session has the latent that was shown last."""
        return {}

    def restore(self, data: Mapping[str, Any]) -> PhotoState:
        return PhotoState()
