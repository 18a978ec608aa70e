"""The real window under Xvfb, driven by real mouse and key events."""

from __future__ import annotations

import copy
import json
import math
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from draggan_nodes.capture.keys import MASK_HINT, POINTS_HINT, SEARCH_HINT
from draggan_nodes.capture.window import WindowCapture
from PIL import Image
from xvfb import Screen, virtual_screen

from draggan_runtime.errors import UserError
from draggan_runtime.messages import Inverting, Progress
from draggan_runtime.node import Context, Turn
from draggan_runtime.pictures import save_png

RED, BLUE, PROBLEM = (228, 32, 40), (36, 92, 236), (255, 150, 60)


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
        self.last_hand: dict[str, Any] = {}
        threading.Thread(target=self._read, daemon=True).start()
        self.view = self.next("view")
        self.window = screen.window("draggan")

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(message := json.loads(line))
            if message["port"] == "hand":
                self.last_hand = message

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
        """True if nothing is emitted for a while, but what the hand does."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            try:
                message = self._lines.get(timeout=left)
            except queue.Empty:
                return True
            if message["port"] not in ("hand", "shown"):
                return False
        return True

    def session(self, **message: Any) -> None:
        """The session says something."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(message) + "\n")
        self.process.stdin.flush()

    def hand(self, wanted: Callable[[dict[str, Any]], bool] = lambda _: True) -> dict[str, Any]:
        """The next state of the hand that is as wanted."""
        while not wanted(message := self.next("hand")):
            pass
        return message

    def afresh(self) -> App:
        """Without points, mask and anything in the hand."""
        while not self.quiet(0.15):
            pass
        for key in ("r", "c", *("m" if self.last_hand["brush"] else "")):
            self.key(key)
        while not self.quiet(0.15):
            pass
        return self

    def key(self, key: str) -> None:
        self.screen.key(self.window, key)

    def move(self, x: int, y: int) -> None:
        self.screen.move(self.window, x, y)

    def drag(self, *way: tuple[int, int], button: int = 1) -> None:
        """Press on the first pixel, let go on the last."""
        self.move(*way[0])
        self.screen.xdotool("mousedown", button)
        for spot in way[1:]:
            self.move(*spot)
            time.sleep(0.03)  # Qt gives one move for several that wait
        self.screen.xdotool("mouseup", button)

    def full(self, x: float, y: float) -> tuple[float, float]:
        """Full-output px of a pixel of the unresized window."""
        scale, (left, top) = self.view["scale"], self.view["origin"]
        return (x - left + 0.5) / scale - 0.5, (y - top + 0.5) / scale - 0.5

    def click(self, x: int, y: int, button: int = 1) -> None:
        self.screen.click(self.window, x, y, button)

    def pair(self, handle: tuple[int, int], target: tuple[int, int]) -> list[list[float]]:
        """Click handle and target; the goal's points after that."""
        self.click(*handle)
        self.click(*target)
        return list(self.next("goal")["points"])

    def shows(self, colour: tuple[int, int, int], spot: tuple[int, int]) -> bool:
        """True once the screen shows the dot of ``colour`` centred on ``spot``."""

        def dot(shot: np.ndarray) -> bool:
            rows, columns = np.nonzero((np.abs(shot - colour) < 60).all(axis=2))
            close = np.hypot(columns - spot[0], rows - spot[1]) < 20
            return bool(close.any() and math.dist((columns[close].mean(), rows[close].mean()), spot) < 1.5)

        return self.comes_to_show(dot)

    def comes_to_show(self, what: Callable[[np.ndarray], bool]) -> bool:
        """True once the screen's px ``[H, W, 3]`` are as ``what`` tells."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if what(self.screen.grab().astype(int)):
                return True
            time.sleep(0.05)
        return False


@contextmanager
def app(screen: Screen, **params: Any) -> Iterator[App]:
    command = [sys.executable, str(Path(__file__).with_name("window_app.py")), json.dumps(params)]
    process = subprocess.Popen(command, env=screen.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield App(screen, process)
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


@pytest.fixture(scope="module")
def shared(screen: Screen) -> Iterator[App]:
    """A window that several tests use one after another."""
    with app(screen, display={"notice_seconds": 0.8}) as running:
        screen.xdotool("windowfocus", running.window)  # no window manager does
        yield running


@pytest.mark.parametrize(("size", "scale"), [((1280, 720), (0.5, 0.6)), ((3840, 2160), (1.7, 1.95))])
def test_the_window_fits_the_screen_and_clicks_are_exact(size: tuple[int, int], scale: tuple[float, float]) -> None:
    with virtual_screen(size) as other, app(other) as running:
        assert scale[0] < running.view["scale"] < scale[1]
        points = running.pair((201, 304), (420, 351))
        assert points == [[0, *running.full(201, 304), *running.full(420, 351)]]
        for colour, spot in ((RED, (201, 304)), (BLUE, (420, 351))):
            assert running.shows(colour, spot)


def test_the_window_shows_its_picture_on_a_busy_machine(screen: Screen) -> None:
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(8)]
    try:
        for _ in range(3):
            with app(screen) as running:
                assert running.comes_to_show(lambda shot: bool(shot[:300, :300].mean() > 60)), "it stays black"
    finally:
        for process in busy:
            process.kill()
            process.wait()


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
        screen.key(running.window, "space")
        assert "nothing to drag" in running.next("notice")["text"]
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
        for key, verb in (("v", "record"), ("u", "undo"), ("y", "redo")):
            screen.key(running.window, key)
            command = running.next("command")
            assert (command["verb"], command["argument"]) == (verb, "")
        for key, size in (("plus", "1.25"), ("equal", "1.5"), ("minus", "1.25"), ("minus", "1"), ("minus", "0.75")):
            screen.key(running.window, key)
            command = running.next("command")
            assert (command["verb"], command["argument"]) == ("set", f"motion.step={size}")
        assert running.hand()["step_size"] == 0.75
        for impl in ("tracking/nearest", "tracking/template"):
            screen.key(running.window, "t")
            command = running.next("command")
            assert (command["verb"], command["argument"]) == ("set", f"tracker.impl={impl}")
        screen.key(running.window, "q")
        assert running.next("command")["verb"] == "quit"
        assert running.next("end")["polls_per_second"] > 25
        assert running.process.wait(10) == 0


def test_a_waiting_handle_is_shown_follows_the_pointer_and_can_be_taken_back(shared: App) -> None:
    running = shared.afresh()
    running.click(300, 300)
    assert len(running.hand()["points"]) == 1
    running.move(380, 340)
    target = list(running.full(380, 340))
    running.hand(lambda hand: hand["points"][0][3:] == target)
    assert running.shows(BLUE, (380, 340))
    running.click(380, 340, button=3)
    running.hand(lambda hand: hand["points"] == [])
    assert len(running.pair((100, 100), (150, 100))) == 1


def test_pressing_on_the_handle_and_letting_go_on_the_target_makes_a_pair(shared: App) -> None:
    running = shared.afresh()
    running.drag((300, 300), (360, 320))
    ((_, *ends),) = running.next("goal")["points"]
    assert ends == [*running.full(300, 300), *running.full(360, 320)]


def test_clicks_on_the_status_bar_are_not_points(shared: App) -> None:
    running = shared.afresh()
    running.click(300, round(1024 * running.view["scale"]) + 10)
    assert running.quiet()


def test_dots_are_moved_with_the_left_button_and_deleted_with_the_right(shared: App) -> None:
    running = shared.afresh()
    running.pair((300, 300), (400, 300))
    first, second = running.pair((200, 500), (300, 500))
    running.drag((302, 298), (320, 250), (342, 238))  # the handle, not quite at its middle
    moved = running.next("goal")["points"]
    assert moved[1] == second
    assert moved[0] == pytest.approx([first[0], *running.full(340, 240), *first[3:]])
    assert running.shows(RED, (340, 240))
    running.drag((300, 500), (300, 450))
    assert running.next("goal")["points"] == [moved[0], pytest.approx([*second[:3], *running.full(300, 450)])]
    running.drag((400, 300), (1250, -20), (2000, 300))  # beyond the picture: its edge
    assert running.next("goal")["points"][0][3] == 1023
    running.click(340, 240, button=3)
    assert [p[0] for p in running.next("goal")["points"]] == [second[0]]
    running.click(600, 600, button=3)  # no dot
    running.click(300, 450)  # a dot: nothing is set there
    assert running.quiet()


def test_a_handle_is_gripped_where_the_tracker_has_it_while_a_drag_runs(screen: Screen) -> None:
    with app(screen, pace=0.7) as running:
        ((_, *ends),) = running.pair((300, 300), (400, 300))
        running.key("space")
        assert running.next("command")["verb"] == "start"
        while not 330 < (at := running.next("shown")["positions"].get("0", [0])[0] * running.view["scale"]) < 380:
            pass
        running.drag((round(at), 300), (round(at), 420))
        ((_, x, y, *target),) = running.next("goal")["points"]
        assert y == pytest.approx(running.full(0, 420)[1], abs=2)
        assert (x * running.view["scale"], target) == (pytest.approx(at, abs=3), ends[2:])
        running.click(400, 300, button=3)  # and a pair is deleted
        assert running.next("goal")["points"] == []


def test_the_mask_is_painted_and_erased_and_goes_out_when_a_stroke_ends(shared: App) -> None:
    running = shared.afresh()
    running.key("m")
    radius = running.hand()["brush"]
    running.move(300, 300)
    running.hand(lambda hand: hand["pointer"] == list(running.full(300, 300)))
    running.screen.xdotool("mousedown", 1)
    running.move(400, 300)
    running.hand(lambda hand: len(hand["stroke"]) > 1 and not hand["erases"])
    assert running.comes_to_show(lambda shot: shot[300, 350].sum() > 2 * shot[150, 350].sum())  # what stays is dim
    running.screen.xdotool("mouseup", 1)
    mask = running.next("mask")
    assert mask["shape"] == [1024, 1024]
    (x0, y0), (x1, y1) = running.full(300, 300), running.full(400, 300)
    assert mask["box"] == pytest.approx([x0 - radius, y0 - radius, x1 + radius, y1 + radius], abs=2)
    running.key("bracketleft")
    running.hand(lambda hand: hand["brush"] < radius)
    running.drag((300, 300), (400, 300), button=3)
    smaller = running.next("mask")
    assert 0 < smaller["count"] < 0.5 * mask["count"]
    running.key("c")
    assert running.next("mask")["none"]
    running.drag((300, 300), (400, 300))
    running.next("mask")
    for _ in range(3):
        running.key("bracketright")
    running.drag((300, 300), (400, 300), button=3)  # nothing is left
    assert running.next("mask")["none"]
    assert "everything may move" in running.next("notice")["text"]
    running.key("m")
    running.hand(lambda hand: hand["brush"] is None)


def test_the_wheel_sizes_the_brush_and_leaves_the_view_alone(shared: App) -> None:
    running = shared.afresh()
    running.key("m")
    radius = running.hand()["brush"]
    running.click(300, 300, button=4)
    running.hand(lambda hand: hand["brush"] > radius)
    running.click(300, 300, button=5)
    running.hand(lambda hand: hand["brush"] == pytest.approx(radius))
    running.key("m")
    running.click(300, 300, button=4)
    assert running.pair((300, 320), (420, 350))[0][1:] == [*running.full(300, 320), *running.full(420, 350)]


def test_ctrl_with_a_letter_is_heard(shared: App) -> None:
    running = shared.afresh()
    keys = (("ctrl+z", "undo"), ("ctrl+y", "redo"), ("ctrl+shift+z", "redo"), ("ctrl+s", "save"))
    for key, verb in keys:
        running.screen.xdotool("key", key)
        assert running.next("command")["verb"] == verb


def test_what_the_session_changes_is_taken_up_and_not_sent_back(shared: App) -> None:
    running = shared.afresh()
    running.pair((300, 300), (400, 300))
    running.session(port="points", points=[[40, 500, 500, 600, 500]])
    running.session(port="movable", box=[100, 100, 900, 900])
    assert running.quiet()
    spot = [round((c + 0.5) * running.view["scale"] - 0.5) for c in (500, 500)]
    assert running.shows(RED, (spot[0], spot[1]))
    assert running.comes_to_show(lambda shot: shot[300, 300].sum() > 2 * shot[300, 20].sum())
    assert [p[0] for p in running.pair((300, 300), (400, 300))] == [40, 41]
    running.key("m")
    running.drag((5, 5), (15, 5))  # goes on from the session's mask
    mask = running.next("mask")
    running.key("m")
    assert mask["count"] > 801 * 801
    assert mask["box"][2:] == [900, 900]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Image.new("RGB", (90, 70), 120).save(tmp_path / "Me at Sea.png")
    save_png(tmp_path / "saved.png", np.zeros((64, 64, 3), np.uint8), session=b"some session")
    (tmp_path / "text.jpg").write_text("I am no photo")
    return tmp_path


def test_the_name_of_a_photo_is_typed_and_completed(shared: App, folder: Path) -> None:
    running = shared.afresh()
    running.pair((300, 300), (400, 300))
    running.key("o")
    running.hand(lambda hand: hand["typed"] == "")
    running.screen.xdotool("type", "--delay", 5, f"{folder}/Me qnsp")  # no key means anything else
    running.hand(lambda hand: hand["typed"] == f"{folder}/Me qnsp")
    running.screen.xdotool("key", *4 * ["BackSpace"])
    running.screen.xdotool("key", "Tab")
    running.hand(lambda hand: hand["typed"] == f"{folder}/Me at Sea.png")
    assert running.quiet()
    running.screen.xdotool("key", "Return")
    assert running.next("request")["photo"] == [70, 90, 3]
    assert running.screen.window("Me at Sea.png") == running.window
    assert running.quiet()  # the points stay until a search has begun: it may fail
    running.session(port="inverting", done=0)
    assert running.next("goal")["points"] == []
    running.session(port="inverting", done=80, finished=True)
    running.hand(lambda hand: hand["typed"] is None and hand["hint"] == POINTS_HINT)


def test_a_session_is_opened_by_its_name_and_without_one_what_was_saved_last(shared: App, folder: Path) -> None:
    running = shared.afresh()
    for typed in (f"{folder}/saved.png", "kept.draggan", ""):
        running.key("o")
        running.hand(lambda hand: hand["typed"] == "")
        if typed:
            running.screen.xdotool("type", "--delay", 5, typed)
        running.screen.xdotool("key", "Return")
        command = running.next("command")
        assert (command["verb"], command["argument"]) == ("open", typed)


def test_a_key_pressed_right_after_the_line_is_a_key_again(shared: App, folder: Path) -> None:
    running = shared.afresh()
    for key, verb in (("s", "save"), ("z", None), ("o", None)):
        running.key("o")
        running.hand(lambda hand: hand["typed"] == "")
        running.screen.xdotool("type", "--delay", 5, "kept.draggan")
        running.hand(lambda hand: hand["typed"] == "kept.draggan")
        running.screen.xdotool("key", "--delay", 0, "Return", key)
        assert running.next("command")["verb"] == "open"
        if verb:
            assert running.next("command")["verb"] == verb
    running.hand(lambda hand: hand["typed"] == "")  # of z nothing came: it is no ctrl+z
    running.key("Escape")
    running.hand(lambda hand: hand["typed"] is None)


def test_what_is_no_photo_is_said_and_nothing_changes(shared: App, folder: Path) -> None:
    running = shared.afresh()
    running.pair((300, 300), (400, 300))
    for name, says in (("text.jpg", "it is not a photo"), ("none.png", "does not exist"), ("", "Is a directory")):
        running.key("o")
        running.hand(lambda hand: hand["typed"] == "")
        running.screen.xdotool("type", "--delay", 5, f"{folder}/{name}")
        running.screen.xdotool("key", "Return")
        assert says in running.next("notice")["text"]
    running.key("o")
    running.hand(lambda hand: hand["typed"] == "")
    running.screen.xdotool("key", "x")
    running.screen.xdotool("key", "Escape")
    running.hand(lambda hand: hand["typed"] is None)
    assert running.quiet()
    running.key("u")  # keys are keys again
    assert running.next("command")["verb"] == "undo"


def test_while_a_latent_is_looked_for_escape_stops_and_space_asks_the_session(shared: App) -> None:
    running = shared.afresh()
    running.session(port="inverting", done=40)
    running.hand(lambda hand: hand["hint"] == SEARCH_HINT)
    for key, verb in (("Escape", "stop"), ("space", "start")):
        running.key(key)
        assert running.next("command")["verb"] == verb
    running.session(port="inverting", done=41, finished=True)
    running.hand(lambda hand: hand["hint"] == POINTS_HINT)


def test_help_lies_over_the_picture_and_escape_leaves_one_thing_at_a_time(shared: App) -> None:
    running = shared.afresh()
    before = running.screen.grab()[:600, :600].mean()
    running.key("m")
    running.hand(lambda hand: hand["hint"] == MASK_HINT)
    for key, rows in (("F1", True), ("question", False), ("h", True)):
        running.key(key)
        assert (len(running.hand()["help"]) > 12) == rows
    assert running.comes_to_show(lambda shot: shot[:600, :600].mean() < 0.4 * before)
    running.click(300, 300)  # leaves it, and no more
    running.hand(lambda hand: hand["help"] == [])
    running.key("h")
    running.key("Escape")
    running.hand(lambda hand: hand["help"] == [])
    running.key("Escape")
    running.hand(lambda hand: hand["brush"] is None)
    running.click(300, 300)
    running.hand(lambda hand: hand["points"] != [])
    running.key("Escape")
    running.hand(lambda hand: hand["points"] == [])
    assert running.process.poll() is None


def test_a_notice_is_shown_and_fades(shared: App) -> None:
    running = shared.afresh()
    edge = round(1024 * running.view["scale"]) - 8
    # Those of the tests before are gone once the picture's left edge is as grey as the picture.
    assert running.comes_to_show(lambda shot: np.ptp(shot[: edge + 4, 1], axis=1).max() <= 2)
    before = running.screen.grab()
    running.session(port="notice", text="no", problem=True)
    assert running.comes_to_show(lambda shot: np.abs(shot[edge, 1] - PROBLEM).max() < 40)
    assert np.array_equal(running.screen.grab()[:500], before[:500])
    assert running.comes_to_show(lambda shot: np.array_equal(shot, before))


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
    assert [port for port, _ in turn.emitted] == ["mask", "request", "goal", "hand"]
    goal: Any = turn.emitted[2][1]
    assert [(p.handle, p.target) for p in goal.points] == [((1, 2), (3, 4))]
    again = Turn("s", 0, {}, turn.state)
    node.poll(again)
    assert again.emitted == []
    with pytest.raises(UserError, match=r"16x12 px, the picture is 20x12"):
        hand(mask=str(tmp_path / "mask.png"), size=(20, 12))


def test_it_begins_with_a_photo_and_goes_from_face_to_face(tmp_path: Path) -> None:
    Image.new("RGB", (90, 70), 120).save(tmp_path / "us.jpg")
    node = hand(photo=str(tmp_path / "us.jpg"))
    state = node.new_state()
    asked: list[Any] = []

    def poll(**inputs: Any) -> list[str]:
        turn = Turn("s", 0, inputs, state)
        node.poll(turn)
        if inputs:
            node._key(turn, "f")
        asked.extend(m for port, m in turn.emitted if port == "request")
        return [m.text for port, m in turn.emitted if port == "notice"]

    def found(faces: int) -> Inverting:
        return Inverting(session="s", done=1, of=9, distance=0.0, by="", faces=faces)

    given_up = Inverting(session="s", done=0, of=0, distance=0.0, by="", finished=True)
    poll()
    for _ in range(3):
        assert poll(inverting=found(3)) == []
    assert poll(inverting=given_up) == ["no other face was found in the photo"]
    assert [(r.photo.shape, r.face, r.seed) for r in asked] == [((70, 90, 3), f, None) for f in (None, 2, 3, 1)]
    assert "no other face" in poll(inverting=found(1))[0]
    with pytest.raises(UserError, match="does not exist"):
        WindowCapture.prepare(WindowCapture.Params(photo=str(tmp_path / "none.jpg")))


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
    assert [port for port, _ in restored.emitted] == ["goal", "hand"]
    goal: Any = restored.emitted[0][1]
    assert [(p.handle, p.target) for p in goal.points] == [((2, 3), (3, 4))]


def test_a_handle_moved_in_the_last_steps_of_a_drag_stays_where_the_hand_put_it() -> None:
    node = hand(points=[{"handle": [1, 2], "target": [3, 4]}, {"handle": [5, 6], "target": [7, 8]}])
    turn = Turn("s", 0, {}, node.new_state())
    node.poll(turn)
    turn.state.moved = {0: 5}  # steps from 5 on know of it
    for steps, handle in ((4, (1.0, 2.0)), (5, (9.0, 9.0))):
        ended = Progress(
            session="s", step=steps, drag_steps=steps, handles={0: (9.0, 9.0), 1: (9.0, 9.0)}, distances={},
            confidence={}, loss=0.0, w_plus=np.zeros((1, 1)), seconds=1.0, stopped="cancelled",
        )  # fmt: skip
        state = copy.deepcopy(turn.state)
        node.poll(Turn("s", steps, {"progress": ended}, state))
        assert [p.handle for p in state.points.pairs] == [handle, (9.0, 9.0)]


def test_a_step_size_given_from_outside_is_gone_on_from() -> None:
    node = hand(step=2)
    state = node.new_state()
    node.poll(Turn("s", 0, {}, state))
    assert state.step_size == 2
    node.change(WindowCapture.Params(step=3))
    turn = Turn("s", 0, {}, state)
    node.poll(turn)
    node._resize_step(turn, larger=True)
    assert turn.emitted[-1][1].argument == "motion.step=4"


def test_a_window_that_never_opens_is_reported_once(monkeypatch: pytest.MonkeyPatch) -> None:
    node = hand()
    state = node.new_state()
    node.poll(Turn("s", 0, {}, state))
    later = time.monotonic() + 3600
    monkeypatch.setattr(time, "monotonic", lambda: later)
    with pytest.raises(UserError, match="no window 'draggan'"):
        node.poll(Turn("s", 0, {}, state))
    node.poll(Turn("s", 0, {}, state))
