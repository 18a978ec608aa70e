"""The hand: mouse and keyboard of the OpenCV window that a display node has opened."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from pydantic import Field

from draggan_nodes.capture.edit import EditPoint, inside, point_pairs
from draggan_nodes.capture.points import Points
from draggan_runtime.display_probe import window_open
from draggan_runtime.errors import UserError
from draggan_runtime.messages import XY, Command, Goal, LatentRequest, Mask, Progress, View
from draggan_runtime.node import Node, NodeParams, Turn, latched
from draggan_runtime.pictures import load_mask

_ESCAPE, _BACKSPACE, _DELETE = 27, 8, 127
_SAME_SPOT = 3.0  # window px: two clicks this close are a double click, not handle and target
_PATIENCE = 15.0  # s until a missing window is reported


class WindowCaptureParams(NodeParams):
    """Which window, and what the session begins with."""

    window: str = Field("draggan", min_length=1, description="name of the window; the display node's is the same")
    seed: int | None = Field(0, ge=0, lt=2**32, description="the first picture; null: the one the session has")
    truncation_psi: float = Field(0.7, ge=-2, le=2, description="0: the mean face, 1: all variety")
    mask: str = Field("", description="a painted mask, white where the picture may move; empty: none")
    points: tuple[EditPoint, ...] = Field((), description="points to begin with: [{handle: [x, y], target: [x, y]}]")
    size: tuple[int, int] | None = Field(None, description="W, H of the full output, to check points and mask by")
    save: str = Field("", description="where s saves the session; empty: its own file")


@dataclass
class WindowCaptureState:
    """The points, the picture's seed, and what the drag is doing as far as this node has heard."""

    points: Points = field(default_factory=Points)
    seed: int | None = None
    begun: bool = False
    wants_picture: bool = True
    dragging: bool = False
    stop_sent: bool = False
    next_seed: int | None = None  # a new picture, as soon as the drag has stopped
    heard: Progress | None = None
    told: tuple[Any, ...] = ((), ())  # pairs and preview as last emitted
    finished: bool = False


class WindowCapture(Node):
    """Turns clicks and keys into goals and commands.

    A left click sets a handle and the next its target (or press on one and let go on the other); a right
    click takes a waiting handle back. Space starts and stops, backspace removes the last point, ``r`` all,
    ``n`` asks for a new picture, ``s`` saves, ``q``, Escape and closing the window quit. ``goal`` holds
    complete pairs only; the pair under the hand is on ``preview``. When a drag ends, the goal's handles
    become those it has tracked, so that the next one goes on from there. Clicks count once a :class:`View`
    says where the picture lies.
    """

    Params = WindowCaptureParams
    State = WindowCaptureState
    inputs = {"progress": latched(Progress, optional=True), "view": latched(View, optional=True)}
    outputs = {"request": LatentRequest, "goal": Goal, "preview": Goal, "mask": Mask, "command": Command}
    fixed = frozenset({"window", "seed", "truncation_psi", "mask", "points", "size"})
    polls = True

    @classmethod
    def prepare(cls, params: Any) -> None:
        """Reads the mask and checks the points. Raises UserError before anything starts."""
        point_pairs(params.points, 0, params.size)
        if params.mask:
            load_mask(params.mask, params.size)

    def configure(self) -> None:
        self.prepare(self.params)
        self._mouse: deque[tuple[int, int, int]] = deque(maxlen=4096)
        self._attached = False
        self._since = time.monotonic()

    def snapshot(self, state: Any) -> dict[str, Any]:
        """Points and seed; what the hand was just doing is not kept."""
        return {"seed": state.seed, **state.points.plain()}

    def restore(self, data: Mapping[str, Any]) -> WindowCaptureState:
        return WindowCaptureState(Points.from_plain(data), data["seed"], wants_picture=False)

    def poll(self, turn: Turn) -> None:
        state: WindowCaptureState = turn.state
        if state.finished:
            return
        if not state.begun:
            self._begin(turn)
        self._hear(turn)
        if self._window(turn):
            for key in self._keys():
                self._key(turn, key)
            while self._mouse:
                self._point(turn, *self._mouse.popleft())
        self._tell(turn)

    # -- what comes in -----------------------------------------------------------------------------------------

    def _begin(self, turn: Turn) -> None:
        state: WindowCaptureState = turn.state
        state.begun = True
        if self.params.mask:
            mask = load_mask(self.params.mask, self.params.size)
            turn.emit("mask", Mask(session=turn.session, step=turn.step, movable=mask))
        if state.wants_picture:
            state.points.pairs = point_pairs(self.params.points)
            state.points.next_id = len(state.points.pairs)
            if self.params.seed is not None:
                self._request(turn, self.params.seed)

    def _hear(self, turn: Turn) -> None:
        state: WindowCaptureState = turn.state
        progress: Progress | None = turn.get("progress")
        if progress is None or progress is state.heard:
            return
        state.heard = progress
        state.dragging = progress.stopped is None
        if state.dragging:
            return
        state.stop_sent = False
        state.points.handles_now(progress.handles)
        if state.next_seed is not None:
            self._new_picture(turn, state.next_seed)

    def _window(self, turn: Turn) -> bool:
        """True while the window is open. Attaches to it when it opens; quits when it has been closed."""
        name = self.params.window
        if window_open(name):
            if not self._attached:
                cv2.setMouseCallback(name, lambda kind, x, y, flags, _: self._mouse.append((kind, x, y)))
                self._attached = True
                self._title(turn.state)
            return True
        if self._attached:
            self._quit(turn)
        elif time.monotonic() - self._since > _PATIENCE:
            self._since = float("inf")
            raise UserError(f"there is no window '{name}': a display/window node with the same 'window' must open it")
        return False

    def _keys(self) -> list[str]:
        """The keys pressed since the last call; also lets OpenCV work off the window's events."""
        keys = []
        while (code := cv2.pollKey()) != -1:
            code &= 0xFF
            keys.append({_BACKSPACE: "backspace", _DELETE: "backspace", _ESCAPE: "q"}.get(code, chr(code).lower()))
        return keys

    # -- what it means -----------------------------------------------------------------------------------------

    def _point(self, turn: Turn, kind: int, x: int, y: int) -> None:
        state: WindowCaptureState = turn.state
        view: View | None = turn.get("view")
        xy = on_picture(view, x, y)
        if view is None or xy is None:
            return
        if kind in (cv2.EVENT_LBUTTONDOWN, cv2.EVENT_LBUTTONDBLCLK):  # Qt gives quick second clicks as the latter
            state.points.click(xy, _SAME_SPOT / view.scale)
        elif kind == cv2.EVENT_LBUTTONUP:
            if state.points.pending is not None:
                state.points.click(xy, 3 * _SAME_SPOT / view.scale)
        elif kind == cv2.EVENT_MOUSEMOVE:
            state.points.point_at(xy)
        elif kind == cv2.EVENT_RBUTTONDOWN and state.points.pending is not None:
            state.points.take_back()

    def _key(self, turn: Turn, key: str) -> None:
        state: WindowCaptureState = turn.state
        if key == " ":
            self._start_or_stop(turn)
        elif key == "backspace":
            state.points.take_back()
        elif key == "r":
            state.points.clear()
        elif key == "n":
            self._another(turn)
        elif key == "s":
            self._command(turn, "save", self.params.save)
        elif key == "q":
            self._quit(turn)

    def _start_or_stop(self, turn: Turn) -> None:
        state: WindowCaptureState = turn.state
        if state.dragging and not state.stop_sent:
            state.stop_sent = True
            self._command(turn, "stop")
        elif state.points.pairs:  # also when a stop went unanswered: then nothing was running
            self._tell(turn)
            state.dragging, state.stop_sent = True, False
            self._command(turn, "start")

    def _another(self, turn: Turn) -> None:
        state: WindowCaptureState = turn.state
        seed = int(np.random.default_rng().integers(100_000))
        if state.dragging and state.next_seed is None:
            state.next_seed, state.stop_sent = seed, True
            self._command(turn, "stop")
        else:
            self._new_picture(turn, seed)

    def _new_picture(self, turn: Turn, seed: int) -> None:
        """Points are places on a picture, so they go with it."""
        state: WindowCaptureState = turn.state
        state.points.clear()
        state.next_seed, state.dragging, state.stop_sent = None, False, False
        self._tell(turn)
        self._request(turn, seed)
        self._title(state)

    def _quit(self, turn: Turn) -> None:
        turn.state.finished = True
        self._command(turn, "quit")

    # -- what goes out -----------------------------------------------------------------------------------------

    def _request(self, turn: Turn, seed: int) -> None:
        turn.state.seed = seed
        psi = self.params.truncation_psi
        turn.emit("request", LatentRequest(session=turn.session, step=turn.step, seed=seed, truncation_psi=psi))

    def _command(self, turn: Turn, verb: Any, argument: str = "") -> None:
        turn.emit("command", Command(session=turn.session, step=turn.step, verb=verb, argument=argument))

    def _tell(self, turn: Turn) -> None:
        """Emit the goal and the preview if they have changed."""
        state: WindowCaptureState = turn.state
        now = (state.points.pairs, state.points.preview)
        for port, points, told in zip(("goal", "preview"), now, state.told, strict=True):
            if points != told:
                turn.emit(port, Goal(session=turn.session, step=turn.step, points=points))
        state.told = now

    def _title(self, state: WindowCaptureState) -> None:
        if self._attached and state.seed is not None:
            cv2.setWindowTitle(self.params.window, f"{self.params.window} - seed {state.seed}")


def on_picture(view: View | None, x: float, y: float) -> XY | None:
    """The full-output px under pixel (x, y) of what the window shows, or None beside the picture."""
    if view is None:
        return None
    xy = (x + 0.5) / view.scale - 0.5, (y + 0.5) / view.scale - 0.5
    return xy if inside(xy, view.size) else None
