"""A made-up session, to try a node without a generator: a smooth picture that moves a known way every step.

Channel c of the features at pixel p and step k is a sum of sines of ``p - k * shift``, evaluated exactly at the cells'
centres; so where a handle is after k steps is known to any precision: ``handle + k * shift``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from draggan_runtime.boxes import around, crop, whole
from draggan_runtime.messages import (
    XY,
    Begin,
    Box,
    Boxes,
    Command,
    FeatureGradient,
    Features,
    Frame,
    Goal,
    Handles,
    Inverting,
    Latent,
    LatentRequest,
    Mask,
    Message,
    NeedBoxes,
    Placed,
    PointPair,
    Proceed,
    Progress,
    View,
)
from draggan_runtime.node import Need

if TYPE_CHECKING:
    from draggan_runtime.messages import Array

SIZE = (512, 512)
#: px a step; not a multiple of any cell or search grid.
SPEED = 1.37
_CHANNELS, _WAVES = 16, 6


class SyntheticSession:
    """Everything a session could send, by message type; two ``seed``s share nothing.

    ``needs``: what the node under test reads of features; only these levels are sent. ``crop_boxes``: send boxes of
    the declared reach around the handles instead of whole maps. ``masked``: with a mask, not an empty one.
    """

    def __init__(
        self, name: str, seed: int, needs: Sequence[Need], *, crop_boxes: bool = False, masked: bool = True
    ) -> None:
        self.name = name
        self.needs = tuple(needs)
        self.crop_boxes = crop_boxes
        self.masked = masked
        self.features: Features | None = None
        self._rng_seed = seed
        rng = np.random.RandomState(seed)
        angle = rng.uniform(0, 2 * np.pi)
        self.shift = SPEED * np.array([np.cos(angle), np.sin(angle)])
        direction = rng.uniform(0, 2 * np.pi, (_CHANNELS, _WAVES))
        frequency = 1 / rng.uniform(60, 240, (_CHANNELS, _WAVES))
        self._waves = np.stack([np.cos(direction), np.sin(direction)], -1) * frequency[..., None]
        self._phases = rng.uniform(0, 1, (_CHANNELS, _WAVES))
        self.handles = {i: (float(x), float(y)) for i, (x, y) in enumerate(rng.uniform(150, 360, (2, 2)), 1)}

    def positions(self, step: int) -> dict[int, XY]:
        """Where the handles truly are, px."""
        return {i: (x + step * self.shift[0], y + step * self.shift[1]) for i, (x, y) in self.handles.items()}

    def message(self, kind: type[Message], step: int) -> Message | None:
        """A message of ``kind`` for ``step``; None if such a message cannot be made up."""
        for known, make in _MAKERS.items():
            if issubclass(known, kind) and kind is not Message:
                return make(self, step)
        return None

    def saw(self, message: Message) -> None:
        """What the node under test emitted: gradients are made for the features it gave."""
        if isinstance(message, Features):
            self.features = message

    # -- the messages ------------------------------------------------------------------------------------------

    def _who(self, step: int) -> dict[str, Any]:
        return {"session": self.name, "step": step}

    def _goal(self, step: int) -> Goal:
        points = tuple(
            PointPair(i, (x, y), (x + 40 * self.shift[0], y + 40 * self.shift[1])) for i, (x, y) in self.handles.items()
        )
        return Goal(points=points, **self._who(step))

    def _mask(self, step: int) -> Mask:
        if not self.masked:
            return Mask(movable=None, **self._who(step))
        y, x = np.mgrid[: SIZE[1], : SIZE[0]]
        movable = ((x - 256) ** 2 + (y - 256) ** 2 < 180**2).astype(np.uint8)
        return Mask(movable=torch.from_numpy(movable), **self._who(step))

    def _map(self, level: str, step: int) -> tuple[torch.Tensor, float]:
        rows = SIZE[1] if level == "rgb" else int(level) if level.isdigit() else 64
        stride = SIZE[1] / rows
        channels = 3 if level == "rgb" else _CHANNELS
        px = (np.arange(rows) + 0.5) * stride - 0.5
        x, y = px - step * self.shift[0], px - step * self.shift[1]
        # A plane wave is a product over x and y: sin(a + b) = sin a cos b + cos a sin b.
        along_x = 2 * np.pi * (self._waves[:channels, :, 0, None] * x + self._phases[:channels, :, None])
        along_y = 2 * np.pi * self._waves[:channels, :, 1, None] * y
        values = np.einsum("cwy,cwx->cyx", np.cos(along_y), np.sin(along_x))
        values += np.einsum("cwy,cwx->cyx", np.sin(along_y), np.cos(along_x))
        return torch.from_numpy((values / np.sqrt(_WAVES)).astype(np.float32)), stride

    def make_features(self, step: int, whole_maps: bool, more: Iterable[str] = ()) -> Features:
        """Features of ``step``: whole maps, or boxes of the declared reach around each handle.

        ``more``: levels to add, whole.
        """
        levels: dict[str, Boxes] = {level: (whole(*self._map(level, step)),) for level in more}
        for level in dict.fromkeys(need.level for need in self.needs):
            values, stride = self._map(level, step)
            boxes: list[Box] = []
            for need in self.needs:
                if need.level == level and not (whole_maps or (need.whole_with_mask and self.masked)):
                    reach = need.reach * SIZE[1] / 512
                    boxes += [crop(values, around(xy, reach), stride) for xy in self._seen(step).values()]
                elif need.level == level:
                    boxes.append(whole(values, stride))
            levels[level] = tuple(replace(box, values=torch.as_tensor(box.values).clone()) for box in boxes)
        return Features(size=SIZE, levels=levels, reference=step == 0, **self._who(step))

    def _seen(self, step: int) -> dict[int, XY]:
        """Where the generator knows the handles: as tracked a step before."""
        return self.positions(max(step - 1, 0))

    def _features(self, step: int) -> Features:
        return self.make_features(step, whole_maps=not self.crop_boxes)

    def _handles(self, step: int) -> Handles:
        positions = self.positions(step)
        return Handles(size=SIZE, positions=positions, confidence=dict.fromkeys(positions, 0.9), **self._who(step))

    def _gradient(self, step: int) -> FeatureGradient:
        features = self.features or self._features(step)
        levels: dict[str, tuple[Array | None, ...]] = {
            name: tuple(torch.as_tensor(box.values).detach().sign() * 1e-3 for box in boxes)
            for name, boxes in features.levels.items()
        }
        return FeatureGradient(levels=levels, loss=0.5, **self._who(features.step))

    def _need_boxes(self, step: int) -> NeedBoxes:
        level = next(iter(self.features.levels), "64") if self.features else "64"
        x, y = self.handles[1]
        return NeedBoxes(
            level=level,
            regions=((x - 20, y - 20, x + 20, y + 20),),
            **self._who(self.features.step if self.features else step),
        )

    def _latent(self, step: int) -> Latent:
        z = np.random.RandomState(self._rng_seed).randn(512).astype(np.float32)
        return Latent(space="z", values=torch.from_numpy(z), **self._who(step))

    def _frame(self, step: int) -> Frame:
        image = self._map("rgb", step)[0].mul(60).add(128).clamp(0, 255).to(torch.uint8)
        return Frame(image=image.permute(1, 2, 0).contiguous(), **self._who(step))

    def _placed(self, step: int) -> Placed:
        image = np.asarray(self._frame(step).image)
        return Placed(matrix=np.eye(2, 3), piece=image, picture=image, **self._who(step))

    def _progress(self, step: int) -> Progress:
        positions = self.positions(step)
        return Progress(
            drag_steps=step,
            handles=positions,
            distances=dict.fromkeys(positions, max(40 - step, 0) * SPEED),
            confidence=dict.fromkeys(positions, 0.9),
            loss=0.5,
            w_plus=torch.zeros(4, 512),
            seconds=0.1 * step,
            **self._who(step),
        )


#: In the order in which a session's first messages come.
_MAKERS: Mapping[type[Message], Callable[[SyntheticSession, int], Message]] = {
    Goal: SyntheticSession._goal,
    Mask: SyntheticSession._mask,
    View: lambda s, step: View(scale=1.0, size=SIZE, **s._who(step)),
    LatentRequest: lambda s, step: LatentRequest(seed=s._rng_seed, **s._who(step)),
    Latent: SyntheticSession._latent,
    Begin: lambda s, step: Begin(**s._who(step)),
    Features: SyntheticSession._features,
    Handles: SyntheticSession._handles,
    FeatureGradient: SyntheticSession._gradient,
    NeedBoxes: SyntheticSession._need_boxes,
    Frame: SyntheticSession._frame,
    Progress: SyntheticSession._progress,
    Command: lambda s, step: Command(verb="stop", **s._who(step)),
    Inverting: lambda s, step: Inverting(done=step, of=10, distance=1 / (1 + step), by="", **s._who(step)),
    Proceed: lambda s, step: Proceed(**s._who(step)),
    Placed: SyntheticSession._placed,
}
ORDER = tuple(_MAKERS)
#: What a session sends once, when a picture is chosen and a drag begins.
ONCE = frozenset({LatentRequest, Begin})
