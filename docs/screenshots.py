"""Make the window's pictures of docs/window.md: python docs/screenshots.py [FOLDER]

Edits a face in the real window on a virtual screen (Xvfb, xdotool), at 1280 x 720 and 3840 x 2160.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))

from xvfb import Screen, virtual_screen  # noqa: E402

SIZES = {"": (1280, 720), "-4k": (3840, 2160)}
LARGEST = 1080  # px, the wider side of a picture in the docs
NOSE, CHIN = ((512, 590), (560, 590)), ((525, 880), (550, 885))


class Window:
    """The editor on a screen; places are px of the face."""

    def __init__(self, screen: Screen, out: Path) -> None:
        live = [sys.executable, "-m", "draggan_runtime", "launch", "live"]
        self.process = subprocess.Popen(
            [*live, "--set", "capture.seed=7"], cwd=out, env=screen.env, stderr=subprocess.PIPE, text=True
        )
        self.screen = screen
        self.window = screen.window("draggan", timeout=60)
        while self.grab().std() < 40:
            time.sleep(0.5)
        time.sleep(2)
        geometry = screen.xdotool("getwindowgeometry", "--shell", self.window)
        self.size = tuple(int(line.split("=")[1]) for line in geometry.split() if line.startswith(("WIDTH", "HEIGHT")))

    def grab(self) -> np.ndarray:
        return self.screen.grab()

    def says(self, text: str) -> None:
        """Wait until the program has said it."""
        assert self.process.stderr is not None
        while text not in (line := self.process.stderr.readline()):
            if not line:
                raise RuntimeError(f"ended without saying '{text}'")

    def place(self, x: float, y: float) -> tuple[int, int]:
        scale = self.size[0] / 1024  # the window is as wide as the face
        return round(x * scale), round(y * scale)

    def key(self, *keys: str, wait: float = 0.5) -> None:
        for key in keys:
            self.screen.key(self.window, key)
            time.sleep(0.3)
        time.sleep(wait)

    def click(self, point: tuple[float, float]) -> None:
        self.screen.click(self.window, *self.place(*point))
        time.sleep(0.5)

    def stroke(self, points: list[tuple[int, int]]) -> None:
        self.screen.move(self.window, *self.place(*points[0]))
        self.screen.xdotool("mousedown", 1)
        for point in points:
            self.screen.move(self.window, *self.place(*point))
            time.sleep(0.05)
        self.screen.xdotool("mouseup", 1)
        time.sleep(0.5)


def shoot(window: Window, path: Path) -> None:
    """The window itself, at most LARGEST px wide or high."""
    picture = Image.fromarray(window.grab()).crop((0, 0, *window.size))
    picture.thumbnail((LARGEST, LARGEST), Image.Resampling.LANCZOS)
    picture.save(path, quality=82, optimize=True)
    print(path, picture.size)


def edit(folder: Path, suffix: str, size: tuple[int, int]) -> None:
    """One session, photographed in its main states."""
    with virtual_screen(size) as screen, tempfile.TemporaryDirectory() as out:
        window = Window(screen, Path(out))
        try:
            window.key("h")
            shoot(window, folder / f"window-help{suffix}.jpg")
            window.key("h")
            for handle, target in (NOSE, CHIN):
                window.click(handle)
                window.click(target)
            window.key("m", *3 * ["bracketright"], wait=1)
            window.stroke([(x, y) for y in range(330, 900, 60) for x in ((330, 700) if y // 60 % 2 else (700, 330))])
            shoot(window, folder / f"window-mask{suffix}.jpg")
            window.key("m", wait=1)
            window.key("c", wait=1)
            window.key("space", wait=2.5)
            shoot(window, folder / f"window-dragging{suffix}.jpg")
            window.says("px left")
            time.sleep(2)
            window.key("s", wait=1.5)
            shoot(window, folder / f"window-saved{suffix}.jpg")
            window.key("r", "space", wait=0.5)
            shoot(window, folder / f"window-problem{suffix}.jpg")
            window.key("q")
            window.process.wait(30)
        finally:
            window.process.kill()


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "images"
    target.mkdir(parents=True, exist_ok=True)
    for name, size in SIZES.items():
        edit(target, name, size)
