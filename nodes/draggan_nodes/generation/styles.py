"""A latent's styles: what each slot's w makes of the channels of the layers that it drives."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar, cast

import torch

T = TypeVar("T")


class Styles:
    """Styles of w_plus ``[B, num_ws, w_dim]``, each computed when first asked for.

    Gradients flow to slots ``0 .. slots - 1`` only (None: to all). Styles of the other slots are those of ``kept``, if
    given: styles of latents that have the same there, B of them in all. So what a drag does not move is computed once.
    """

    def __init__(self, w_plus: torch.Tensor, slots: int | None = None, *kept: Styles) -> None:
        self.w_plus = w_plus
        self._free = w_plus.shape[1] if slots is None else slots
        self._kept = kept
        self._made: dict[Hashable, Any] = {}

    def w(self, slot: int) -> torch.Tensor:
        """The slot's w ``[B, w_dim]``."""
        w = self.w_plus[:, slot]
        return w if slot < self._free else w.detach()

    def of(self, layer: Hashable, slot: int, make: Callable[[torch.Tensor], T]) -> T:
        """What ``make`` gives for a layer from the w of its slot: a tensor or a tuple of tensors, ``[B, ...]`` each."""
        if layer not in self._made:
            if slot >= self._free and self._kept:
                self._made[layer] = _joined([kept.of(layer, slot, make) for kept in self._kept])
            else:
                self._made[layer] = make(self.w(slot))
        return cast(T, self._made[layer])


def _joined(parts: Sequence[Any]) -> Any:
    if len(parts) == 1:
        return parts[0]
    if isinstance(parts[0], tuple):
        return tuple(map(torch.cat, zip(*parts, strict=True)))
    return torch.cat(list(parts))
