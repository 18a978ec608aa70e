"""A working session in the real window: everything a person does in ten minutes, and what is on disk afterwards."""

from __future__ import annotations

import signal
import time

import numpy as np
from PIL import Image
from test_live_window import SCALE, Live
from xvfb import virtual_screen

from draggan_runtime.session import SessionRecord, load_session

NOSE, BRIDGE = (512, 590), (512, 500)


def at(point) -> tuple[int, int]:
    """Window pixel of a picture point."""
    return tuple(round((c + 0.5) * SCALE - 0.5) for c in point)


def stroke(live: Live, points) -> None:
    """Press at the first point, move over all, let go."""
    live.screen.move(live.window, *at(points[0]))
    live.screen.xdotool("mousedown", 1)
    for point in points:
        live.screen.move(live.window, *at(point))
        time.sleep(0.03)
    live.screen.xdotool("mouseup", 1)


def until(true, timeout: float = 60.0) -> None:
    """Wait for ``true()``."""
    deadline = time.monotonic() + timeout
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def saved(live: Live, out) -> SessionRecord:
    """What is in the session file that s writes, once its picture is there too."""
    live.screen.key(live.window, "s")
    path = live.says("saved ").split("saved ")[1]
    live.says(".png")
    return load_session(out / path.split("/")[-1])


def test_a_whole_session(tmp_path):
    with virtual_screen((1280, 1024)) as screen:
        live = Live(screen, tmp_path, "--set", "capture.seed=7")
        try:
            edited = edit(live, tmp_path)
            live.process.send_signal(signal.SIGKILL)
            live.process.wait(30)
        finally:
            live.process.kill()
        assert load_session(tmp_path / "autosave.draggan").w_plus.tobytes() == edited.w_plus.tobytes()
        for name, expected in (("autosave.draggan", edited), ("seed7-2.png", load_session(tmp_path / "seed7-2.png"))):
            reopens(screen, tmp_path, name, expected)


def edit(live: Live, out) -> SessionRecord:
    """Two pairs, a mask, start, stop, start, arrival, undo, redo, a point deleted, a new seed; the last state."""
    live.shows_a_face()
    for point in (NOSE, (536, 590), BRIDGE, (536, 500)):
        live.click(point)
        time.sleep(0.3)
    live.screen.key(live.window, "m")
    time.sleep(1)  # a hand goes from the keys to the mouse: OpenCV does not tell which of both came first
    stroke(live, [(x, y) for y in range(330, 850, 60) for x in (300, 500, 700)])
    time.sleep(1)
    live.screen.key(live.window, "m")
    time.sleep(1)
    live.screen.key(live.window, "space")
    time.sleep(1.5)
    live.screen.key(live.window, "space")
    first = live.says("px left")
    if "cancelled" in first:
        live.screen.key(live.window, "space")
        live.says("reached")
    done = saved(live, out)
    assert len(done.points) == 2
    assert done.mask is not None
    assert 0 < done.mask.mean() < 1
    assert done.history[-1].stopped == "reached"
    live.screen.key(live.window, "u")
    time.sleep(1)
    live.screen.key(live.window, "y")
    time.sleep(1)
    again = saved(live, out)
    assert again.w_plus.tobytes() == done.w_plus.tobytes()
    live.screen.key(live.window, "u")
    time.sleep(1)
    undone = saved(live, out)
    assert undone.w_plus.tobytes() == done.history[-1].start.tobytes()
    live.screen.key(live.window, "BackSpace")
    time.sleep(0.3)
    assert len(saved(live, out).points) == 1
    live.screen.key(live.window, "n")
    until(lambda: not np.array_equal(load_session(out / "autosave.draggan").w_plus, undone.w_plus))
    new = saved(live, out)
    assert new.seed != 7
    assert not np.array_equal(new.w_plus, undone.w_plus)
    for n in range(1, 5):
        assert Image.open(out / f"seed7-{n}.png").size == (1024, 1024)
    return new


def reopens(screen, out, name: str, expected: SessionRecord) -> None:
    """A file opens in the window with the same latent, and the picture that belongs to it."""
    kept = out / f"kept-{name}"
    kept.write_bytes((out / name).read_bytes())
    live = Live(screen, out, "--open", str(kept))
    try:
        live.shows_a_face()
        assert saved(live, out).w_plus.tobytes() == expected.w_plus.tobytes()
        live.screen.key(live.window, "q")
        assert live.process.wait(30) == 0
    finally:
        live.process.kill()
    if name.endswith(".png"):
        newest = max(out.glob("seed*.png"), key=lambda p: p.stat().st_mtime)
        assert np.array_equal(np.asarray(Image.open(newest)), np.asarray(Image.open(kept)))
