"""The piece of a photo that is to be inverted, chosen in the real window with a real mouse."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from draggan_nodes.capture.keys import CROP_HINT, POINTS_HINT
from PIL import Image
from test_hand_in_window import App, app
from xvfb import Screen, virtual_screen

SIZE = (300, 200)


@pytest.fixture(scope="module")
def screen() -> Iterator[Screen]:
    with virtual_screen((1280, 900)) as running:
        yield running


@pytest.fixture(scope="module")
def shared(screen: Screen, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    photo: Path = tmp_path_factory.mktemp("photo") / "me.png"
    Image.new("RGB", SIZE, (200, 150, 100)).save(photo)
    with app(screen, capture={"photo": str(photo)}) as running:
        screen.xdotool("windowfocus", running.window)  # no window manager does
        yield running


class Photo:
    """The photo as the window shows it: where its px are on the screen."""

    def __init__(self, running: App) -> None:
        self.running = running
        running.key("b")
        while not (view := running.next("view"))["photo"]:
            pass
        assert view["size"] == list(SIZE)
        self.scale, self.origin = view["scale"], view["origin"]

    def spot(self, x: float, y: float) -> tuple[int, int]:
        """The window px over the edge between px at x, y."""
        return round(x * self.scale + self.origin[0]), round(y * self.scale + self.origin[1])

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> list[float]:
        """The box after the mouse has gone from one place to another."""
        self.running.drag(self.spot(*start), self.spot(*end))
        return self.box()

    def box(self) -> list[float]:
        """As it is when nothing happens any more."""
        while not self.running.quiet(0.2):
            pass
        return list(self.running.last_hand["box"])


@pytest.fixture
def photo(shared: App) -> Iterator[Photo]:
    while not shared.quiet(0.15):
        pass
    shown = Photo(shared)
    yield shown
    if shared.last_hand["box"] is not None:
        shared.key("Escape")
        shared.hand(lambda hand: hand["box"] is None)


def px(box: list[float], tolerance: float = 1.0) -> Any:
    return pytest.approx(box, abs=tolerance)


def test_a_box_of_the_picture_s_proportions_lies_in_the_middle_of_the_whole_photo(photo: Photo) -> None:
    assert photo.running.last_hand["box"] == px([50, 0, 250, 200], 1e-6)
    assert photo.running.last_hand["hint"] == CROP_HINT
    (x0, y0), (x1, y1) = photo.spot(0, 0), photo.spot(*SIZE)

    def dim_outside(shot: np.ndarray) -> bool:
        part = shot[y0:y1, x0:x1]
        row = part[len(part) // 2]
        inside = (row == (200, 150, 100)).all(axis=1)
        return bool(abs(inside.mean() - 2 / 3) < 0.02 and (row[:5] < 100).all() and (row[-5:] < 100).all())

    assert photo.running.comes_to_show(dim_outside)


def test_it_is_moved_sized_and_taken_and_f_goes_back_to_the_face(photo: Photo) -> None:
    running = photo.running
    assert photo.drag((150, 100), (130, 160)) == px([30, 0, 230, 200])
    assert photo.drag((230, 200), (130, 100)) == px([30, 0, 130, 100])
    assert photo.drag((80, 50), (100, 120)) == px([50, 70, 150, 170])
    running.key("minus")
    smaller = photo.box()
    assert smaller == px([50 + 100 / 22, 70 + 100 / 22, 150 - 100 / 22, 170 - 100 / 22])
    running.key("plus")
    running.screen.xdotool("click", 5)
    assert photo.box() == px(smaller)
    running.key("Return")
    asked = running.next("request")
    assert asked["photo"] == [200, 300, 3]
    assert asked["box"] == px(smaller)
    running.hand(lambda hand: hand["box"] is None and hand["hint"] == POINTS_HINT)
    running.session(port="inverting", done=1, finished=True)
    assert Photo(running).box() == px(smaller)  # from there it goes on
    running.key("b")
    running.hand(lambda hand: hand["box"] is None)
    running.key("f")
    asked = running.next("request")
    assert (asked["photo"], asked["face"], asked["box"]) == ([200, 300, 3], None, None)


def test_while_it_is_chosen_nothing_else_happens(photo: Photo) -> None:
    running = photo.running
    for key in ("n", "m", "space", "r", "o", "c", "s"):
        running.key(key)
    running.click(*photo.spot(20, 20))
    running.click(*photo.spot(280, 20), 3)
    assert running.quiet()
    assert running.last_hand["box"] is not None
    running.key("Escape")
    view = running.next("view")
    assert (view["photo"], view["size"]) == (False, [1024, 1024])
    assert running.quiet()
    assert running.last_hand["box"] is None
    running.click(300, 300)
    running.hand(lambda hand: hand["points"] != [])  # clicks set points again
    running.key("Escape")
    running.hand(lambda hand: hand["points"] == [])


def test_help_lies_over_it_too(photo: Photo) -> None:
    running = photo.running
    running.key("h")
    running.hand(lambda hand: len(hand["help"]) > 12)
    running.key("Escape")
    running.hand(lambda hand: hand["help"] == [])
    assert running.last_hand["box"] is not None


def test_without_a_photo_there_is_nothing_to_choose_from(screen: Screen) -> None:
    with app(screen) as running:
        running.key("b")
        assert running.next("notice")["text"] == "there is no photo: o opens one"
