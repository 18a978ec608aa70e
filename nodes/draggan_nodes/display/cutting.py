"""The photo of which a piece is being chosen, as the window shows it."""

from __future__ import annotations

from typing import Any

from draggan_nodes.display.draw import draw_box, scaled
from draggan_nodes.display.mask import dimmed
from draggan_runtime.pictures import Pixels, pixels


class Cutting:
    """A photo with a box over it; what does not change from one drawing to the next is kept."""

    def __init__(self) -> None:
        self._photo: Any = None
        self._bright: Pixels | None = None
        self._dim: Pixels | None = None

    def picture(self, photo: Any, box: tuple[float, float, float, float], size: tuple[int, int]) -> Pixels:
        """``photo``, uint8 RGB ``[H, W, 3]``, at ``size`` (W, H), dim outside of ``box``, whose edges are px of it."""
        if self._bright is None or self._dim is None or photo is not self._photo or size != self._bright.shape[1::-1]:
            self._photo, self._bright = photo, scaled(pixels(photo), size)
            self._dim = dimmed(self._bright)
        across, down = size[0] / photo.shape[1], size[1] / photo.shape[0]
        left, top, right, bottom = (round(e * s) for e, s in zip(box, (across, down, across, down), strict=True))
        drawn = self._dim.copy()
        drawn[top:bottom, left:right] = self._bright[top:bottom, left:right]
        draw_box(drawn, (left, top, right, bottom))
        return drawn
