"""The main job as a person does it: the real window, a real mouse, the real model, the engine in its actor."""

from __future__ import annotations

import math
import queue
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from xvfb import virtual_screen

from draggan_runtime.session import load_session

SCALE = 0.5
HANDLE, TARGET = (512, 590), (560, 590)


class Live:
    """``draggan launch live``, or another launch with a window, on a screen, and what it says."""

    def __init__(self, screen, out, *arguments: str, launch: str = "live") -> None:
        command = [
            sys.executable, "-m", "draggan_runtime", "launch", launch, "--out", str(out),
            "--set", f"display.max_side={int(1024 * SCALE)}", *arguments,
        ]  # fmt: skip
        self.screen = screen
        self.process = subprocess.Popen(
            command, env=screen.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        self.window = screen.window("draggan", timeout=90)

    def _read(self) -> None:
        for line in self.process.stdout:
            self.lines.put(line.strip())

    def says(self, text: str, timeout: float = 120.0) -> str:
        deadline = time.monotonic() + timeout
        seen = []
        while time.monotonic() < deadline:
            try:
                line = self.lines.get(timeout=0.2)
            except queue.Empty:
                continue
            seen.append(line)
            if text in line:
                return line
        raise AssertionError(f"never said {text!r}, but {seen}")

    def shows_a_face(self, timeout: float = 60.0) -> np.ndarray:
        """What the screen shows, once it is more than a dark placeholder."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            shot = self.screen.grab()
            if shot[int(300 * SCALE) : int(800 * SCALE), int(300 * SCALE) : int(700 * SCALE)].std() > 25:
                return shot
            time.sleep(0.2)
        raise AssertionError("no picture appeared")

    def click(self, point) -> None:
        self.screen.click(self.window, *(round((c + 0.5) * SCALE - 0.5) for c in point))


@pytest.fixture(scope="module")
def screen():
    with virtual_screen((1280, 1024)) as screen:
        yield screen


def test_two_clicks_space_and_the_nose_arrives(screen, tmp_path):
    live = Live(screen, tmp_path, "--set", "capture.seed=7")
    try:
        before = live.shows_a_face()
        live.click(HANDLE)
        live.click(TARGET)
        live.screen.key(live.window, "space")
        assert "reached" in live.says("px left")
        time.sleep(3)  # the last picture is drawn after the last step
        after = live.screen.grab()
        live.screen.key(live.window, "s")
        assert "seed7-1.draggan" in live.says("saved")
        live.screen.key(live.window, "q")
        assert live.process.wait(30) == 0
    finally:
        live.process.kill()
    face = np.s_[int(350 * SCALE) : int(700 * SCALE), int(300 * SCALE) : int(750 * SCALE)]
    assert np.abs(before[face].astype(int) - after[face]).mean() > 6
    record = load_session(tmp_path / "seed7-1.draggan")
    (point,) = record.history[-1].points
    assert math.dist(point.target, TARGET) <= 1 / SCALE
    assert record.history[-1].stopped == "reached"
    assert max(record.history[-1].distances.values()) <= 2.0
    assert (tmp_path / "seed7-1.png").exists()


def test_a_drag_can_be_stopped_and_its_session_reopened_in_the_window(screen, tmp_path):
    live = Live(screen, tmp_path, "--set", "capture.seed=3")
    try:
        live.shows_a_face()
        live.click((40, 40))
        live.click((80, 40))
        assert "looks like its surroundings" in live.says("the point at 4")
        live.screen.key(live.window, "backspace")
        live.click(HANDLE)
        live.click((700, 590))
        live.screen.key(live.window, "space")
        time.sleep(2)
        live.screen.key(live.window, "space")
        assert "cancelled" in live.says("px left")
        live.screen.key(live.window, "s")
        live.says("saved")
        live.screen.key(live.window, "q")
        assert live.process.wait(30) == 0
    finally:
        live.process.kill()
    saved = load_session(tmp_path / "seed3-1.draggan")
    again = Live(screen, tmp_path, "--open", str(tmp_path / "seed3-1.draggan"))
    try:
        again.shows_a_face()
        again.screen.key(again.window, "s")
        again.says("saved")
        again.screen.close(again.window)
        assert again.process.wait(30) == 0
    finally:
        again.process.kill()
    reopened = load_session(tmp_path / "seed3-2.draggan")
    assert reopened.w_plus.tobytes() == saved.w_plus.tobytes()
