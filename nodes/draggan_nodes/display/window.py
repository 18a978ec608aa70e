"""The window's picture: the newest frame with points and mask, and a status bar below it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from pydantic import Field

from draggan_nodes.display.draw import bar_height, overlay, shrink, status_bar, status_text
from draggan_nodes.display.trail import Trail
from draggan_runtime.display_probe import probe, window_open
from draggan_runtime.errors import UserError
from draggan_runtime.messages import Frame, Goal, Mask, Progress, View
from draggan_runtime.node import Node, NodeParams, Turn, event, latched
from draggan_runtime.pictures import Pixels, pixels

FLAGS = cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL
HINT = (
    "click a handle, then its target    space: start, stop    backspace: last point    r: clear    "
    "n: new face    s: save    q: quit"
)
_MARGIN = 80  # px of the screen left to panels and the window's frame


class WindowParams(NodeParams):
    """Which window, and how large and how often it is drawn."""

    window: str = Field("draggan", min_length=1, description="name of the window; the capture node's is the same")
    max_side: int = Field(1024, ge=128, le=4096, description="longest side of the shown picture, px")
    rate: float = Field(10.0, gt=0, le=60, description="most redraws per second while dragging")
    idle_rate: float = Field(30.0, gt=0, le=60, description="most redraws per second otherwise")
    hint: str = Field(HINT, description="second line of the status bar")
    own_events: bool = Field(False, description="no capture node reads this window's events: read them away here")


@dataclass
class WindowState:
    """What is to be shown and what is on the screen."""

    frame: Frame | None = None
    small: Pixels | None = None
    scale: float = 1.0
    trail: Trail = field(default_factory=Trail)
    old_progress: Progress | None = None
    view: tuple[float, tuple[int, int]] | None = None
    drawn: tuple[Any, ...] = ()
    drawn_at: float = 0.0


class WindowDisplay(Node):
    """Shows a session in an OpenCV window, and tells how the picture lies in it (:class:`View`).

    The picture is the upper part of what the window shows, ``scale`` times the full output; the status bar
    lies below it. Everything of the window happens in configure, poll and cleanup, which the runtime calls
    in the main thread. It draws only when something changed. A window the user has closed stays closed.
    """

    Params = WindowParams
    State = WindowState
    inputs = {
        "frame": event(Frame),
        "goal": latched(Goal, optional=True),
        "preview": latched(Goal, optional=True),
        "mask": latched(Mask, optional=True),
        "progress": latched(Progress, optional=True),
    }
    outputs = {"view": View}
    fixed = frozenset({"window"})
    polls = True

    @classmethod
    def prepare(cls, params: Any) -> None:
        """Raises UserError if there is no display to open a window on."""
        if (reason := probe().reason) is not None:
            raise UserError(
                f"no window can open: {reason}; log in to a desktop (ssh -X), or edit without a window: draggan drag"
            )

    def configure(self) -> None:
        self.prepare(self.params)
        self._screen = probe().screen or (1280, 900)
        self._sized = False
        cv2.namedWindow(self.params.window, FLAGS)

    def cleanup(self) -> None:
        if window_open(self.params.window):
            cv2.destroyWindow(self.params.window)
            cv2.pollKey()  # lets the window go now

    def snapshot(self, state: Any) -> dict[str, Any]:
        """Nothing: the picture comes again."""
        return {}

    def restore(self, data: Mapping[str, Any]) -> WindowState:
        return WindowState()

    def step(self, turns: Sequence[Turn]) -> None:
        for turn in turns:
            state: WindowState = turn.state
            frame: Frame = turn["frame"]
            if state.frame is not None and frame.step == 0 < state.frame.step:  # a new latent
                state.trail.clear()
                state.old_progress = turn.get("progress")
            state.frame, state.small = frame, None

    def poll(self, turn: Turn) -> None:
        state: WindowState = turn.state
        progress: Progress | None = turn.get("progress")
        if progress is state.old_progress:
            progress = None
        if progress is not None:
            state.trail.add(progress)
        now = time.monotonic()
        shown = (state.frame, turn.get("goal"), turn.get("preview"), turn.get("mask"), progress)
        dragging = progress is not None and progress.stopped is None
        rate = self.params.rate if dragging else self.params.idle_rate
        changed = len(shown) != len(state.drawn) or any(a is not b for a, b in zip(shown, state.drawn, strict=True))
        if changed and now - state.drawn_at >= 1 / rate and window_open(self.params.window):
            self._draw(turn, progress)
            state.drawn, state.drawn_at = shown, now
        if self.params.own_events:
            cv2.pollKey()

    def _draw(self, turn: Turn, progress: Progress | None) -> None:
        state: WindowState = turn.state
        if state.frame is None:
            canvas = self._blank()
        else:
            if state.small is None:
                image = pixels(state.frame.image)
                state.scale = self._scale(image.shape[1], image.shape[0])
                state.small = shrink(image, state.scale)
                self._tell_view(turn, (image.shape[1], image.shape[0]))
            canvas = self._canvas(turn, state.small, progress)
        if not self._sized:
            cv2.resizeWindow(self.params.window, canvas.shape[1], canvas.shape[0])
            self._sized = state.frame is not None
        cv2.imshow(self.params.window, cv2.cvtColor(canvas, cv2.COLOR_RGB2BGR))

    def _canvas(self, turn: Turn, image: Pixels, progress: Progress | None) -> Pixels:
        state: WindowState = turn.state
        goal = turn.get("goal")
        handles = state.trail.at(state.frame.step if state.frame else 0)  # those of the shown picture
        drawn = overlay(image, goal, handles, turn.get("mask"), preview=turn.get("preview"), scale=state.scale)
        bar = status_bar(image.shape[1], status_text(progress, goal), self.params.hint)
        return np.concatenate([drawn, bar])

    def _blank(self) -> Pixels:
        width = min(self.params.max_side, self._screen[0] - _MARGIN, self._screen[1] - _MARGIN)
        bar = status_bar(width, "preparing the first picture", self.params.hint)
        return np.concatenate([np.full((width, width, 3), 16, np.uint8), bar])

    def _scale(self, width: int, height: int) -> float:
        """The largest scale up to 1 at which picture and bar fit, such that the width is whole px."""
        room = self._screen[0] - _MARGIN, self._screen[1] - _MARGIN - bar_height(width)
        side: int = self.params.max_side
        scale = min(1.0, side / max(width, height), room[0] / width, room[1] / height)
        return max(64, round(width * scale)) / width

    def _tell_view(self, turn: Turn, size: tuple[int, int]) -> None:
        state: WindowState = turn.state
        if state.view != (state.scale, size):
            state.view = (state.scale, size)
            turn.emit("view", View(session=turn.session, step=turn.step, scale=state.scale, size=size))
