"""Lines of a batch: what is taken, and what each slip is told."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from draggan_runtime.edit_lines import as_lines, parse_line, read_lines
from draggan_runtime.errors import UserError

POINTS = [{"handle": [512, 590], "target": [560, 590.5]}]


def line(**keys) -> bytes:
    return json.dumps({"seed": 7, "points": POINTS, **keys}).encode()


def test_a_line_needs_a_seed_and_points_only():
    edit = parse_line(line())
    assert (edit.seed, edit.points[0].handle, edit.points[0].target) == (7, (512, 590), (560, 590.5))
    assert (edit.mask, edit.params, edit.truncation_psi, edit.film, edit.id) == (None, {}, None, "", None)


@pytest.mark.parametrize(("video", "film"), [(True, "edit.mp4"), ("mp4", "edit.mp4"), ("gif", "edit.gif"), (False, "")])
def test_a_film_is_an_mp4_unless_said_otherwise(video, film):
    assert parse_line(line(video=video)).film == film


def test_an_id_may_be_a_number():
    assert parse_line(line(id=12)).id == "12"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b'{"seed": 7, ', ["not JSON", "column 13"]),
        (b'{"seed": 7} {"seed": 8}', ["not JSON", "column 13"]),
        (b"[" * 100_000, ["not JSON"]),
        (b'{"seed": 7, "id": "\xff"}', ["not UTF-8"]),
        (b"[7]", ["not an object"]),
        (b'{"seed": 7}', ["missing points"]),
        (line(seed="7"), ["seed", "integer", "'7'"]),
        (line(seed=7.5), ["seed", "integer"]),
        (line(seed=True), ["seed", "integer"]),
        (line(seed=-1), ["seed", "greater than or equal to 0"]),
        (line(seed=2**32), ["seed", "4294967296"]),
        (line(points=[]), ["points", "at least 1"]),
        (line(points=[{"handle": [1, 2], "target": [3]}]), ["missing points[0].target[1]"]),
        (line(points=[{"handle": [1, 2], "target": [3, 4, 5]}]), ["points[0].target", "at most 2"]),
        (line(points=[{"handle": [1, 2], "target": [3, "4"]}]), ["points[0].target[1]", "number", "'4'"]),
        (line(points=[{"handle": [1, 2], "target": [3, float("nan")]}]), ["points[0].target[1]", "finite"]),
        (line(points=[{"handel": [1, 2], "target": [3, 4]}]), ["unknown key 'handel'", "'handle'"]),
        (b'{"seed": 7, "pionts": []}', ["unknown key 'pionts'", "'points'"]),
        (line(mask=""), ["mask"]),
        (line(mask=["face.png"]), ["mask", "string"]),
        (line(params=[1]), ["params"]),
        (line(truncation_psi=2), ["truncation_psi", "1.5"]),
        (line(video="avi"), ["video", "'mp4' or 'gif'"]),
        (line(id="../up"), ["id", "'../up' names no folder"]),
        (line(id=".."), ["id", "names no folder"]),
        (line(id=True), ["id", "string"]),
    ],
)
def test_a_slip_is_told_in_one_line(text, says):
    with pytest.raises(UserError) as refused:
        parse_line(text)
    told = str(refused.value)
    assert len(told.splitlines()) == 1
    assert all(word in told for word in says), told


def test_empty_lines_and_a_byte_order_mark_are_passed_over_and_lines_keep_their_numbers(tmp_path: Path):
    file = tmp_path / "edits.jsonl"
    file.write_bytes(b"\xef\xbb\xbf" + line() + b"\r\n\r\n  \n" + line(seed=8))
    lines = read_lines(file)
    assert {n: parse_line(text).seed for n, text in lines.items()} == {1: 7, 4: 8}


def test_edits_of_a_program_may_hold_tuples_arrays_and_paths():
    edit = {"seed": np.int64(7), "points": [{"handle": (512, 590), "target": np.array([560, 590.5])}]}
    (text,) = as_lines([{**edit, "mask": Path("masks") / "face.png"}]).values()
    assert parse_line(text) == parse_line(line(mask="masks/face.png"))
