"""The line in which a file's name is typed."""

from __future__ import annotations

from pathlib import Path

import pytest
from draggan_nodes.capture.prompt import Prompt


def typed(text: str) -> Prompt:
    prompt = Prompt()
    for letter in text:
        prompt.type(letter)
    return prompt


def completed(text: str) -> str:
    prompt = typed(text)
    prompt.complete()
    return prompt.text


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("me.jpg", "me-and-you.jpg", "Zoë at sea.png", ".hidden.png"):
        (folder / name).touch()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(folder)
    return folder


def test_letters_come_and_go() -> None:
    prompt = typed("ab c")
    assert (prompt.text, prompt.path) == ("ab c", Path("ab c"))
    prompt.erase()
    prompt.erase()
    assert prompt.text == "ab"
    prompt.clear()
    prompt.erase()
    assert (prompt.text, prompt.path) == ("", None)


@pytest.mark.parametrize(
    ("text", "becomes"),
    [
        ("m", "me"),  # as far as both agree
        ("me.", "me.jpg"),
        ("Z", "Zoë at sea.png"),
        ("z", "Zoë at sea.png"),  # nothing has the small letter
        ("nobody", "nobody"),
        (".", ".hidden.png"),
        ("nowhere/at/all", "nowhere/at/all"),
        ("~", "~/photos/"),
        ("~/ph", "~/photos/"),
        ("~/photos/me-", "~/photos/me-and-you.jpg"),
        ("../photos/me.", "../photos/me.jpg"),
        ("me.jpg/", "me.jpg/"),
    ],
)
@pytest.mark.usefixtures("photos")
def test_names_are_completed_as_a_shell_does(text: str, becomes: str) -> None:
    assert completed(text) == becomes


def test_absolute_names_are_completed_too(photos: Path) -> None:
    assert completed(f"{photos}/me-") == f"{photos}/me-and-you.jpg"
    assert completed(str(photos)) == f"{photos}/"


@pytest.mark.usefixtures("photos")
def test_where_names_part_the_choices_are_there_until_the_next_letter() -> None:
    prompt = typed("m")
    prompt.complete()
    assert prompt.choices == ("me-and-you.jpg", "me.jpg")
    prompt.type(".")
    assert prompt.choices == ()
    prompt.complete()
    assert (prompt.text, prompt.choices) == ("me.jpg", ())


@pytest.mark.usefixtures("photos")
def test_the_home_folder_is_found(tmp_path: Path) -> None:
    assert typed("~/photos/me.jpg").path == tmp_path / "photos" / "me.jpg"
    assert typed("  me.jpg ").path == Path("me.jpg")
