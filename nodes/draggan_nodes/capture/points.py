"""The list of points a hand edits: a click sets a handle, the next click its target; dots can be moved and deleted."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

from draggan_runtime.messages import XY, PointPair

End = Literal["handle", "target"]


class Dot(NamedTuple):
    """One end of a pair, and where it is drawn."""

    pair: PointPair
    end: End
    at: XY


class Grip(NamedTuple):
    """A dot in the hand: where it was taken, so that it moves with the pointer and does not jump under it."""

    dot: Dot
    taken: XY


@dataclass
class Points:
    """Complete pairs, and the handle that still waits for its target. All px of the full output."""

    pairs: tuple[PointPair, ...] = ()
    pending: XY | None = None
    hover: XY | None = None  # where the pending handle's target would be now
    grip: Grip | None = None
    moved: PointPair | None = None  # the gripped pair as it would be now
    next_id: int = 0

    # -- setting -----------------------------------------------------------------------------------------------

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
        if self.grip is not None:
            dot, taken = self.grip
            there = dot.at[0] + xy[0] - taken[0], dot.at[1] + xy[1] - taken[1]
            self.moved = replace(dot.pair, handle=there) if dot.end == "handle" else replace(dot.pair, target=there)
        elif self.pending is not None:
            self.hover = xy

    # -- moving ------------------------------------------------------------------------------------------------

    def dot_at(self, xy: XY, reach: float, shown: Mapping[int, XY]) -> Dot | None:
        """The dot drawn nearest to ``xy`` within ``reach`` px.

        ``shown``: where handles are drawn that the tracker has moved. Where a handle lies on its target, the target.
        """
        best, nearest = None, reach
        for pair in reversed(self.pairs):  # the last is drawn on top
            handle = shown.get(pair.id, pair.handle)
            for dot, ahead in ((Dot(pair, "target", pair.target), 0.0), (Dot(pair, "handle", handle), reach / 3)):
                if (distance := math.dist(dot.at, xy) + ahead) < nearest and math.dist(dot.at, xy) < reach:
                    best, nearest = dot, distance
        return best

    def take(self, dot: Dot, xy: XY) -> None:
        """Take a dot into the hand, at ``xy``."""
        self.grip, self.moved = Grip(dot, xy), None

    def let_go(self, apart: float = 0.0) -> Dot | None:
        """Leave the dot where it has been moved to; the dot as it was, or None if it is still within ``apart`` px."""
        grip, moved = self.grip, self.moved
        self.grip = self.moved = None
        if grip is None or moved is None:
            return None
        handle = grip.dot.end == "handle"
        there = moved.handle if handle else moved.target
        if math.dist(there, grip.dot.at) <= apart or all(p.id != moved.id for p in self.pairs):
            return None
        # Only the end in the hand: a drag may have changed the other one meanwhile.
        changed = {p.id: replace(p, handle=there) if handle else replace(p, target=there) for p in self.pairs}
        self.pairs = tuple(changed[p.id] if p.id == moved.id else p for p in self.pairs)
        return grip.dot

    # -- removing ----------------------------------------------------------------------------------------------

    def delete(self, id: int) -> None:
        """Remove a pair."""
        self.pairs = tuple(p for p in self.pairs if p.id != id)
        if self.grip is not None and self.grip.dot.pair.id == id:
            self.grip = self.moved = None

    def take_back(self) -> None:
        """Remove the waiting handle, else the last pair."""
        if self.pending is not None:
            self.pending = self.hover = None
        elif self.pairs:
            self.delete(self.pairs[-1].id)

    def clear(self) -> None:
        """Remove everything; ids are not used again."""
        self.take_up(())

    # -- what happens to them ----------------------------------------------------------------------------------

    def take_up(self, pairs: Iterable[PointPair]) -> None:
        """These are the pairs now; what the hand was doing is dropped."""
        self.pairs = tuple(pairs)
        self.next_id = max([self.next_id, *(p.id + 1 for p in self.pairs)])
        self.drop()

    def drop(self) -> None:
        """Drop what the hand was doing: a waiting handle, a dot on its way."""
        self.pending = self.hover = self.grip = self.moved = None

    def handles_now(self, handles: Mapping[int, XY], but: Collection[int] = ()) -> None:
        """The picture has moved: each pair starts from where its handle is now, except those of the ids ``but``."""
        self.pairs = tuple(p if p.id in but else replace(p, handle=handles.get(p.id, p.handle)) for p in self.pairs)

    @property
    def preview(self) -> tuple[PointPair, ...]:
        """The waiting handle with the pointer as its target, or the pair being moved, or nothing."""
        if self.moved is not None:
            return (self.moved,)
        if self.pending is None or self.hover is None:
            return ()
        return (PointPair(self.next_id, self.pending, self.hover),)

    @property
    def busy(self) -> bool:
        """True while a handle waits or a dot is in the hand."""
        return self.pending is not None or self.grip is not None

    def plain(self) -> dict[str, Any]:
        """The pairs as plain values."""
        return {"pairs": [[p.id, *p.handle, *p.target] for p in self.pairs], "next_id": self.next_id}

    @classmethod
    def from_plain(cls, data: Mapping[str, Any]) -> Points:
        """What :meth:`plain` was taken of."""
        pairs = tuple(PointPair(int(i), (hx, hy), (tx, ty)) for i, hx, hy, tx, ty in data["pairs"])
        return cls(pairs, next_id=int(data["next_id"]))
