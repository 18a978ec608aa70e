"""``draggan drag`` on the real default model, as a user runs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

DRAGGAN = [sys.executable, "-m", "draggan_runtime"]
POINT = ["--point", "512,590:560,590"]


def draggan(*arguments: str, **more) -> subprocess.CompletedProcess:
    return subprocess.run([*DRAGGAN, *arguments], capture_output=True, text=True, timeout=600, check=False, **more)


def refused(done: subprocess.CompletedProcess, *says: str) -> None:
    """Exit code 2, one line on stderr that says all of ``says``, no traceback."""
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    for text in says:
        assert text in done.stderr


@pytest.fixture(scope="module")
def edit(tmp_path_factory):
    out = tmp_path_factory.mktemp("edit")
    done = draggan("drag", "--seed", "7", *POINT, "--out", str(out), "--format", "json")
    assert done.returncode == 0, done.stderr
    return out, json.loads(done.stdout)


def test_the_nose_arrives(edit):
    out, result = edit
    assert result == json.loads((out / "result.json").read_text())
    assert (result["model"], result["seed"], result["layout"]) == ("ffhq", 7, "local")
    assert result["stopped"] == "reached"
    assert result["steps"] <= 300
    (point,) = result["points"]
    assert point["handle"] == [512, 590]
    assert point["target"] == [560, 590]
    assert point["distance"] <= 2.0
    assert np.hypot(*np.subtract(point["final"], point["target"])) == pytest.approx(point["distance"])
    assert "warnings" not in result
    assert result["steps_per_second"] == pytest.approx(result["steps"] / result["seconds"], rel=0.01)


def test_the_pictures_are_whole_and_the_face_has_moved(edit):
    out, _ = edit
    before, after, overlay = (np.asarray(Image.open(out / f"{n}.png")) for n in ("before", "after", "overlay"))
    assert before.shape == after.shape == (1024, 1024, 3)
    assert overlay.shape[1] == 1024
    moved = np.abs(before.astype(int) - after)[400:700, 350:700].mean()
    assert moved > 8
    # Where the nose was sought and found, the pictures look alike once shifted by the drag.
    old = before[500:640, 430:600].astype(float)
    new = after[500:640, 478:648].astype(float)
    unshifted = after[500:640, 430:600].astype(float)
    assert np.abs(old - new).mean() < 0.8 * np.abs(old - unshifted).mean()


def test_a_session_goes_on_where_it_was_saved(edit, tmp_path):
    out, _ = edit
    done = draggan(
        "drag", "--open", str(out / "edit.draggan"), "--point", "560,590:512,590", "--point", "40,40:60,40",
        "--max-steps", "2", "--out", str(tmp_path), "--format", "json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["stopped"] == "max_steps"
    assert all(0 < point["confidence"] <= 1 for point in result["points"])
    [warning] = result["warnings"]  # of the second point, which lies on the backdrop
    assert "40,40 looks like its surroundings" in warning
    assert f"draggan: {warning}" in done.stderr
    assert (tmp_path / "before.png").read_bytes() == (out / "after.png").read_bytes()


def test_ctrl_c_ends_the_drag_and_keeps_what_there_is(tmp_path):
    process = subprocess.Popen(
        [*DRAGGAN, "drag", "--seed", "7", "--point", "512,590:900,590", "--out", str(tmp_path),
         "--set", "drag.patience=0", "--set", "drag.min_confidence=0"],
        stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    while not (tmp_path / "before.png").exists():
        time.sleep(0.1)
    time.sleep(2)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=120)
    assert process.returncode == 130
    assert json.loads((tmp_path / "result.json").read_text())["stopped"] == "cancelled"
    assert (tmp_path / "edit.draggan").exists()
    assert (tmp_path / "after.png").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--point", "2000,10:20,20"], ["handle 2000,10 is outside the picture", "0 to 1023"]),
        (["--point", "512,590:560,1024"], ["target 560,1024 is outside the picture"]),
        (["--point", "512,590"], ["--point 512,590", "X,Y:X,Y"]),
        ([*POINT, "--set", "tracker.radius=wide"], ["tracker.radius", "wide"]),
        ([*POINT, "--set", "tracker.radios=8"], ["radios", "radius"]),
        ([*POINT, "--set", "traker.radius=8"], ["traker", "tracker"]),
        ([*POINT, "--set", "tracker.impl=tracking/nearst"], ["tracking/nearst", "tracking/nearest"]),
        ([*POINT, "--model", "cats"], ["cats", "ffhq"]),
        ([*POINT, "--mask", "{small_mask}"], ["small.png", "16x16", "1024x1024"]),
        ([*POINT, "--mask", "missing.png"], ["missing.png"]),
        ([*POINT, "--launch", "{broken_launch}"], ["broken.yaml:6", "featurs", "features"]),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments, says, tmp_path):
    small = tmp_path / "small.png"
    Image.new("L", (16, 16)).save(small)
    broken = tmp_path / "broken.yaml"
    broken.write_text(
        "version: 1\nname: broken\ngraph: drag\nconfig: ffhq\nnodes:\n"
        "  tracker: {inputs: {featurs: generator/features}}\n"
    )
    arguments = [a.format(small_mask=small, broken_launch=broken) for a in arguments]
    refused(draggan("drag", "--seed", "7", *arguments, "--out", str(tmp_path / "out")), *says)


def test_a_session_cut_in_half_is_refused_and_stays_as_it_is(edit, tmp_path):
    whole = (edit[0] / "edit.draggan").read_bytes()
    half = tmp_path / "half.draggan"
    half.write_bytes(whole[: len(whole) // 2])
    refused(draggan("drag", "--open", str(half), *POINT, "--out", str(tmp_path)), "half.draggan", "cut off")
    assert half.read_bytes() == whole[: len(whole) // 2]


def test_a_folder_that_cannot_be_written_is_refused_before_any_work(tmp_path):
    (tmp_path / "file").write_text("")
    done = draggan("drag", "--seed", "7", *POINT, "--out", str(tmp_path / "file" / "out"))
    refused(done, "cannot write", "choose a folder")


def test_without_a_network_the_first_fetch_says_how_to_add_the_file_by_hand(tmp_path):
    env = {**os.environ, "DRAGGAN_CACHE": str(tmp_path / "cache"), "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
           "PIP_RETRIES": "0", "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path)}  # fmt: skip
    done = draggan("drag", "--seed", "7", *POINT, "--out", str(tmp_path / "out"), env=env)
    assert done.returncode == 2
    last = done.stderr.strip().splitlines()[-1]
    assert "draggan models fetch ffhq --from" in last


def test_a_file_with_the_wrong_hash_is_refused(tmp_path):
    wrong = tmp_path / "wrong.whl"
    wrong.write_bytes(b"not the wheel")
    env = {**os.environ, "DRAGGAN_CACHE": str(tmp_path / "cache")}
    done = draggan("models", "fetch", "ffhq", "--from", str(wrong), env=env)
    assert done.returncode == 2
    last = done.stderr.strip().splitlines()[-1]
    assert "wrong.whl" in last
    assert "e5d10e2b" in last


def test_a_stylegan2_is_dragged_with_the_settings_of_the_paper(tmp_path):
    done = draggan(
        "drag", "--config", "stylegan2", "--model", "stylegan2:128", "--seed", "1", "--point", "60,64:70,64",
        "--max-steps", "2", "--out", str(tmp_path), "--format", "json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["steps"] == 2
    assert Image.open(tmp_path / "after.png").size == (128, 128)
    before, after = (np.asarray(Image.open(tmp_path / f"{name}.png"), int) for name in ("before", "after"))
    assert np.abs(after - before).max() > 0
