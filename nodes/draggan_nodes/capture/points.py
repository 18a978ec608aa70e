"""The list of points a hand edits: a click sets a handle, the next click its target."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from draggan_runtime.messages import XY, PointPair


@dataclass
class Points:
    """Complete pairs, and the handle that still waits for its target. All px of the full output."""

    pairs: tuple[PointPair, ...] = ()
    pending: XY | None = None
    hover: XY | None = None  # where the pending handle's target would be now
    next_id: int = field(default=0)

    def click(self, xy: XY, apart: float = 0.0) -> None:
        """Set a handle, or the target of the one that waits; a target within ``apart`` px of it is not taken."""
        if self.pending is None:
            self.pending = self.hover = xy
        elif math.dist(self.pending, xy) > apart:
            self.pairs = (*self.pairs, PointPair(self.next_id, self.pending, xy))
            self.next_id += 1
            self.pending = self.hover = None

    def point_at(self, xy: XY) -> None:
        """The pointer is over ``xy``."""
        if self.pending is not None:
            self.hover = xy

    def take_back(self) -> None:
        """Remove the waiting handle, else the last pair."""
        if self.pending is not None:
            self.pending = self.hover = None
        else:
            self.pairs = self.pairs[:-1]

    def clear(self) -> None:
        """Remove everything; ids are not used again."""
        self.pairs, self.pending, self.hover = (), None, None

    def handles_now(self, handles: Mapping[int, XY]) -> None:
        """The picture has moved: each pair starts from where its handle is now."""
        self.pairs = tuple(replace(p, handle=handles.get(p.id, p.handle)) for p in self.pairs)

    @property
    def preview(self) -> tuple[PointPair, ...]:
        """The waiting handle with the pointer as its target, or nothing."""
        if self.pending is None or self.hover is None:
            return ()
        return (PointPair(self.next_id, self.pending, self.hover),)

    def plain(self) -> dict[str, Any]:
        """The pairs as plain values."""
        return {"pairs": [[p.id, *p.handle, *p.target] for p in self.pairs], "next_id": self.next_id}

    @classmethod
    def from_plain(cls, data: Mapping[str, Any]) -> Points:
        """What :meth:`plain` was taken of."""
        pairs = tuple(PointPair(int(i), (hx, hy), (tx, ty)) for i, hx, hy, tx, ty in data["pairs"])
        return cls(pairs, next_id=int(data["next_id"]))
