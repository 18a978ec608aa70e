"""What runs is shown in tables that fit a plain terminal."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from draggan_runtime.cli.tables import status_view

ENGINE: dict[str, Any] = {
    "name": "engine-1234",
    "state": "starting",
    "sessions": [f"s{i}" for i in range(16)],
    "drags": 16,
    "batch": 12.5,
    "round_ms": 12345.6,
    "steps_per_second": 1234.5,
    "bytes_used": 98_765_000_000,
    "pid": 4194303,
}
SESSION: dict[str, Any] = {
    "id": "the-nose-of-my-friend",
    "state": "running",
    "engine": "engine-1234",
    "place": 0,
    "step": 12345,
    "drag": "dragging",
    "left_px": 1234.5,
    "steps_per_second": 1234.5,
    "frame_age": 12.345,
    "watchers": 12,
    "engine_deaths": 100,
}


def shown(*sessions: dict[str, Any], width: int = 80, **changes: Any) -> str:
    told = {
        "engines": [ENGINE, {"name": "engine-2", "state": "spare", "sessions": []}],
        "sessions": sessions,
        "queue": 12,
        "engine_restarts": 3,
        "given_up": "",
        "limits": {"sessions": 4},
        "store": "/somewhere",
        **changes,
    }
    console = Console(file=io.StringIO(), width=width)
    console.print(status_view(told))
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def test_nothing_is_cut_off_at_80_columns_whatever_the_figures() -> None:
    text = shown(SESSION)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 80
    for figure in ("12345.6", "1234.5", "98765", "4194303", "12345", "100", "dragging", "steps/s", "seen by"):
        assert figure in text


def test_a_long_id_goes_on_in_the_next_line() -> None:
    text = shown({**SESSION, "id": "abcdefghij" * 6})
    assert "…" not in text
    first = [line.split(" ")[1 if line.startswith(" ") else 0] for line in text.splitlines()]
    assert "abcdefghij" * 6 in "".join(first)


@pytest.mark.parametrize(
    ("state", "drag", "said"),
    [
        ("queued", "", "queued, place 7"),
        ("parked", "reached", "parked, reached"),
        ("parked", "", "parked"),
        ("failed", "failed", "failed"),
        ("running", "", "running"),
    ],
)
def test_a_session_says_in_words_how_it_is(state: str, drag: str, said: str) -> None:
    usual = {"engine": "", "step": 63, "left_px": 0.9, "steps_per_second": 24.5, "frame_age": 0.04, "engine_deaths": 0}
    text = shown({**SESSION, **usual, "id": "nose", "state": state, "drag": drag, "place": 7})
    row = next(line for line in text.splitlines() if line.startswith(" nose "))
    assert f" {said} " in row


def test_a_session_on_the_disk_only_has_a_row_too() -> None:
    assert "stored" in shown({"id": "old", "state": "stored", "why": "", "created": 0.0})


def test_the_line_and_what_is_wrong_are_said() -> None:
    assert "12 waiting" in shown()
    assert "problem: engines cannot be started" in shown(given_up="engines cannot be started")
