"""When the window draws, what it tells, and what happens where none can open."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import cv2
import draggan_nodes.display.window as module
import numpy as np
import pytest
from draggan_nodes.display.draw import HANDLE
from draggan_nodes.display.window import WindowDisplay
from xvfb import virtual_screen

from draggan_runtime.display_probe import Probe, display_reachable
from draggan_runtime.messages import Frame, Goal, PointPair, Progress
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

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **params: Any) -> None:
        self.shown: list[np.ndarray] = []
        self.open = True
        self.now = 100.0
        monkeypatch.setattr(module, "probe", lambda: Probe(None, (1280, 900)))
        monkeypatch.setattr(module, "window_open", lambda name: self.open)
        monkeypatch.setattr(module.time, "monotonic", lambda: self.now)
        for name in ("namedWindow", "resizeWindow"):
            monkeypatch.setattr(cv2, name, lambda *_: None)
        monkeypatch.setattr(cv2, "imshow", lambda _, image: self.shown.append(image[..., ::-1]))
        self.node = WindowDisplay(WindowDisplay.Params(**params), Context("display"))
        self.node.configure()
        self.state = self.node.new_state()
        self.latched: dict[str, Any] = {}

    def frame(self, step: int, side: int = 1024) -> None:
        image = np.full((side, side, 3), 128, np.uint8)
        message = Frame(session="s", step=step, image=image)
        self.node.step([Turn("s", step, {**self.latched, "frame": message}, self.state)])

    def poll(self, seconds: float = 1.0) -> list[tuple[str, Any]]:
        self.now += seconds
        turn = Turn("s", 0, dict(self.latched), self.state)
        self.node.poll(turn)
        return turn.emitted

    def progress(self, step: int, stopped: Any = None) -> None:
        self.latched["progress"] = Progress(
            session="s", step=step, drag_steps=step, handles={0: (100.0 + step, 100.0)}, distances={0: 50.0 - step},
            confidence={}, loss=0.1, w_plus=np.zeros((1, 1)), seconds=1.0, stopped=stopped,
        )  # fmt: skip

    def handle(self) -> float:
        """x px of the full output of the red dot last shown."""
        columns = np.nonzero((self.shown[-1] == HANDLE).all(axis=2))[1]
        return float((columns.mean() + 0.5) / self.state.scale - 0.5)


GOAL = Goal(session="s", points=(PointPair(0, (100.0, 100.0), (150.0, 100.0)),))


def test_something_is_shown_before_the_first_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    window = Window(monkeypatch)
    assert window.poll() == []
    assert len(window.shown) == 1


def test_the_picture_and_its_bar_fit_the_screen_and_the_view_says_how(monkeypatch: pytest.MonkeyPatch) -> None:
    window = Window(monkeypatch)
    window.frame(0)
    ((port, view),) = window.poll()
    height, width = window.shown[-1].shape[:2]
    assert port == "view"
    assert view.size == (1024, 1024)
    assert width == pytest.approx(1024 * view.scale)
    assert width < height < 900
    window.frame(1)
    assert window.poll() == []  # the same view is not told twice


def test_a_small_picture_is_not_enlarged_and_a_limit_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    window = Window(monkeypatch)
    window.frame(0, side=256)
    assert window.poll()[0][1].scale == 1
    limited = Window(monkeypatch, max_side=512)
    limited.frame(0)
    assert limited.poll()[0][1].scale == 0.5
    assert limited.shown[-1].shape[1] == 512


def test_it_draws_only_when_something_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    window = Window(monkeypatch)
    window.frame(0)
    for _ in range(5):
        window.poll()
    assert len(window.shown) == 1
    window.latched["goal"] = GOAL
    for _ in range(5):
        window.poll()
    assert len(window.shown) == 2


def test_while_dragging_it_draws_ten_times_a_second_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    window = Window(monkeypatch)
    window.frame(0)
    window.poll()
    window.latched["goal"] = GOAL
    for step in range(100):
        window.progress(step)
        window.poll(0.01)
    assert 8 <= len(window.shown) - 1 <= 10
    window.progress(100, "reached")
    window.poll(0.2)
    assert window.state.drawn[4] is window.latched["progress"]  # the last word is shown


def test_a_picture_is_drawn_with_the_handles_of_its_own_step(monkeypatch: pytest.MonkeyPatch) -> None:
    window = Window(monkeypatch)
    window.latched["goal"] = GOAL
    for step in (0, 10, 20, 30):
        if step in (0, 20):
            window.frame(step)
        window.progress(step)
        window.poll()
    assert window.handle() == pytest.approx(120, abs=0.7)


def test_a_new_picture_forgets_the_drag_of_the_old_one(monkeypatch: pytest.MonkeyPatch) -> None:
    window = Window(monkeypatch)
    window.latched["goal"] = GOAL
    window.frame(0)
    window.frame(30)
    window.progress(30, "reached")
    window.poll()
    window.frame(0)
    window.poll()
    assert window.handle() == pytest.approx(100, abs=0.7)
    assert window.state.drawn[4] is None


def test_a_window_the_user_closed_is_not_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    window = Window(monkeypatch)
    window.open = False
    window.frame(0)
    window.poll()
    assert window.shown == []
