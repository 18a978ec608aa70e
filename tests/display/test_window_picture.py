"""When the window draws, what it tells, and what happens where none can open."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from typing import Any

import cv2
import draggan_nodes.display.window as module
import numpy as np
import pytest
from draggan_nodes.display.draw import HANDLE
from draggan_nodes.display.panel import GOOD
from draggan_nodes.display.status import search_headline
from draggan_nodes.display.window import WindowDisplay
from xvfb import virtual_screen

from draggan_runtime.display_probe import Probe, display_reachable
from draggan_runtime.messages import (
    Frame,
    Goal,
    Hand,
    Inverting,
    LatentRequest,
    Mask,
    Notice,
    PointPair,
    Progress,
    Recording,
)
from draggan_runtime.node import Context, Turn

CONFIGURE = """
from draggan_nodes.display.window import WindowDisplay
from draggan_runtime.errors import UserError
from draggan_runtime.node import Context
node = WindowDisplay(WindowDisplay.Params(), Context("display"))
try:
    node.configure()
except UserError as error:
    print("refused:", error)
else:
    node.cleanup()
    print("opened")
"""


def run(code: str, display: str | None) -> str:
    env = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    if display is not None:
        env["DISPLAY"] = display
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(("display", "reason"), [(None, "DISPLAY is not set"), (":4242", "':4242' cannot be reached")])
def test_without_a_display_the_start_is_refused_and_the_process_lives(display: str | None, reason: str) -> None:
    said = run(CONFIGURE, display)
    assert said.startswith("refused: no window can open")
    assert reason in said
    assert "draggan drag" in said
    assert said.count("\n") == 1


def test_a_display_that_can_be_reached_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    assert display_reachable() is not None
    with virtual_screen((800, 600)) as screen:
        monkeypatch.setenv("DISPLAY", screen.display)
        assert display_reachable() is None
        assert module.probe().screen == (800, 600)
        assert run(CONFIGURE, screen.display) == "opened\n"


class Window:
    """A WindowDisplay whose OpenCV window is a list of what was shown, and a clock one can set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, screen: tuple[int, int] = (1280, 900), **params: Any) -> None:
        self.shown: list[np.ndarray] = []
        self.open = True
        self.now = 100.0
        self.area = (0, 0)
        self.view: Any = None
        monkeypatch.setattr(module, "probe", lambda: Probe(None, screen))
        monkeypatch.setattr(module, "window_open", lambda name: self.open)
        monkeypatch.setattr(module.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(cv2, "namedWindow", lambda *_: None)
        monkeypatch.setattr(cv2, "resizeWindow", lambda _, width, height: self.resize(width, height))
        monkeypatch.setattr(cv2, "getWindowImageRect", lambda _: (0, 0, *self.area))
        monkeypatch.setattr(cv2, "imshow", lambda _, image: self.shown.append(image[..., ::-1]))
        self.node = WindowDisplay(WindowDisplay.Params(**params), Context("display"))
        self.node.configure()
        self.state = self.node.new_state()
        self.latched: dict[str, Any] = {}

    def resize(self, width: int, height: int) -> None:
        self.area = (width, height)

    def frame(self, step: int, size: tuple[int, int] = (1024, 1024), preview: bool = False) -> None:
        image = np.full((size[1], size[0], 3), 128, np.uint8)
        self.event(frame=Frame(session="s", step=step, image=image, preview=preview))

    def event(self, **message: Any) -> None:
        self.node.step([Turn("s", 0, {**self.latched, **message}, self.state)])

    def poll(self, seconds: float = 1.0) -> dict[str, Any]:
        """What it tells, by port."""
        self.now += seconds
        turn = Turn("s", 0, dict(self.latched), self.state)
        self.node.poll(turn)
        told = dict(turn.emitted)
        self.view = told.get("view", self.view)
        return told

    @property
    def drawn(self) -> Any:
        """What it has drawn last."""
        return self.state.drawn

    def polls(self, seconds: float = 1.0) -> int:
        """How often it draws in a time, polled often."""
        before = len(self.shown)
        for _ in range(round(seconds * 200)):
            self.poll(0.005)
        return len(self.shown) - before

    def progress(self, step: int, stopped: Any = None) -> None:
        self.latched["progress"] = Progress(
            session="s", step=step, drag_steps=step, handles={0: (100.0 + step, 100.0)}, distances={0: 50.0 - step},
            confidence={}, loss=0.1, w_plus=np.zeros((1, 1)), seconds=1.0, stopped=stopped,
        )  # fmt: skip

    def hand(self, **what: Any) -> None:
        self.latched["hand"] = Hand(session="s", **what)

    def handle(self) -> float:
        """x px of the full output of the red dot last shown."""
        columns = np.nonzero((self.shown[-1] == HANDLE).all(axis=2))[1]
        return float((columns.mean() - self.view.origin[0] + 0.5) / self.view.scale - 0.5)

    def picture(self) -> np.ndarray:
        """The part of what is shown last where the picture is."""
        x, y = self.view.origin
        width, height = (round(side * self.view.scale) for side in self.view.size)
        return self.shown[-1][y : y + height, x : x + width]


GOAL = Goal(session="s", points=(PointPair(0, (100.0, 100.0), (150.0, 100.0)),))


def goal(handle: float) -> Goal:
    return Goal(session="s", points=(PointPair(0, (handle, 100.0), (150.0, 100.0)),))


@pytest.fixture
def window(monkeypatch: pytest.MonkeyPatch) -> Window:
    return Window(monkeypatch)


def test_a_search_for_a_photo_s_latent_shows_how_far_it_is(window: Window) -> None:
    window.frame(0)
    window.poll()
    assert not (window.shown[-1] == GOOD).all(axis=2).any()
    search = Inverting(session="s", done=20, of=80, distance=0.25, by="pixels")
    window.latched["inverting"] = search
    window.poll()
    bar = (window.shown[-1] == GOOD).all(axis=2)
    assert bar.any(axis=0).sum() == pytest.approx(bar.shape[1] / 4, abs=2)
    assert search_headline(search) == "photo: step 20 of 80"
    window.latched["inverting"] = replace(search, done=80, finished=True)
    window.poll()
    assert not (window.shown[-1] == GOOD).all(axis=2).any()


def test_of_a_name_that_is_typed_the_end_is_seen(window: Window) -> None:
    window.frame(0)
    for typed in ("/a/folder/" * 30 + "m", "/a/folder/" * 30 + "w", "x" + "/a/folder/" * 30 + "w"):
        window.hand(typed=typed, choices=("me.jpg", "my.jpg"))
        window.poll()
    bar = [shot[window.state.drawn.area[1] - 60 :] for shot in window.shown[-3:]]
    assert (bar[0] != bar[1]).any()
    assert (bar[1] == bar[2]).all()


@pytest.mark.parametrize("pictures", [0, 1])
def test_while_a_piece_of_a_photo_is_chosen_the_photo_is_shown_dim_outside_of_the_box(
    window: Window, pictures: int
) -> None:
    for _ in range(pictures):
        window.frame(0)
    window.poll()
    photo = np.full((300, 400, 3), (200, 150, 100), np.uint8)
    window.hand(photo=photo, box=(100.0, 50.0, 300.0, 250.0))
    window.poll()
    assert (window.view.photo, window.view.size) == (True, (400, 300))
    scale = window.view.scale
    seen = window.picture()[round(60 * scale), [round(x * scale) for x in (50, 150, 350)]]
    assert (seen[1] == (200, 150, 100)).all()
    assert (seen[[0, 2]] < 100).all()
    edge = window.picture()[round(150 * scale), round(100 * scale) - 1 : round(100 * scale) + 2]
    assert (edge == 255).all(axis=1).any()
    drawn = len(window.shown)
    window.hand(photo=photo, box=(0.0, 0.0, 300.0, 300.0))
    assert window.poll() == {}  # the photo lies where it was
    assert len(window.shown) == drawn + 1
    assert (window.picture()[round(60 * scale), round(50 * scale)] == (200, 150, 100)).all()
    window.hand()
    told = window.poll()
    if pictures:
        assert (told["view"].photo, told["view"].size) == (False, (1024, 1024))
        assert (window.picture() == 128).all()


def test_something_is_shown_before_the_first_picture(window: Window) -> None:
    assert window.poll() == {}
    assert len(window.shown) == 1


@pytest.mark.parametrize("screen", [(1280, 720), (1280, 900), (3840, 2160), (1080, 1920)])
@pytest.mark.parametrize("size", [(1024, 1024), (256, 256), (768, 512), (512, 1024)])
def test_picture_and_bar_fit_the_screen_and_the_view_says_how(
    monkeypatch: pytest.MonkeyPatch, screen: tuple[int, int], size: tuple[int, int]
) -> None:
    window = Window(monkeypatch, screen)
    window.frame(0, size)
    window.poll()
    height, width = window.shown[-1].shape[:2]
    assert width <= screen[0] - 60
    assert height <= screen[1] - 60
    assert (
        height > 0.85 * (screen[1] - 80)
        or width > 0.85 * (screen[0] - 80)
        or max(window.picture().shape) > 2040
        or window.view.scale == 3
    )
    assert window.view.size == size
    assert (window.picture() == 128).all()
    around = window.shown[-1].copy()
    x, y = window.view.origin
    around[y : y + window.picture().shape[0], x : x + window.picture().shape[1]] = 0
    assert not (around == 128).all(axis=2).any()
    window.frame(1, size)
    assert window.poll() == {}  # the same view is not told twice


def test_a_limit_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    limited = Window(monkeypatch, max_side=512)
    limited.frame(0)
    limited.poll()
    assert (limited.view.scale, limited.view.origin) == (0.5, (0, 0))
    assert limited.shown[-1].shape[1] == 512


def test_a_resized_window_is_filled_and_its_text_stays_as_large(window: Window) -> None:
    window.frame(0)
    window.poll()
    window.resize(1200, 500)
    assert window.poll()["view"].origin[0] > 100
    assert window.shown[-1].shape == (500, 1200, 3)
    assert window.picture().shape[0] == window.picture().shape[1] > 400
    window.resize(300, 800)
    window.poll()
    assert window.picture().shape[:2] == (300, 300)


def test_it_draws_only_when_something_changed(window: Window) -> None:
    window.frame(0)
    assert window.polls() == 2  # once the window has its size, again
    window.latched["goal"] = GOAL
    assert window.polls() == 1
    window.hand(pointer=(3.0, 3.0), brush=9.0)
    assert window.polls() == 1


def test_while_dragging_figures_alone_are_drawn_now_and_then_and_pictures_and_the_hand_at_once(window: Window) -> None:
    window.frame(0)
    window.latched["goal"] = GOAL
    window.polls(0.1)
    drawn = 0
    for step in range(100):
        window.progress(step)
        drawn += window.polls(0.01)
    assert 3 <= drawn <= 4
    drawn = 0
    for step in range(100):
        window.progress(step)
        window.hand(pointer=(float(step), 3.0), brush=9.0)
        drawn += window.polls(0.01)
    assert 25 <= drawn <= 31
    drawn = 0
    for step in range(100):
        window.progress(step)
        window.frame(step)
        drawn += window.polls(0.01)
    assert 25 <= drawn <= 31
    window.progress(100, "reached")
    window.poll(0.2)
    assert window.drawn.progress is window.latched["progress"]  # the last word is shown


def test_while_dragging_drawing_takes_a_share_of_the_time_only(monkeypatch: pytest.MonkeyPatch, window: Window) -> None:
    window.frame(0)
    window.latched["goal"] = GOAL
    window.polls(0.1)

    def slow(*_: Any) -> None:
        window.now += 0.1
        window.shown.append(np.zeros(()))

    monkeypatch.setattr(cv2, "imshow", slow)
    start = window.now
    for step in range(1000):
        window.progress(step)
        window.poll(0.01)
    drawn = sum(shown.shape == () for shown in window.shown)
    assert 0.15 < drawn * 0.1 / (window.now - start) < 0.25


def test_a_picture_is_drawn_with_the_handles_of_its_own_step_and_says_so(window: Window) -> None:
    window.latched["goal"] = GOAL
    for step in (0, 10, 20, 30):
        if step in (0, 20):
            window.frame(step)
        window.progress(step)
        told = window.poll()
    assert window.handle() == pytest.approx(120, abs=0.7)
    assert window.state.handles.positions == {0: (120.0, 100.0)}
    assert "shown" not in told  # nothing moved between 20 and 30


def test_a_preview_is_shown_until_the_full_picture_comes_and_never_instead_of_it(window: Window) -> None:
    window.latched["goal"] = GOAL

    def shows() -> tuple[int, bool]:
        window.poll()
        return window.drawn.frame.step, window.drawn.frame.preview

    window.frame(0)
    window.progress(0)
    for step in (3, 6):
        window.progress(step)
        window.frame(step, preview=True)
        assert shows() == (step, True)
        assert window.handle() == pytest.approx(100 + step, abs=0.7)
    window.progress(6, "reached")
    assert shows() == (6, True)
    assert window.state.story.late  # "drawing the picture"
    window.frame(6)
    assert shows() == (6, False)
    assert not window.state.story.late
    for stale in (6, 3):
        window.frame(stale, preview=True)
        assert shows() == (6, False)


def test_no_preview_of_the_old_picture_while_another_is_awaited(window: Window) -> None:
    window.frame(0)
    window.latched["request"] = LatentRequest(session="s", seed=1)
    window.poll()
    window.frame(9, preview=True)
    assert window.state.story.waiting
    window.frame(0)
    window.poll()
    assert (window.drawn.frame.step, window.state.story.waiting) == (0, False)


def test_another_picture_forgets_the_drag_of_the_old_one(window: Window) -> None:
    window.latched["goal"] = GOAL
    window.frame(0)
    window.frame(30)
    window.progress(30, "reached")
    window.poll()
    window.frame(0)
    window.poll()
    assert window.handle() == pytest.approx(100, abs=0.7)
    assert window.drawn.progress is None


def test_after_undo_points_and_status_are_those_of_before(window: Window) -> None:
    window.latched["goal"] = GOAL
    window.frame(0)
    for step, stopped in ((0, None), (30, "reached")):
        window.progress(step, stopped)
        window.poll()
    window.frame(30)
    window.latched["goal"] = goal(130.0)  # the capture takes up what was tracked
    window.poll()
    assert window.handle() == pytest.approx(130, abs=0.7)
    assert window.drawn.progress is not None
    window.latched |= {"request": LatentRequest(session="s", w_plus=np.zeros(1)), "goal": goal(100.0)}
    window.poll()
    assert window.handle() == pytest.approx(100, abs=0.7)
    assert window.drawn.progress is None
    assert window.state.story.waiting
    window.frame(0)
    assert not window.state.story.waiting


def test_what_is_in_the_hand_is_drawn_in_place_of_what_it_was(window: Window) -> None:
    window.latched["goal"] = GOAL
    window.frame(0)
    window.progress(0)
    window.hand(points=(PointPair(0, (300.0, 100.0), (150.0, 100.0)),))
    window.poll()
    assert window.handle() == pytest.approx(300, abs=0.7)
    window.hand(points=(PointPair(0, (100.0, 100.0), (500.0, 500.0)),))  # its target
    window.poll()
    assert window.handle() == pytest.approx(100, abs=0.7)


def movable() -> np.ndarray:
    mask = np.zeros((1024, 1024), np.uint8)
    mask[:, :400] = 1
    return mask


def test_a_growing_stroke_looks_as_if_drawn_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    way = tuple((600.0 + 10 * i, 500.0 + 40 * np.sin(i)) for i in range(20))
    for mask in (None, Mask(session="s", movable=movable())):
        for erases in (False, True):
            pictures = []
            for lengths in (range(1, 21), (20,)):
                window = Window(monkeypatch)
                window.frame(0)
                if mask is not None:
                    window.latched["mask"] = mask
                window.poll()
                for length in lengths:
                    window.hand(brush=40.0, stroke=way[:length], erases=erases)
                    window.poll()
                pictures.append(window.picture())
            off = np.abs(pictures[0].astype(int) - pictures[1])
            # Where pieces of a stroke meet, antialiased borders add up otherwise.
            assert (off > 30).mean() < 1e-3
            inside = round(505 * window.view.scale), round(650 * window.view.scale)
            assert (pictures[0][inside] == 128).all() != erases


def test_a_stroke_that_became_a_mask_is_not_drawn_twice(window: Window) -> None:
    window.frame(0)
    window.hand(brush=40.0, stroke=((600.0, 500.0),))
    window.poll()
    assert window.picture().mean() < 80
    window.hand(brush=40.0)
    window.poll()
    assert (window.picture() == 128).all()  # given up
    window.hand(brush=40.0, stroke=((600.0, 500.0), (700.0, 500.0)))
    window.poll()
    window.latched["mask"] = Mask(session="s", movable=movable())
    window.hand(brush=40.0)
    window.poll()
    scale = window.view.scale
    assert (window.picture()[round(500 * scale), round(650 * scale)] < 80).all()
    assert (window.picture()[:, : round(380 * scale)] == 128).all()


def test_the_status_line_says_what_the_session_does(monkeypatch: pytest.MonkeyPatch, window: Window) -> None:
    bars = []
    monkeypatch.setattr(module, "draw_bar", lambda _, bar, size: bars.append(bar))

    def bar() -> Any:
        window.poll()
        return bars[-1]

    assert bar().headline == "preparing the first picture"
    window.frame(0)
    window.hand(step_size=1.5, hint="do this")
    assert (bar().headline, bar().figures, bar().hint) == ("ready, no points", "step size 1.5", "do this")
    window.hand(doing="starting")
    assert bar().headline == "starting"
    window.latched["goal"] = GOAL
    window.hand()
    window.progress(3)
    assert bar().headline == "dragging"
    window.progress(4, "reached")
    assert bar().headline == "arrived, drawing the picture"
    window.frame(4)
    assert bar().headline == "arrived"
    assert not bar().problem
    window.latched["recording"] = Recording(session="s", path="a.mp4")
    assert bar().recording
    window.latched["request"] = LatentRequest(session="s", seed=3)
    assert bar().headline == "preparing the picture"
    window.frame(0)
    window.progress(0, "failed")
    assert (bar().headline, bar().problem) == ("failed", True)


def test_notices_stay_to_be_read_and_fade(window: Window) -> None:
    window.frame(0)
    window.poll()
    calm = window.shown[-1]
    window.event(notice=Notice(session="s", text="saved"))
    window.poll(0.1)
    assert not np.array_equal(window.shown[-1], calm)
    window.event(notice=Notice(session="s", text="it broke", problem=True))
    window.polls(8)
    assert not np.array_equal(window.shown[-1], calm)  # problems stay longer
    window.polls(4)
    assert np.array_equal(window.shown[-1], calm)


def test_a_window_the_user_closed_is_not_drawn_again(window: Window) -> None:
    window.open = False
    window.frame(0)
    window.poll()
    assert window.shown == []
