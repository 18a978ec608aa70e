"""A photo of one's own in the real window: given at the start, opened by its name, stopped, saved."""

from __future__ import annotations

import time

import numpy as np
import pytest
from PIL import Image
from test_live_window import Live
from test_own_photo import command
from xvfb import virtual_screen

from draggan_runtime.session import load_session

LEVELS = [f'{node}.level="64"' for node in ("tracker", "motion", "texture")]
SET = [
    *LEVELS,
    "source.impl=inversion/optimise",
    "source.cut=centre",
    "source.perceptual=no",
    "engine.threads=1",
    "display.max_side=900",
]


def arguments(steps: int) -> list[str]:
    return ["--model", "stylegan2:64", *(word for s in [*SET, f"source.steps={steps}"] for word in ("--set", s))]


@pytest.fixture(scope="module")
def screen():
    with virtual_screen((800, 600)) as screen:
        yield screen


@pytest.fixture
def photo(tmp_path):
    across = np.linspace(0, 255, 100).astype(np.uint8)
    pixels = np.stack([np.broadcast_to(across, (80, 100)), np.full((80, 100), 90), np.full((80, 100), 160)], axis=2)
    Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "Me.png")
    return tmp_path / "Me.png"


def test_a_photo_is_shown_stopped_saved_and_another_opened_by_its_name(screen, photo, tmp_path):
    live = Live(screen, tmp_path, "--image", str(photo), *arguments(5000))
    try:
        screen.window("Me.png", timeout=60)
        screen.xdotool("windowfocus", live.window)  # no window manager does
        screen.key(live.window, "space")
        live.says("the photo's latent is still being looked for")
        screen.key(live.window, "Escape")
        assert "of 5000 steps" in live.says("the photo's latent:")
        screen.key(live.window, "s")
        live.says("edit-1-photo.png")
        screen.key(live.window, "o")
        screen.xdotool("type", "--delay", 20, f"{tmp_path}/M\t\r")
        screen.key(live.window, "Escape")  # stops the search, and the program if there was none
        assert "of 5000 steps" in live.says("the photo's latent:")
        screen.key(live.window, "q")
        assert live.process.wait(30) == 0
    finally:
        live.process.kill()
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "edit-1-photo.png")), np.asarray(Image.open(photo)))
    assert b"compositeWithTrainedAlgorithmicMedia" in (tmp_path / "edit-1-photo.png").read_bytes()
    saved = load_session(tmp_path / "edit-1.draggan")
    np.testing.assert_array_equal(saved.w_plus, saved.anchor)


def test_another_piece_is_chosen_and_the_reopened_session_is_pasted_back_there(screen, photo, tmp_path):
    live = Live(screen, tmp_path, "--image", str(photo), *arguments(2))
    try:
        screen.window("Me.png", timeout=60)
        live.says("the photo's latent:")
        for key in ("b", "minus", "minus", "minus", "Return"):
            screen.key(live.window, key)
            time.sleep(0.5)  # OpenCV keeps one key between two looks
        live.says("the photo's latent:")
        screen.key(live.window, "s")
        live.says("edit-1-photo.png")
        screen.key(live.window, "q")
        assert live.process.wait(30) == 0
    finally:
        live.process.kill()
    kept = load_session(tmp_path / "edit-1.draggan").photo
    side = 80 / 1.1**3
    corner = np.linalg.solve(kept.matrix[:, :2], (-0.5, -0.5) - kept.matrix[:, 2]) + 0.5
    assert corner == pytest.approx((50 - side / 2, 40 - side / 2))
    assert 64 / np.hypot(*kept.matrix[:, 0]) == pytest.approx(side)
    again = Live(screen, tmp_path, "--open", str(tmp_path / "edit-1.png"), "--set", "display.max_side=900")
    try:
        screen.key(again.window, "s")
        again.says("edit-2-photo.png")
        screen.key(again.window, "q")
        assert again.process.wait(30) == 0
    finally:
        again.process.kill()
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "edit-2-photo.png")), np.asarray(Image.open(photo)))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["live", "--image", "text.jpg"], "text.jpg: it is not a photo"),
        (["live", "--image", "none.jpg"], "none.jpg does not exist"),
        (["local", "--image", "grey.png"], "launch 'local' has no window for a photo"),
        (["live", "--image", "grey.png", "--open", "x.draggan"], "--image and --open"),
    ],
)
def test_what_cannot_be_begun_with_is_said_in_a_line(words, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.jpg").write_text("I am no picture")
    Image.new("L", (200, 200), 90).save(tmp_path / "grey.png")
    done = command("launch", *words)
    assert done.returncode in (1, 2)
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert says in done.stderr


def test_a_parameter_that_is_no_photo_is_said_before_anything_starts(screen, tmp_path, monkeypatch):
    monkeypatch.setenv("DISPLAY", screen.display)
    (tmp_path / "text.jpg").write_text("I am no picture")
    done = command("launch", "window", "--set", f"capture.photo={tmp_path / 'text.jpg'}", "--out", str(tmp_path))
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1].endswith("give a JPEG, PNG, WebP or TIFF file")
    assert "Traceback" not in done.stderr
