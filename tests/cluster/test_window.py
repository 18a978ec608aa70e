"""A person edits a session of a cluster in the real window; the engine is elsewhere."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from draggan_nodes.display.layout import fit
from draggan_nodes.display.panel import GOOD
from PIL import Image
from small_cluster import SIDE, SmallCluster
from xvfb import Screen, virtual_screen

from draggan_runtime.messages import Goal, LatentRequest, PointPair
from draggan_runtime.session import load_session

HANDLE, TARGET = (64, 60), (74, 60)


class AttachedWindow:
    """``draggan session attach`` on a screen, and what it says."""

    def __init__(self, cluster: SmallCluster, screen: Screen, session: str, out: Path, *options: str) -> None:
        command = [sys.executable, "-m", "draggan_runtime", "session", "attach", session, "--out", str(out), *options]
        env = {**cluster.env, "DISPLAY": screen.display}
        self.screen = screen
        self.lines: list[str] = []
        self._came: queue.Queue[str] = queue.Queue()
        self.process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        threading.Thread(target=self._read, daemon=True).start()
        self.window = screen.window(f"draggan {session}", timeout=60)
        self.origin, self.size, self.height = self._place()

    def __enter__(self) -> AttachedWindow:
        until(self.shows_a_picture)
        self.origin, self.size, self.height = self._place()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.strip())
            self._came.put(line.strip())

    def _place(self) -> tuple[tuple[int, int], tuple[int, int], int]:
        """Where the picture is in the window, and how large, px; and how high the window is."""
        said = dict(
            line.split("=") for line in self.screen.xdotool("getwindowgeometry", "--shell", self.window).split()
        )
        layout = fit((SIDE, SIDE), (int(said["WIDTH"]), int(said["HEIGHT"])))
        return layout.origin, layout.size, int(said["HEIGHT"])

    def says(self, text: str, timeout: float = 30.0) -> str:
        """The next line with ``text`` in it."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            try:
                line = self._came.get(timeout=0.1)
            except queue.Empty:
                continue
            if text in line:
                return line
        raise AssertionError(f"never said {text!r}, but {self.lines}")

    def key(self, key: str) -> None:
        self.screen.key(self.window, key)

    def click(self, point: tuple[int, int]) -> None:
        scale = self.size[0] / SIDE
        x, y = (round(o + (c + 0.5) * scale - 0.5) for o, c in zip(self.origin, point, strict=True))
        self.screen.click(self.window, x, y)
        self.screen.move(self.window, self.origin[0] + 2, self.origin[1] + 2)

    def picture(self) -> np.ndarray:
        """The upper part of the picture with its points as the screen shows it; notices lie below."""
        (x, y), (width, height) = self.origin, self.size
        return self.screen.grab()[y : y + int(0.7 * height), x : x + width].astype(int)

    def shows_a_picture(self) -> bool:
        return bool(self.picture().std() > 25)

    def shows_a_notice(self, colour: tuple[int, int, int]) -> bool:
        """The bar that a notice has at the window's left edge, below the picture's upper part."""
        y, height = self.origin[1], self.size[1]
        strip = self.screen.grab()[y + int(0.7 * height) : y + height, :3]
        return bool((np.abs(strip.astype(int) - colour).max(-1) <= 2).sum() > 15)


def until(true: Callable[[], Any], timeout: float = 30.0) -> None:
    """Wait for ``true()``."""
    deadline = time.monotonic() + timeout
    while not true():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.1)


def differ(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a - b).mean())


def repainted(a: np.ndarray, b: np.ndarray) -> int:
    """How many pixels have quite another colour."""
    return int((np.abs(a - b).max(-1) > 40).sum())


@pytest.fixture(scope="module")
def screen() -> Iterator[Screen]:
    with virtual_screen((1000, 800)) as screen:
        yield screen


@pytest.fixture(scope="module")
def other_screen() -> Iterator[Screen]:
    with virtual_screen((1000, 800)) as screen:
        yield screen


def test_two_clicks_and_space_drag_a_session_that_is_found_again_as_it_was_left(small_cluster, screen, tmp_path):
    small_cluster.start("nose", LatentRequest(session="", seed=3))
    with AttachedWindow(small_cluster, screen, "nose", tmp_path) as window:
        before = window.picture()
        window.click(HANDLE)
        window.click(TARGET)
        until(lambda: small_cluster.info("nose")["points"] == 1)
        window.key("space")
        assert "reached" in window.says("px left")
        until(lambda: small_cluster.info("nose")["drag"] == "reached")
        until(lambda: small_cluster.attach("nose").saved()[1] is not None)
        time.sleep(0.5)  # and drawn
        left = window.picture()
        assert differ(before, left) > 3
        window.key("s")
        window.says("seed3-1.png")
        window.key("q")
        assert window.process.wait(20) == 0
    saved = load_session(tmp_path / "seed3-1.draggan")
    (point,) = saved.points
    assert np.abs(np.subtract(point.target, TARGET)).max() < 0.6
    assert point.handle == saved.history[-1].handles[point.id]  # the next drag goes on from there
    with AttachedWindow(small_cluster, screen, "nose", tmp_path) as window:
        until(lambda: differ(window.picture(), left) < 0.5)
        window.key("s")
        window.says("seed3-2.png")
    again = load_session(tmp_path / "seed3-2.draggan")
    assert (again.points, again.step) == (saved.points, saved.step)
    assert again.w_plus.tobytes() == saved.w_plus.tobytes()
    assert np.array_equal(*(np.asarray(Image.open(tmp_path / f"seed3-{n}.png")) for n in (1, 2)))
    small_cluster.stop("nose")


def test_two_windows_show_the_same_and_only_one_edits(small_cluster, screen, other_screen, tmp_path):
    small_cluster.start("shared", LatentRequest(session="", seed=3))
    with (
        AttachedWindow(small_cluster, screen, "shared", tmp_path) as mine,
        AttachedWindow(small_cluster, other_screen, "shared", tmp_path) as other,
    ):
        other.says("somebody else has the pen: look on")
        mine.click(HANDLE)
        mine.click(TARGET)
        until(lambda: differ(mine.picture(), other.picture()) < 0.5)
        mine.key("space")
        for window in (mine, other):
            assert "reached" in window.says("px left")
        until(lambda: small_cluster.attach("shared").saved()[1] is not None)
        time.sleep(0.5)  # and drawn
        until(lambda: differ(mine.picture(), other.picture()) < 0.5)
        kept = small_cluster.info("shared")
        shown = other.picture()

        other.click((20, 20))
        other.click((30, 20))
        other.says("somebody else has the pen; draggan session attach --pen takes it")
        other.key("BackSpace")
        other.key("n")
        other.key("space")
        time.sleep(1)
        until(lambda: differ(other.picture(), shown) < 0.5)
        now = small_cluster.info("shared")
        assert [now[what] for what in ("step", "points", "drag")] == [kept[what] for what in ("step", "points", "drag")]
        assert differ(mine.picture(), shown) < 0.5

        with small_cluster.attach("shared", pen=True) as third:
            mine.says("somebody else has taken the pen")
            third.post(Goal(session="", points=(PointPair(7, (30.0, 20.0), (40.0, 30.0)),)))
            until(lambda: repainted(mine.picture(), shown) > 50 and differ(mine.picture(), other.picture()) < 0.1)
        mine.says("the pen is yours now")
        mine.key("BackSpace")
        until(lambda: small_cluster.info("shared")["points"] == 0)
        until(lambda: differ(mine.picture(), other.picture()) < 0.5)
    small_cluster.stop("shared")


def test_the_window_says_that_the_engine_died_and_the_drag_goes_on(small_cluster, screen, tmp_path):
    far = (PointPair(1, (30.0, 60.0), (110.0, 60.0)),)
    small_cluster.start("killed", LatentRequest(session="", seed=3), Goal(session="", points=far))
    with AttachedWindow(small_cluster, screen, "killed", tmp_path) as window:
        window.key("space")
        until(lambda: small_cluster.info("killed")["step"] > 3)
        engine = small_cluster.info("killed")["engine"]
        (pid,) = (e["pid"] for e in small_cluster.status()["engines"] if e["name"] == engine)
        assert not window.shows_a_notice(GOOD)
        os.kill(pid, signal.SIGKILL)
        window.says(f"{engine} died; going on from step")
        step = int(window.says("going on at step").split("at step ")[1].split()[0])
        until(lambda: window.shows_a_notice(GOOD), 5)
        until(lambda: small_cluster.info("killed")["step"] > step + 3)
        window.key("space")
        assert "cancelled" in window.says("px left")
    small_cluster.stop("killed")


def test_a_session_without_a_picture_gets_the_launchs_first_one_from_who_has_the_pen(small_cluster, screen, tmp_path):
    small_cluster.start("empty")
    with AttachedWindow(small_cluster, screen, "empty", tmp_path) as window:
        window.key("s")
        window.says("saved")
    assert load_session(tmp_path / "seed0-1.draggan").seed == 0
    small_cluster.stop("empty")


def test_without_a_display_that_is_said_in_one_line(small_cluster, tmp_path):
    small_cluster.start("blind")
    command = [sys.executable, "-m", "draggan_runtime", "session", "attach", "blind", "--out", str(tmp_path)]
    env = {name: value for name, value in small_cluster.env.items() if name != "DISPLAY"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    (line,) = done.stderr.strip().splitlines()
    assert "no window can open: the environment variable DISPLAY is not set" in line
    assert small_cluster.info("blind")["watchers"] == 0
    small_cluster.stop("blind")


def test_the_users_end_and_commands_load_neither_ray_nor_torch():
    ask = (
        "import sys, draggan_runtime.cluster.window, draggan_runtime.cli.main; "
        "print(sorted({'ray', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
