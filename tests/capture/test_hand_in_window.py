"""The real window under Xvfb, driven by real mouse and key events."""

from __future__ import annotations

import json
import math
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from draggan_nodes.capture.window import WindowCapture
from PIL import Image
from xvfb import Screen, virtual_screen

from draggan_runtime.errors import UserError
from draggan_runtime.messages import Progress
from draggan_runtime.node import Context, Turn

RED, BLUE = (228, 32, 40), (36, 92, 236)


@pytest.fixture(scope="module")
def screen() -> Iterator[Screen]:
    with virtual_screen((1280, 900)) as running:
        yield running


class App:
    """window_app.py in a subprocess: what its nodes emit, and its window."""

    def __init__(self, screen: Screen, process: subprocess.Popen[str]) -> None:
        self.screen = screen
        self.process = process
        self._lines: queue.Queue[dict[str, Any]] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        self.view = self.next("view")
        self.window = screen.window("draggan")

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(json.loads(line))

    def next(self, port: str, timeout: float = 20.0) -> dict[str, Any]:
        """The next message of ``port``; those of other ports before it are dropped."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                message = self._lines.get(timeout=max(0.01, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"nothing came on '{port}'") from None
            if message["port"] == port:
                return message

    def quiet(self, seconds: float = 0.4) -> bool:
        """True if nothing is emitted for a while."""
        try:
            self._lines.get(timeout=seconds)
        except queue.Empty:
            return True
        return False

    def full(self, x: float, y: float) -> tuple[float, float]:
        """Full-output px of a pixel of the unresized window."""
        scale = self.view["scale"]
        return (x + 0.5) / scale - 0.5, (y + 0.5) / scale - 0.5

    def click(self, x: int, y: int, button: int = 1) -> None:
        self.screen.click(self.window, x, y, button)

    def pair(self, handle: tuple[int, int], target: tuple[int, int]) -> list[list[float]]:
        """Click handle and target; the goal's points after that."""
        self.click(*handle)
        self.click(*target)
        return list(self.next("goal")["points"])

    def shows(self, colour: tuple[int, int, int], spot: tuple[int, int]) -> bool:
        """True once the screen shows the dot of ``colour`` centred on ``spot``."""
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            rows, columns = np.nonzero((np.abs(self.screen.grab().astype(int) - colour) < 60).all(axis=2))
            close = np.hypot(columns - spot[0], rows - spot[1]) < 20
            if close.any() and math.dist((columns[close].mean(), rows[close].mean()), spot) < 1.5:
                return True
            time.sleep(0.05)
        return False


@contextmanager
def app(screen: Screen, **params: Any) -> Iterator[App]:
    command = [sys.executable, str(Path(__file__).with_name("window_app.py")), json.dumps(params)]
    process = subprocess.Popen(command, env=screen.env, stdout=subprocess.PIPE, text=True)
    try:
        yield App(screen, process)
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def test_two_clicks_make_a_pair_in_px_of_the_full_output_and_are_drawn_there(screen: Screen) -> None:
    with app(screen) as running:
        assert running.view["size"] == [1024, 1024]
        assert running.view["scale"] < 0.8  # the screen is 900 px high
        points = running.pair((300, 320), (420, 350))
        assert points == [[0, *running.full(300, 320), *running.full(420, 350)]]
        assert running.shows(RED, (300, 320))
        assert running.shows(BLUE, (420, 350))


@pytest.mark.parametrize("size", [(500, 700), (1200, 500)])
def test_a_resized_window_takes_clicks_where_it_draws(screen: Screen, size: tuple[int, int]) -> None:
    with app(screen) as running:
        screen.xdotool("windowsize", "--sync", running.window, *size)
        time.sleep(0.3)
        middle = (size[0] // 2, size[1] // 2)
        running.pair((middle[0] - 60, middle[1] - 30), (middle[0] + 70, middle[1] + 20))
        for colour, spot in ((RED, (middle[0] - 60, middle[1] - 30)), (BLUE, (middle[0] + 70, middle[1] + 20))):
            assert running.shows(colour, spot)


def test_space_starts_and_the_next_drag_goes_on_from_where_the_handle_is(screen: Screen) -> None:
    with app(screen) as running:
        ((_, *ends),) = running.pair((300, 300), (400, 300))
        screen.key(running.window, "space")
        assert running.next("command")["verb"] == "start"
        assert running.next("goal")["points"] == [[0, *ends[2:], *ends[2:]]]
        assert running.shows(RED, (400, 300))
        screen.key(running.window, "space")
        assert running.next("command")["verb"] == "start"


def test_space_stops_a_running_drag_and_the_points_stay_where_it_stopped(screen: Screen) -> None:
    with app(screen, pace=0.4) as running:
        ((_, x, y, tx, ty),) = running.pair((300, 300), (400, 300))
        screen.key(running.window, "space")
        assert running.next("command")["verb"] == "start"
        time.sleep(1.0)
        screen.key(running.window, "space")
        assert running.next("command")["verb"] == "stop"
        ((_, x1, y1, tx1, ty1),) = running.next("goal")["points"]
        assert x < x1 < tx
        assert (y1, tx1, ty1) == (y, tx, ty)


def test_a_new_picture_waits_until_the_running_drag_has_stopped(screen: Screen) -> None:
    with app(screen, pace=0.4) as running:
        running.pair((300, 300), (400, 300))
        screen.key(running.window, "space")
        running.next("command")
        screen.key(running.window, "n")
        assert running.next("command")["verb"] == "stop"
        assert running.next("goal")["points"] == []
        assert running.next("request")["seed"] is not None


def test_the_keys_edit_the_points_and_speak_to_the_session(screen: Screen) -> None:
    with app(screen, capture={"seed": 7, "save": "kept.draggan"}) as running:
        screen.key(running.window, "space")  # nothing to drag
        assert running.quiet()
        first, second = running.pair((100, 100), (150, 100)), running.pair((200, 200), (250, 200))
        assert [p[0] for p in second] == [0, 1]
        screen.key(running.window, "BackSpace")
        assert running.next("goal")["points"] == first
        screen.key(running.window, "r")
        assert running.next("goal")["points"] == []
        screen.key(running.window, "s")
        command = running.next("command")
        assert (command["verb"], command["argument"]) == ("save", "kept.draggan")
        screen.key(running.window, "n")
        seed = running.next("request")["seed"]
        assert screen.window(f"seed {seed}") == running.window
        screen.key(running.window, "q")
        assert running.next("command")["verb"] == "quit"
        assert running.next("end")["polls_per_second"] > 25
        assert running.process.wait(10) == 0


def test_a_waiting_handle_is_shown_follows_the_pointer_and_can_be_taken_back(screen: Screen) -> None:
    with app(screen) as running:
        running.click(300, 300)
        assert len(running.next("preview")["points"]) == 1
        screen.move(running.window, 380, 340)
        assert running.next("preview")["points"][0][3:] == list(running.full(380, 340))
        assert running.shows(BLUE, (380, 340))
        running.click(380, 340, button=3)
        assert running.next("preview")["points"] == []
        assert running.pair((100, 100), (150, 100))[0][0] == 0


def test_pressing_on_the_handle_and_letting_go_on_the_target_makes_a_pair(screen: Screen) -> None:
    with app(screen) as running:
        screen.move(running.window, 300, 300)
        screen.xdotool("mousedown", 1)
        screen.move(running.window, 360, 320)
        screen.xdotool("mouseup", 1)
        assert running.next("goal")["points"] == [[0, *running.full(300, 300), *running.full(360, 320)]]


def test_clicks_on_the_status_bar_are_not_points(screen: Screen) -> None:
    with app(screen) as running:
        assert running.quiet()
        running.click(300, round(1024 * running.view["scale"]) + 10)
        assert running.quiet()


@pytest.mark.parametrize("how", ["Escape", "close"])
def test_escape_and_closing_the_window_quit(screen: Screen, how: str) -> None:
    with app(screen) as running:
        if how == "close":
            screen.close(running.window)
        else:
            screen.key(running.window, how)
        assert running.next("command")["verb"] == "quit"
        assert running.process.wait(10) == 0


# -- without a window ----------------------------------------------------------------------------------------------


def hand(**params: Any) -> WindowCapture:
    node = WindowCapture(WindowCapture.Params(**params), Context("capture"))
    node.configure()
    return node


def test_it_begins_with_its_picture_mask_and_points(tmp_path: Path) -> None:
    Image.new("L", (16, 12), 255).save(tmp_path / "mask.png")
    points = [{"handle": [1, 2], "target": [3, 4]}]
    node = hand(seed=7, mask=str(tmp_path / "mask.png"), points=points, size=(16, 12))
    turn = Turn("s", 0, {}, node.new_state())
    node.poll(turn)
    assert [port for port, _ in turn.emitted] == ["mask", "request", "goal"]
    goal: Any = turn.emitted[2][1]
    assert [(p.handle, p.target) for p in goal.points] == [((1, 2), (3, 4))]
    again = Turn("s", 0, {}, turn.state)
    node.poll(again)
    assert again.emitted == []
    with pytest.raises(UserError, match=r"16x12 px, the picture is 20x12"):
        hand(mask=str(tmp_path / "mask.png"), size=(20, 12))


def test_a_restored_session_keeps_its_points_and_its_picture() -> None:
    node = hand(seed=7, points=[{"handle": [1, 2], "target": [3, 4]}])
    turn = Turn("s", 0, {}, node.new_state())
    node.poll(turn)
    ended = Progress(
        session="s", step=3, drag_steps=3, handles={0: (2.0, 3.0)}, distances={0: 1.0}, confidence={}, loss=0.0,
        w_plus=np.zeros((1, 1)), seconds=1.0, stopped="max_steps",
    )  # fmt: skip
    node.poll(Turn("s", 3, {"progress": ended}, turn.state))
    restored = Turn("s", 3, {}, node.restore(json.loads(json.dumps(node.snapshot(turn.state)))))
    node.poll(restored)
    assert [port for port, _ in restored.emitted] == ["goal"]
    goal: Any = restored.emitted[0][1]
    assert [(p.handle, p.target) for p in goal.points] == [((2, 3), (3, 4))]


def test_a_window_that_never_opens_is_reported_once(monkeypatch: pytest.MonkeyPatch) -> None:
    node = hand()
    state = node.new_state()
    node.poll(Turn("s", 0, {}, state))
    later = time.monotonic() + 3600
    monkeypatch.setattr(time, "monotonic", lambda: later)
    with pytest.raises(UserError, match="no window 'draggan'"):
        node.poll(Turn("s", 0, {}, state))
    node.poll(Turn("s", 0, {}, state))
