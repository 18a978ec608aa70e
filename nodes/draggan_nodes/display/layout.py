"""Where the picture and the status bar lie in a window of any size."""

from __future__ import annotations

from dataclasses import dataclass

from draggan_nodes.display.panel import bar_height, text_size

_MARGIN = 80  # px of the screen left to panels and the window's frame
_NARROWEST = 480  # px of a window that has its own choice
_LARGEST_SCALE = 3.0  # to which a window of its own choice enlarges a small picture


@dataclass(frozen=True)
class Layout:
    """``window`` (W, H) px; the picture is ``size`` (W, H) px from ``origin`` on; the bar is the rest below."""

    window: tuple[int, int]
    origin: tuple[int, int]
    size: tuple[int, int]
    text: int

    @property
    def bar(self) -> int:
        """The first row of the status bar."""
        return self.window[1] - bar_height(self.text)


def fit(picture: tuple[int, int], window: tuple[int, int]) -> Layout:
    """The picture (W, H) as large as the window allows, in its middle; the bar over its whole width."""
    text = text_size(min(window))
    room = window[1] - bar_height(text)
    size = _scaled(picture, min(window[0] / picture[0], room / picture[1]))
    return Layout(window, ((window[0] - size[0]) // 2, (room - size[1]) // 2), size, text)


def first_window(picture: tuple[int, int], screen: tuple[int, int], max_side: int) -> tuple[int, int]:
    """The size (W, H) of a window for a picture (W, H) that fits the screen; its longest side at most ``max_side``."""
    room = screen[0] - _MARGIN, screen[1] - _MARGIN
    bar = bar_height(text_size(min(room)))  # at least what it will be
    scale = min(max_side / max(picture), _LARGEST_SCALE, room[0] / picture[0], (room[1] - bar) / picture[1])
    width, height = _scaled(picture, scale)
    window = max(width, min(_NARROWEST, room[0])), height + bar
    # The text follows from the window's shorter side, and the bar from the text.
    return window[0], height + bar_height(text_size(min(window)))


def _scaled(picture: tuple[int, int], scale: float) -> tuple[int, int]:
    """The picture at most ``scale`` times as large, such that its width is whole."""
    width = max(1, int(picture[0] * scale + 1e-6))
    return width, max(1, round(picture[1] * width / picture[0]))
