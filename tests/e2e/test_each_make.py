"""A file of each make, square and not, the whole way: added, looked at and dragged by command line and by window."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
import typer
from checkpoint_files import FORMATS
from draggan_nodes.generation.stylegan2_state import Architecture
from PIL import Image
from test_live_window import Live
from typer.testing import CliRunner, Result
from xvfb import Screen, virtual_screen

from draggan_runtime.cli import drag, models
from draggan_runtime.session import load_session

SQUARE = Architecture(channels=(32, 24, 16, 12), mapping=(32, 32), z_dim=32)
HIGH = Architecture(channels=(24, 16, 12, 8, 8), mapping=(32, 32), z_dim=32, columns=2)
WIDE = Architecture(channels=(24, 16, 12, 8), mapping=(32, 32), z_dim=32, columns=8)
#: What a person is told that a file is.
SAID = {
    "stylegan2-ada-pytorch": "stylegan2-ada-pytorch pickle",
    "stylegan3 code base": "stylegan3 code base, StyleGAN2 pickle",
    "tensorflow": "StyleGAN2 of TensorFlow",
    "stylegan-human": "stylegan2-ada-pytorch pickle",
    "self-distilled": "stylegan2-ada-pytorch pickle",
    "rosinality": "rosinality's stylegan2-pytorch",
    "pti": "StyleGAN2 module saved whole, as PTI saves it (PyTorch)",
    "state dict": "state dict (PyTorch)",
    "old torch file": "state dict (PyTorch)",
    "safetensors": "state dict (PyTorch)",
    "gzipped": "stylegan2-ada-pytorch pickle",
    "own": "stylegan2-ada-pytorch pickle",
    "wide": "stylegan2-ada-pytorch pickle",
}
SHAPES = {"stylegan-human": HIGH, "wide": WIDE}

app = typer.Typer()
app.add_typer(models.app, name="models")
app.command("drag")(drag.drag)


@pytest.fixture
def screen():
    """One for each: the q that ends a program may reach the next on its screen."""
    with virtual_screen((1280, 1024)) as screen:
        yield screen


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DRAGGAN_CACHE", str(tmp_path / "cache"))


def command(*arguments: object) -> Result:
    """A ``draggan`` command in this process, on a terminal of 80 x 24."""
    done = CliRunner(env={"COLUMNS": "80", "LINES": "24"}).invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.exception
    return done


def written(folder: Path, kind: str) -> tuple[Path, Architecture]:
    architecture = SHAPES.get(kind, SQUARE)
    write = FORMATS.get(kind, FORMATS["stylegan2-ada-pytorch"])
    file = folder / "weights"
    file.write_bytes(write(architecture.random_state(0)))
    if kind == "own":
        command("models", "convert", file, folder / "own.safetensors")
        file = folder / "own.safetensors"
    return file, architecture


@pytest.mark.parametrize("kind", SAID)
def test_it_is_added_told_and_dragged_by_the_command_line(tmp_path, kind):
    file, architecture = written(tmp_path, kind)
    width, height = architecture.size
    command("models", "add", file, "--name", "mine")
    for given in (file, "mine"):
        told = command("models", "info", given).stdout.rstrip("\n").split("\n")
        assert len(told) <= 24
        assert max(map(len, told)) <= 80
        assert f"pictures {width} x {height}" in " ".join("\n".join(told).split())
        assert SAID[kind] in " ".join("\n".join(told).split())
    out = tmp_path / "out"
    command("drag", "--model", "mine", "--seed", 1, "--point", "10,12:13,12", "--max-steps", 3, "--out", out)
    before, after = (np.array(Image.open(out / name)) for name in ("before.png", "after.png"))
    assert before.shape == after.shape == (height, width, 3)
    assert not np.array_equal(before, after)
    assert json.loads((out / "result.json").read_text())["steps"] > 0


class Window:
    """A model's picture in a window: points are given in px of the picture, drawn 3 times as large."""

    def __init__(self, screen: Screen, folder: Path, architecture: Architecture, launch: str) -> None:
        options = ("--model", "mine", "--set", "capture.seed=1", "--set", "drag.max_steps=4")
        self.live = Live(screen, folder, *options, "--set", "display.max_side=384", launch=launch)
        self._left = (480 - 3 * architecture.size[0]) // 2  # the window is 480 px wide
        self._width, self._height = (3 * side for side in architecture.size)

    def at(self, point: tuple[int, int]) -> tuple[int, int]:
        return self._left + 3 * point[0] + 1, 3 * point[1] + 1

    def shows_a_picture(self, timeout: float = 60.0) -> None:
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline and self.live.process.poll() is None:
            shot = self.live.screen.grab()[: self._height, self._left : self._left + self._width]
            if shot.std() > 10:
                return
            time.sleep(0.1)
        raise AssertionError(f"no picture appeared; exit code {self.live.process.poll()}")

    def click(self, *points: tuple[int, int]) -> None:
        for point in points:
            self.live.screen.click(self.live.window, *self.at(point))
            time.sleep(0.2)  # else two are a double click

    def stroke(self, *points: tuple[int, int]) -> None:
        self.live.screen.stroke(self.live.window, *map(self.at, points))

    def key(self, *keys: str) -> None:
        for key in keys:
            self.live.screen.key(self.live.window, key)
            time.sleep(0.1)


def dragged(screen: Screen, folder: Path, architecture: Architecture, launch: str, paint: bool = False):
    """The session of a drag by 4 px to the right in a window; with ``paint`` after a band was painted as movable."""
    window = Window(screen, folder, architecture, launch)
    try:
        window.shows_a_picture()
        if paint:
            window.key("m", *["bracketleft"] * 6)  # the brush of 40 px is wider than the picture
            window.stroke((1, 12), (16, 12), (30, 12))
            window.key("m")
        window.click((10, 12), (14, 12))
        window.key("space")
        window.live.says("px left", timeout=30)
        window.key("s")
        window.live.says("saved", timeout=30)
        window.key("q")
        assert window.live.process.wait(30) == 0
    finally:
        window.live.process.kill()
    return load_session(folder / "seed1-1.draggan")


@pytest.mark.parametrize("kind", SAID)
def test_it_is_dragged_in_the_window(screen, tmp_path, kind):
    file, architecture = written(tmp_path, kind)
    command("models", "add", file, "--name", "mine")
    record = dragged(screen, tmp_path, architecture, launch="window")
    (drag,) = record.history
    np.testing.assert_allclose([drag.points[0].target], [(14, 12)], atol=1)
    assert record.model == "mine"
    assert drag.steps > 0
    assert not np.array_equal(drag.start, drag.end)


def test_a_mask_is_painted_on_a_picture_that_is_higher_than_wide(screen, tmp_path):
    """Beside an engine of its own, as a person has it."""
    file, architecture = written(tmp_path, "stylegan-human")
    command("models", "add", file, "--name", "mine")
    record = dragged(screen, tmp_path, architecture, launch="live", paint=True)
    width, height = architecture.size
    assert record.mask.shape == (height, width)
    assert record.mask[12].all()
    assert not record.mask[height // 2 :].any()
    assert record.history[0].steps > 0
