"""``draggan drag --batch`` on the real default model: killed, interrupted, resumed; each edit as if made alone."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

import draggan_runtime as draggan
from draggan_runtime.batch import Batch
from draggan_runtime.session import load_session

DRAG = [sys.executable, "-m", "draggan_runtime", "drag"]
RIGHT = [{"handle": [512, 590], "target": [560, 590]}]
DOWN = [{"handle": [512, 590], "target": [512, 650]}]
FILES = ["after.png", "before.png", "edit.draggan", "overlay.png", "result.json"]
LINES = [
    {"seed": 7, "points": RIGHT, "params": {"max_steps": 2}},
    '{"seed": 7, "points": ',
    {"seed": 7, "points": DOWN, "params": {"max_steps": 3}},
    {"seed": 7, "points": RIGHT, "params": {"generator.model": "cats"}},
    {"seed": 8, "points": DOWN, "mask": "face.png", "id": "chin", "truncation_psi": 0.5,
     "params": {"max_steps": 3, "tracker.radius": 8, "motion.radius": 5, "generator.learning_rate": 0.01}},
    {"seed": 9, "points": [{"handle": [512, 590], "target": [512, 590]}]},
    {"seed": 9, "points": [{"handle": [512, 590], "target": [512, 5900]}]},
    {"seed": 10, "points": RIGHT},
]  # fmt: skip
MADE = {1: "0001", 3: "0003", 5: "chin", 6: "0006", 8: "0008"}
BROKEN = {2: "not JSON", 4: "'model' cannot change while the graph runs", 7: "512,5900 is outside the picture"}


def start(folder: Path) -> subprocess.Popen:
    command = [*DRAG, "--batch", "edits.jsonl", "--out", "out", "--max-steps", "2"]
    return subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def wait_for(path: Path, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 300
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)


def results(folder: Path) -> dict[int, dict]:
    return {line["line"]: line for line in map(json.loads, (folder / "out" / "results.jsonl").read_text().splitlines())}


def marks(folder: Path, *names: str) -> dict[str, tuple[int, int]]:
    """Inode and time of the files of some edits: other ones once they are written again."""
    files = [folder / "out" / name / file for name in names for file in FILES]
    return {str(file): (file.stat().st_ino, file.stat().st_mtime_ns) for file in files}


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """A batch that is killed in its second edit, interrupted in its third, and then left in peace."""
    folder = tmp_path_factory.mktemp("batch")
    mask = np.zeros((1024, 1024), np.uint8)
    mask[300:900, 250:750] = 255
    Image.fromarray(mask).save(folder / "face.png")
    (folder / "edits.jsonl").write_text(
        "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in LINES)
    )
    runs, kept = [], []
    for folder_under_way, blow in (("0003", signal.SIGKILL), ("chin", signal.SIGINT)):
        process = start(folder)
        wait_for(folder / "out" / folder_under_way / "before.png", process)
        process.send_signal(blow)
        _, errors = process.communicate(timeout=600)
        runs.append((process.returncode, errors, results(folder)))
        kept.append(marks(folder, *[name for n, name in MADE.items() if n in runs[-1][2]]))
    process = start(folder)
    _, errors = process.communicate(timeout=600)
    runs.append((process.returncode, errors, results(folder)))
    return folder, runs, kept


def test_the_broken_lines_are_named_by_number_at_each_run(told):
    for _, errors, _ in told[1]:
        named = [line for line in errors.splitlines() if any(why in line for why in BROKEN.values())]
        assert [line.split(" ")[1] for line in named] == [f"edits.jsonl:{n}:" for n in BROKEN]


def test_it_goes_on_where_it_was_killed_and_where_it_was_interrupted(told):
    _, ((killed, _, first), (interrupted, after_kill, second), (ended, after_interrupt, third)), _ = told
    assert (killed, interrupted, ended) == (-signal.SIGKILL, 130, 1)
    assert sorted(first) == sorted([1, *BROKEN])
    assert sorted(second) == sorted([1, 3, *BROKEN])
    assert sorted(third) == list(range(1, 9))
    assert "1 of 5 edits were done already" in after_kill
    assert "2 of 5 edits were done already" in after_interrupt
    assert "the same command goes on" in after_kill


def test_what_was_done_is_not_made_twice(told):
    folder, runs, kept = told
    for before in kept:
        assert before.items() <= marks(folder, *MADE.values()).items()
    for earlier, later in itertools.pairwise(runs):
        assert earlier[2].items() <= later[2].items()


def test_each_edit_has_its_folder_and_its_line(told):
    folder, runs, _ = told
    last = runs[-1][2]
    assert {n: line["folder"] for n, line in last.items() if n in MADE} == MADE
    for n, name in MADE.items():
        assert sorted(p.name for p in (folder / "out" / name).iterdir()) == FILES
        written = json.loads((folder / "out" / name / "result.json").read_text())
        assert written.items() <= last[n].items()
        assert written["seed"] == LINES[n - 1]["seed"]
    assert {n: line["steps"] for n, line in last.items() if n in MADE} == {1: 2, 3: 3, 5: 3, 6: 0, 8: 2}
    assert [n for n, line in last.items() if line.get("stopped") == "reached"] == [6]
    assert all(BROKEN[n] in last[n]["error"] for n in BROKEN)


ALONE = {
    "chin": ["--seed", "8", "--truncation-psi", "0.5", "--point", "512,590:512,650", "--mask", "face.png",
             "--max-steps", "3", "--set", "tracker.radius=8", "--set", "motion.radius=5",
             "--set", "generator.learning_rate=0.01"],
    "0008": ["--seed", "10", "--point", "512,590:560,590", "--max-steps", "2"],
}  # fmt: skip


@pytest.mark.parametrize("name", ALONE)
def test_an_edit_of_the_batch_is_that_edit_made_alone_bit_for_bit(told, name, tmp_path):
    # "0008" is made by the run that made "chin": nothing of its mask and parameters may stay.
    alone = subprocess.run(
        [*DRAG, *ALONE[name], "--out", str(tmp_path)], cwd=told[0], capture_output=True, text=True, check=False
    )
    assert alone.returncode == 0, alone.stderr
    ours, theirs = (load_session(folder / "edit.draggan") for folder in (told[0] / "out" / name, tmp_path))
    assert np.array_equal(ours.w_plus, theirs.w_plus)
    assert np.array_equal(ours.history[0].start, theirs.history[0].start)
    assert (ours.params, ours.points, ours.step) == (theirs.params, theirs.points, theirs.step)
    assert (ours.mask is None) == (theirs.mask is None) == (name != "chin")
    for picture in ("before.png", "after.png", "overlay.png"):
        assert (told[0] / "out" / name / picture).read_bytes() == (tmp_path / picture).read_bytes(), picture


FRAGILE = '''"""Breaks where it is told to."""

from pydantic import Field

from draggan_nodes.tracking.nearest import NearestTracker


class Fragile(NearestTracker):
    class Params(NearestTracker.Params):
        breaks: bool = Field(False)

    def find(self, level, points):
        if self.params.breaks:
            raise ValueError("as it was told")
        return super().find(level, points)
'''


def test_an_edit_that_fails_is_recorded_and_the_others_go_on(tmp_path):
    (tmp_path / "fragile.py").write_text(FRAGILE)
    fragile = [f"tracker.impl={tmp_path / 'fragile.py'}:Fragile"]
    edits = [
        {"seed": 7, "points": RIGHT, "id": "breaks", "params": {"tracker.breaks": True}},
        {"seed": 7, "points": RIGHT, "id": "unheard", "params": {"tracker.level": "48"}},
        {"seed": 7, "points": np.array([[512, 590]]), "id": "broken"},
        {"seed": 7, "points": RIGHT, "id": "whole"},
    ]
    seen = []
    first = draggan.batch(edits, tmp_path / "out", set=fragile, max_steps=1, progress=seen.append)
    assert [result["line"] for result in first] == [1, 2, 3, 4]
    assert (first[0]["stopped"], "as it was told" in first[0]["error"]) == ("failed", True)
    assert "no feature level '48'" in first[1]["error"]
    assert "points" in first[2]["error"]
    assert (first[3]["stopped"], first[3].get("error")) == ("max_steps", None)
    assert [(now.line, now.done, now.total) for now in seen if now.result] == [(1, 0, 3), (2, 0, 3), (4, 1, 3)]
    assert [now.drag.drag_steps for now in seen if now.drag and now.line == 4] == [0, 1]

    again = Batch(edits, tmp_path / "out", set=fragile, max_steps=1)
    assert [job.line for job in again.todo] == [1, 2]  # what failed is tried again


def test_an_edit_may_have_a_film(tmp_path):
    edits = [{"seed": 7, "points": RIGHT, "id": "film", "video": True}, {"seed": 8, "points": RIGHT, "id": "still"}]
    results = draggan.batch(edits, tmp_path, max_steps=1)
    assert {result["layout"] for result in results} == {"record"}
    assert sorted(p.name for p in (tmp_path / "film").iterdir()) == sorted([*FILES, "edit.mp4"])
    assert sorted(p.name for p in (tmp_path / "still").iterdir()) == FILES
    with av.open(str(tmp_path / "film" / "edit.mp4")) as container:
        shown = [frame.reformat(64, 64, "rgb24").to_ndarray().astype(int) for frame in container.decode(video=0)]
    for frame, name in ((shown[0], "before.png"), (shown[-1], "after.png")):
        picture = Image.open(tmp_path / "film" / name).resize((64, 64), Image.Resampling.BOX)
        assert np.abs(frame - np.asarray(picture)).mean() < 8, name


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--batch", "edits.jsonl", "--seed", "7"], ["--batch and --seed", "edits.jsonl"]),
        (["--batch", "edits.jsonl", "--point", "1,2:3,4"], ["--batch and --point"]),
        (["--batch", "edits.jsonl", "--open", "edit.draggan"], ["--batch and --open"]),
        (["--batch", "edits.jsonl", "--mask", "face.png"], ["--batch and --mask"]),
        (["--batch", "edits.jsonl", "--video", "edit.mp4"], ["--batch and --video"]),
        (["--batch", "none.jsonl"], ["cannot read none.jsonl"]),
        (["--seed", "7"], ["no point to drag", "--point X,Y:X,Y"]),
        ([], ["--seed", "--open", "--batch"]),
    ],
)
def test_what_does_not_go_together_is_one_line_and_exit_code_2(arguments, says, tmp_path):
    (tmp_path / "edits.jsonl").write_text(json.dumps(LINES[0]))
    done = subprocess.run(
        [*DRAG, *arguments, "--out", "out"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert all(text in done.stderr for text in says), done.stderr
    assert not (tmp_path / "out").exists()
