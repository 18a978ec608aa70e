"""What a batch takes as done, and what it makes again; nothing is started here."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from draggan_runtime.batch import Batch
from draggan_runtime.errors import UserError

EDITS = [
    {"seed": 7, "points": [{"handle": [512, 590], "target": [560, 590]}]},
    {"seed": 8, "points": [{"handle": [512, 590], "target": [560, 590]}], "mask": "face.png"},
    {"seed": 9, "points": [{"handle": [512, 590], "target": [560, 590]}], "id": "nine", "params": {"max_steps": 3}},
]


def paint(path: Path, rows: int) -> None:
    mask = np.zeros((1024, 1024), np.uint8)
    mask[:rows] = 255
    Image.fromarray(mask).save(path)


def write(folder: Path, edits: list[dict]) -> Path:
    file = folder / "edits.jsonl"
    file.write_text("".join(json.dumps(edit) + "\n" for edit in edits))
    return file


@pytest.fixture
def made(tmp_path: Path):
    """A batch of which everything is recorded as made: its file and folder."""
    paint(tmp_path / "face.png", 700)
    file, out = write(tmp_path, EDITS), tmp_path / "out"
    records = []
    for job in Batch(file, out).todo:
        (out / job.folder).mkdir()
        (out / job.folder / "result.json").write_text("{}")
        records.append({"line": job.line, "folder": job.folder, "hash": job.digest, "stopped": "reached"})
    (out / "results.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return file, out


def todo(file: Path, out: Path, **options) -> list[int]:
    return [job.line for job in Batch(file, out, **options).todo]


def test_what_is_recorded_is_not_made_again(made):
    assert todo(*made) == []
    assert Batch(*made).done == 3


def test_a_changed_line_is_made_again_and_a_line_written_otherwise_is_not(made):
    file, out = made
    write(file.parent, [{**EDITS[0], "seed": 70}, EDITS[1], dict(reversed(EDITS[2].items()))])
    assert todo(file, out) == [1]


def test_a_repainted_mask_is_made_again(made):
    paint(made[0].parent / "face.png", 701)
    assert todo(*made) == [2]


def test_other_parameters_for_the_whole_batch_make_all_again(made):
    assert todo(*made, set=["tracker.radius=8"]) == [1, 2, 3]
    assert todo(*made, set=["display.watermark=true"]) == [1, 2, 3]
    assert todo(*made, truncation_psi=0.5) == [1, 2, 3]
    assert todo(*made, max_steps=5) == [1, 2, 3]
    assert todo(*made, max_steps=300) == []  # the graph's own
    assert todo(*made, launch="live-headless") == []  # the layout makes no difference


def test_a_failed_edit_is_tried_again(made):
    file, out = made
    lines = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    lines[1]["error"] = "node 'tracker' failed"
    (out / "results.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert todo(file, out) == [2]


def test_a_folder_that_is_gone_is_made_again(made):
    shutil.rmtree(made[1] / "0002")
    assert todo(*made) == [2]


def test_a_torn_or_foreign_line_of_the_results_is_passed_over(made):
    file, out = made
    whole = (out / "results.jsonl").read_bytes()
    (out / "results.jsonl").write_bytes(b'[1]\n\xff\n{"folder": []}\n' + whole[:-20])
    assert todo(file, out) == [3]


def test_an_edit_with_an_id_is_found_again_on_another_line(made):
    file, out = made
    write(file.parent, [{**EDITS[0], "id": "new"}, *EDITS[:2], EDITS[2]])
    again = Batch(file, out)
    assert [job.line for job in again.todo] == [1, 2, 3]
    assert again.results[4]["folder"] == "nine"
    assert again.results[4]["line"] == 4


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        ({"points": [{"handle": [512, 590], "target": [1024, 590]}]}, "point 1: target 1024,590 is outside"),
        ({"mask": "none.png"}, "none.png does not exist"),
        ({"mask": "small.png"}, "small.png is 16x16 px"),
        ({"params": {"radius": 8}}, "'radius' is of no node"),
        ({"params": {"traker.radius": 8}}, "no node 'traker' in the graph; did you mean 'tracker'?"),
        ({"params": {"tracker.radios": 8}}, "did you mean 'radius'?"),
        ({"params": {"tracker.radius": "wide"}}, "'radius' of tracking/votes"),
        ({"params": {"max_steps": 0}}, "'max_steps' of runtime/drag"),
        ({"params": {"generator.model": "cats"}}, "'model' cannot change while the graph runs"),
        ({"params": {"tracker.impl": "tracking/none"}}, "'tracker.impl' is the same for all edits"),
        ({"params": {"display.out": "/tmp"}}, "use id and video"),
        ({"id": "NINE"}, "'NINE' is taken by line 1"),
        ({"id": "results.jsonl"}, "'results.jsonl' is taken"),
    ],
)
def test_a_line_that_does_not_fit_is_named_and_the_others_are_to_be_made(tmp_path: Path, edit, says):
    Image.new("L", (16, 16), 255).save(tmp_path / "small.png")
    batch = Batch(write(tmp_path, [EDITS[2], {**EDITS[0], **edit}, EDITS[0]]), tmp_path / "out")
    assert list(batch.broken) == [2]
    assert says in batch.broken[2]
    assert batch.named(2) == f"{tmp_path / 'edits.jsonl'}:2"
    assert [job.line for job in batch.todo] == [1, 3]


def test_nothing_starts_if_every_line_is_broken(tmp_path: Path):
    results = Batch([{"seed": 7}, {"points": []}], tmp_path / "out").run()
    assert [result["error"] for result in results] == ["missing points", "missing seed"]
    assert (tmp_path / "out" / "results.jsonl").read_text().count("\n") == 2


def test_what_concerns_all_edits_is_refused_at_once(tmp_path: Path):
    file = write(tmp_path, EDITS[:1])
    for options, says in (
        ({"set": ["traker.radius=8"]}, "tracker"),
        ({"launch": "nowhere"}, "nowhere"),
        ({"max_steps": 0}, "max_steps"),
        ({"set": ["display.impl=display/window"]}, "'out' is not a parameter of display/window"),
    ):
        with pytest.raises(UserError, match=says):
            Batch(file, tmp_path / "out", **options)
    (tmp_path / "empty.jsonl").write_text("\n\n")
    with pytest.raises(UserError, match=r"empty\.jsonl: nothing to do"):
        Batch(tmp_path / "empty.jsonl", tmp_path / "out")
    with pytest.raises(UserError, match="choose a folder"):
        Batch(file, file / "out")
