"""A scripted hand plays an edit file, and says in one line what is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from draggan_nodes.capture.edit import load_edit
from draggan_nodes.capture.script import ScriptedCapture
from draggan_nodes.capture.window import WindowCapture
from PIL import Image

from draggan_runtime.errors import UserError
from draggan_runtime.messages import Message, Progress
from draggan_runtime.node import Context, Turn

ONE = """
seed: 7
truncation_psi: 0.5
points: [{handle: [512, 590], target: [464, 590]}, {handle: [1, 2], target: [3, 4]}]
"""
TWO = """
seed: 7
mask: mask.png
drags:
  - points: [{handle: [5, 5], target: [6, 5]}]
  - {points: [{handle: [7, 7], target: [8, 7]}], mask: other.png}
"""


class Hand:
    """A ScriptedCapture with one session's state."""

    def __init__(self, path: Path | str = "", **params: Any) -> None:
        self.node = ScriptedCapture(ScriptedCapture.Params(edit=str(path), **params), Context("capture"))
        self.node.configure()
        self.state = self.node.new_state()

    def poll(self, progress: Progress | None = None) -> list[tuple[str, Message]]:
        turn = Turn("s", 0, {"progress": progress} if progress else {}, self.state)
        self.node.poll(turn)
        return turn.emitted


def said(emitted: list[tuple[str, Message]]) -> list[str]:
    """Ports in order; commands with their verb."""
    return [f"command {m.verb}" if port == "command" else port for port, m in emitted]  # type: ignore[attr-defined]


def progress(stopped: Any = None) -> Progress:
    return Progress(
        session="s", step=3, drag_steps=3, handles={}, distances={}, confidence={}, loss=0.0,
        w_plus=np.zeros((1, 1)), seconds=1.0, stopped=stopped,
    )  # fmt: skip


def edit_file(folder: Path, text: str, name: str = "edit.yaml") -> Path:
    for mask in ("mask.png", "other.png"):
        Image.new("L", (16, 12), 255).save(folder / mask)
    (folder / name).write_text(text)
    return folder / name


def test_an_edit_asks_for_its_picture_sets_the_goal_and_starts(tmp_path: Path) -> None:
    emitted = Hand(edit_file(tmp_path, ONE)).poll()
    assert said(emitted) == ["request", "goal", "command start"]
    request: Any = emitted[0][1]
    goal: Any = emitted[1][1]
    assert (request.session, request.seed, request.truncation_psi) == ("s", 7, 0.5)
    assert [(p.handle, p.target) for p in goal.points] == [((512, 590), (464, 590)), ((1, 2), (3, 4))]
    assert len({p.id for p in goal.points}) == 2


def test_it_waits_for_the_end_of_the_drag_and_quits(tmp_path: Path) -> None:
    hand = Hand(edit_file(tmp_path, ONE))
    hand.poll()
    assert hand.poll() == []
    assert hand.poll(progress()) == []
    assert said(hand.poll(progress("max_steps"))) == ["command quit"]
    assert hand.poll(progress("max_steps")) == []


def test_several_drags_are_played_one_after_another_with_new_ids_and_masks(tmp_path: Path) -> None:
    hand = Hand(edit_file(tmp_path, TWO), size=(16, 12))
    first = hand.poll()
    assert said(first) == ["request", "mask", "goal", "command start"]
    assert np.array_equal(first[1][1].movable, np.ones((12, 16)))  # type: ignore[attr-defined]
    ended = progress("reached")
    second = hand.poll(ended)
    assert said(second) == ["mask", "goal", "command start"]
    assert first[2][1].points[0].id != second[1][1].points[0].id  # type: ignore[attr-defined]
    assert hand.poll(ended) == []  # the end of the first drag is not the end of the second
    assert said(hand.poll(progress("reached"))) == ["command quit"]


@pytest.mark.parametrize("how", ["failed", "cancelled"])
def test_a_drag_that_fails_or_is_cancelled_ends_the_edit(tmp_path: Path, how: str) -> None:
    hand = Hand(edit_file(tmp_path, TWO))
    hand.poll()
    assert said(hand.poll(progress(how))) == ["command quit"]


def test_without_a_seed_the_session_keeps_its_picture(tmp_path: Path) -> None:
    assert said(Hand(edit_file(tmp_path, ONE.replace("seed: 7", ""))).poll()) == ["goal", "command start"]


def test_json_is_read_as_well(tmp_path: Path) -> None:
    text = json.dumps({"seed": 1, "points": [{"handle": [1, 2], "target": [3, 4]}]}, indent=1)
    assert said(Hand(edit_file(tmp_path, text, "edit.json")).poll()) == ["request", "goal", "command start"]


def test_without_an_edit_nothing_is_said() -> None:
    assert Hand().poll() == []


def test_a_restored_script_goes_on_where_it_was(tmp_path: Path) -> None:
    hand = Hand(edit_file(tmp_path, TWO))
    hand.poll()
    other = Hand(tmp_path / "edit.yaml")
    other.state = other.node.restore(json.loads(json.dumps(hand.node.snapshot(hand.state))))
    assert said(other.poll(progress("reached"))) == ["mask", "goal", "command start"]


def test_the_scripted_and_the_window_hand_have_the_same_ports() -> None:
    assert ScriptedCapture.inputs == WindowCapture.inputs
    assert ScriptedCapture.outputs == WindowCapture.outputs


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("seed: [", r"edit\.yaml:1"),
        ("seeds: 7\npoints: [{handle: [1, 2], target: [3, 4]}]", "seeds.*known here: seed"),
        ("seed: -1\npoints: [{handle: [1, 2], target: [3, 4]}]", "seed: .*greater than or equal to 0"),
        ("seed: 7", "either points"),
        ("points: [{handle: [1, 2], target: [3, 4]}]\ndrags: [{points: []}]", "drags.0.points"),
        ("points: [{handle: [1], target: [3, 4]}]", r"points\.0\.handle"),
        ("points: [{handle: [.nan, 1], target: [3, 4]}]", "finite"),
        ("points: [{handle: [a, 1], target: [3, 4]}]", r"points\.0\.handle\.0"),
        ("- 1", "dict"),
        ("", "dict"),
        ("!!python/object/apply:os.system [ls]", r"edit\.yaml:1"),
    ],
)
def test_a_bad_edit_is_named_with_its_place_in_one_line(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint) as caught:
        load_edit(edit_file(tmp_path, text))
    assert "edit.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_missing_or_no_text_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.yaml"):
        load_edit(tmp_path / "none.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(UserError, match="not text"):
        load_edit(tmp_path / "binary.yaml")


def test_everything_the_edit_names_is_checked_before_the_start(tmp_path: Path) -> None:
    path = edit_file(tmp_path, TWO)
    ScriptedCapture.prepare(ScriptedCapture.Params(edit=str(path), size=(16, 12)))
    with pytest.raises(UserError, match=r"drag 1: handle 5,5 lies outside .* 4x4 px"):
        ScriptedCapture.prepare(ScriptedCapture.Params(edit=str(path), size=(4, 4)))
    with pytest.raises(UserError, match=r"mask\.png is 16x12 px"):
        ScriptedCapture.prepare(ScriptedCapture.Params(edit=str(path), size=(32, 32)))
    (tmp_path / "other.png").unlink()
    with pytest.raises(UserError, match=r"other\.png does not exist"):
        ScriptedCapture.prepare(ScriptedCapture.Params(edit=str(path)))
