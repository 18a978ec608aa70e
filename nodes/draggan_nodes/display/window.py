"""The window's picture: the newest frame with points, mask and brush, a status bar, notices, the help."""

from __future__ import annotations

import contextlib
import ctypes
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
from pydantic import Field

from draggan_nodes.display.cutting import Cutting
from draggan_nodes.display.draw import draw_brush, draw_pairs
from draggan_nodes.display.layers import Layers
from draggan_nodes.display.layout import Layout, first_window, fit
from draggan_nodes.display.notices import Notices, ShownNotice
from draggan_nodes.display.panel import Bar, blank, draw_bar, draw_help, draw_middle, draw_notices
from draggan_nodes.display.status import figures, headline, search_figures, search_headline, searching, unsure
from draggan_nodes.display.story import Story
from draggan_runtime.display_probe import probe, window_open
from draggan_runtime.errors import UserError
from draggan_runtime.messages import (
    XY,
    Frame,
    Goal,
    Hand,
    Handles,
    Inverting,
    LatentRequest,
    Mask,
    Message,
    Notice,
    PointPair,
    Progress,
    Recording,
    View,
)
from draggan_runtime.node import Node, NodeParams, Turn, event, latched
from draggan_runtime.pictures import Pixels

# The window's size is the picture's to choose: the layout keeps its proportions.
FLAGS = cv2.WINDOW_NORMAL | cv2.WINDOW_FREERATIO | cv2.WINDOW_GUI_NORMAL
HINT = "click a handle, then its target    space: start, stop"

_TINY = 96  # px
_FIRST = "preparing the first picture"


class WindowParams(NodeParams):
    """Which window, and how large and how often it is drawn."""

    window: str = Field("draggan", min_length=1, description="name of the window; the capture node's is the same")
    max_side: int = Field(2048, ge=128, le=4096, description="longest side of the picture when the window opens, px")
    rate: float = Field(30.0, gt=0, le=60, description="most redraws per second for pictures and the hand")
    figures_rate: float = Field(4.0, gt=0, le=60, description="most redraws per second for a drag's figures alone")
    share: float = Field(0.2, gt=0, le=1, description="most of this process's time spent drawing while dragging")
    notice_seconds: float = Field(4.0, gt=0, description="how long a notice is shown besides the time to read it")
    own_events: bool = Field(False, description="no capture node reads this window's events: read them away here")


@dataclass
class Shown:
    """Everything a drawing is made of; equal ones look the same."""

    frame: Frame | None = None
    goal: Goal | None = None
    hand: Hand | None = None
    mask: Mask | None = None
    progress: Progress | None = None
    inverting: Inverting | None = None
    waiting: bool = False
    recording: bool = False
    notices: tuple[ShownNotice, ...] = ()
    area: tuple[int, int] = (0, 0)

    @property
    def box(self) -> tuple[float, float, float, float] | None:
        """Of the piece of a photo that is being chosen; the photo is then shown in the picture's place."""
        return self.hand.box if self.hand is not None else None

    @property
    def image(self) -> Any:
        """The picture or photo that is shown, uint8 RGB ``[H, W, 3]``; None before the first."""
        if self.hand is not None and self.box is not None:
            return self.hand.photo
        return self.frame.image if self.frame is not None else None

    def same(self, other: Shown | None) -> bool:
        """True if both look the same: messages are compared by identity, they are not changed once sent."""
        if other is None:
            return False
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return all(a is b or (not isinstance(a, Message) and a == b) for a, b in pairs)


@dataclass
class WindowState:
    """What is to be shown and what is on the screen."""

    story: Story = field(default_factory=Story)
    layers: Layers = field(default_factory=Layers)
    cutting: Cutting = field(default_factory=Cutting)
    notices: Notices = field(default_factory=Notices)
    view: View | None = None
    handles: Handles | None = None
    drawn: Shown | None = None
    drawn_at: float = 0.0
    cost: float = 0.0


class WindowDisplay(Node):
    """Shows a session in an OpenCV window, and tells how the picture lies in it (``view``) and where handles are
    drawn (``shown``).

    What the window shows is drawn px by px, so text stays readable when the user resizes it. Everything of the
    window happens in configure, poll and cleanup, which the runtime calls in the main thread. It draws only when
    something changed, and while dragging at most a ``share`` of the time. A window the user has closed stays closed.
    """

    Params = WindowParams
    State = WindowState
    inputs = {
        "frame": event(Frame),
        "notice": event(Notice, optional=True),
        "goal": latched(Goal, optional=True),
        "hand": latched(Hand, optional=True),
        "mask": latched(Mask, optional=True),
        "progress": latched(Progress, optional=True),
        "inverting": latched(Inverting, optional=True),
        "request": latched(LatentRequest, optional=True),
        "recording": latched(Recording, optional=True),
    }
    outputs = {"view": View, "shown": Handles}
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
        self._asked = (0, 0)
        self._layout: Layout | None = None
        # With XInput 2, Qt would hear the wheel even where the capture has taken it, and zoom.
        os.environ.setdefault("QT_XCB_NO_XI2_MOUSE", "1")
        _open(self.params.window)

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
            if (notice := turn.get("notice")) is not None:
                state.notices.add(notice, time.monotonic())
            if (frame := turn.get("frame")) is not None:
                state.story.take_frame(frame, turn.get("progress"))

    def poll(self, turn: Turn) -> None:
        if window_open(self.params.window):
            turn.state.story.listen(turn.get("goal"), turn.get("progress"), turn.get("request"))
            self._show(turn)
        if self.params.own_events:
            cv2.pollKey()

    def _show(self, turn: Turn) -> None:
        state: WindowState = turn.state
        now = time.monotonic()
        shown = self._shown(turn, now)
        if shown.same(state.drawn) or now - state.drawn_at < self._pause(state, shown):
            return
        self._draw(turn, shown)
        state.drawn, state.drawn_at = shown, now
        state.cost += 0.3 * (time.monotonic() - now - state.cost)

    def _shown(self, turn: Turn, now: float) -> Shown:
        state: WindowState = turn.state
        recording: Recording | None = turn.get("recording")
        return Shown(
            frame=state.story.frame,
            goal=turn.get("goal"),
            hand=turn.get("hand"),
            mask=turn.get("mask"),
            progress=state.story.progress,
            inverting=turn.get("inverting"),
            waiting=state.story.waiting,
            recording=recording is not None and bool(recording.path),
            notices=state.notices.at(now, self.params.notice_seconds),
            area=self._area(),
        )

    def _area(self) -> tuple[int, int]:
        """(W, H) px of the window as it is; (0, 0) if it does not say, or is too small to show anything."""
        _, _, width, height = cv2.getWindowImageRect(self.params.window)
        return (width, height) if width >= _TINY and height >= _TINY else (0, 0)

    def _pause(self, state: WindowState, shown: Shown) -> float:
        """s from the drawing before to this one."""
        dragging = shown.progress is not None and shown.progress.stopped is None
        if not (dragging or searching(shown.inverting)) or state.drawn is None:
            return 1 / float(self.params.rate)
        before = state.drawn
        figures = shown.frame is before.frame and shown.hand is before.hand and shown.area == before.area
        rate = self.params.figures_rate if figures else self.params.rate
        return float(max(1 / rate, state.cost / self.params.share))

    def _draw(self, turn: Turn, shown: Shown) -> None:
        image = shown.image
        picture = (1024, 1024) if image is None else (image.shape[1], image.shape[0])
        if not self._sized and shown.box is None:
            self._asked = first_window(picture, self._screen, self.params.max_side)
            cv2.resizeWindow(self.params.window, *self._asked)
            self._sized = shown.frame is not None
            layout = fit(picture, self._asked)
        else:
            layout = fit(picture, shown.area if min(shown.area) else self._asked)
        covered = image is not None and layout.size == (layout.window[0], layout.bar)
        if not (covered and layout == self._layout):
            self._layout, self._canvas = layout, blank(*layout.window)
        canvas = self._canvas
        if image is not None:
            (x, y), (width, height) = layout.origin, layout.size
            self._draw_picture(turn, shown, layout, canvas[y : y + height, x : x + width])
            self._tell(turn, shown, layout, picture)
        bar = _bar(turn.state.story, shown)
        above = canvas[: layout.bar]
        if image is None:
            draw_middle(above, bar.headline, layout.text)
        if shown.hand is not None and shown.hand.help:
            draw_help(above, shown.hand.help, layout.text)
        draw_notices(above, shown.notices, layout.text)
        draw_bar(canvas[layout.bar :], bar, layout.text)
        cv2.imshow(self.params.window, cv2.cvtColor(canvas, cv2.COLOR_RGB2BGR))

    def _draw_picture(self, turn: Turn, shown: Shown, layout: Layout, into: Pixels) -> None:
        """The picture with points and brush, or the photo with a box."""
        state: WindowState = turn.state
        if shown.box is not None:
            into[:] = state.cutting.picture(shown.image, shown.box, layout.size)
            return
        assert shown.frame is not None
        into[:] = state.layers.picture(shown.frame, shown.mask, shown.hand, layout.size)
        scale = layout.size[0] / shown.frame.image.shape[1]
        handles = _tracked(state.story, shown)
        draw_pairs(into, _pairs(shown), handles, scale=scale, unsure=unsure(shown.progress) & handles.keys())
        hand = shown.hand
        if hand is not None and hand.brush is not None and hand.pointer is not None:
            draw_brush(into, hand.pointer, hand.brush, scale)

    def _tell(self, turn: Turn, shown: Shown, layout: Layout, picture: tuple[int, int]) -> None:
        """How the picture lies, and where handles are drawn, if that has changed."""
        state: WindowState = turn.state
        scale, photo = layout.size[0] / picture[0], shown.box is not None
        view = View(session=turn.session, scale=scale, size=picture, origin=layout.origin, photo=photo)
        if view != state.view:
            state.view = view
            turn.emit("view", view)
        if photo:
            return
        positions = _tracked(state.story, shown)
        if state.handles is None or positions != state.handles.positions:
            state.handles = Handles(
                session=turn.session, step=turn.step, size=picture, positions=positions, confidence={}
            )
            turn.emit("shown", state.handles)


def _open(name: str) -> None:
    """Open a window that hears all its events.

    OpenCV's wheel brings a libX11-xcb made for an older libX11. With a newer one its XSetEventQueueOwner misses, and
    Xlib takes events away that Qt waits for: on a busy machine the window stayed black. The system's own, loaded
    before Qt, is found first.
    """
    with contextlib.suppress(OSError):  # not there: no X server either, or one library for all
        ctypes.CDLL("libX11-xcb.so.1", mode=ctypes.RTLD_GLOBAL)
    cv2.namedWindow(name, FLAGS)


def _bar(story: Story, shown: Shown) -> Bar:
    """The status bar's words."""
    hand, progress, search = shown.hand, shown.progress, shown.inverting
    doing = hand.doing if hand is not None else ""
    hint = hand.hint if hand is not None else HINT
    if hand is not None and hand.typed is not None:
        return Bar(f"open {hand.typed}_", "    ".join(hand.choices), hint, recording=shown.recording, typed=True)
    if shown.box is not None:
        left, top, right, bottom = shown.box
        size = f"{right - left:.0f} x {bottom - top:.0f} px"
        return Bar("which piece of the photo?", size, hint, recording=shown.recording)
    if search is not None and searching(search):
        done = search.done / max(1, search.of)
        return Bar(search_headline(search), search_figures(search), hint, recording=shown.recording, done=done)
    if shown.frame is None:
        given_up = search is not None and not search.of
        doing = "no picture: b cuts one out, o opens another, n brings a new face" if given_up else _FIRST
    elif shown.waiting:
        doing = "preparing the picture"
    return Bar(
        headline=doing or headline(progress, shown.goal, drawing=story.late),
        figures=figures(progress, hand.step_size if hand is not None else None),
        hint=hint,
        problem=not doing and progress is not None and progress.stopped in ("failed", "lost", "out_of_reach"),
        recording=shown.recording,
    )


def _pairs(shown: Shown) -> list[PointPair]:
    """The goal's pairs, and those in the hand in their place or besides."""
    held = {p.id: p for p in shown.hand.points} if shown.hand is not None else {}
    goal = shown.goal.points if shown.goal is not None else ()
    return [held.pop(p.id, p) for p in goal] + list(held.values())


def _tracked(story: Story, shown: Shown) -> dict[int, XY]:
    """Handles where the tracker had them in the picture; not one that the hand holds elsewhere."""
    handles = dict(story.handles)
    put = {p.id: p.handle for p in shown.goal.points} if shown.goal is not None else {}
    for pair in shown.hand.points if shown.hand is not None else ():
        if put.get(pair.id) != pair.handle:
            handles.pop(pair.id, None)
    return handles
