"""Session files: exact, whole, and said plainly when they are not."""

from __future__ import annotations

import hashlib
import io
import os
import signal
import subprocess
import sys
import time
from dataclasses import fields, replace

import numpy as np
import pytest
from PIL import Image

from draggan_runtime.errors import UserError
from draggan_runtime.messages import PointPair
from draggan_runtime.placed_photo import PlacedPhoto
from draggan_runtime.session import DragRecord, SessionRecord, load_session, save_session
from draggan_runtime.wire import pack


def record() -> SessionRecord:
    w = np.random.default_rng(0).standard_normal((23, 512)).astype(np.float32)
    points = (PointPair(1, (512.0, 590.0), (560.0, 590.0)),)
    return SessionRecord(
        model="ffhq", seed=7, step=12, w_plus=w, anchor=w - 2, points=points, mask=np.eye(8, dtype=np.uint8),
        params={"tracker": {"impl": "tracking/nearest", "radius": 12.0}},
        history=[DragRecord(points, w - 1, w, {1: (559.0, 590.5)}, {1: 1.1}, 12, 3.4, "reached")],
    )  # fmt: skip


def test_a_session_reopens_bit_for_bit(tmp_path):
    saved = record()
    save_session(saved, tmp_path / "a.draggan")
    loaded = load_session(tmp_path / "a.draggan")
    assert loaded.w_plus.tobytes() == saved.w_plus.tobytes()
    assert loaded.anchor.tobytes() == saved.anchor.tobytes()
    assert loaded.history[0].start.tobytes() == saved.history[0].start.tobytes()
    assert np.array_equal(loaded.mask, saved.mask)
    for name in ("model", "seed", "truncation_psi", "step", "points", "params"):
        assert getattr(loaded, name) == getattr(saved, name)
    assert loaded.history[0].handles == saved.history[0].handles


def photo() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 255, (70, 90, 3), np.uint8)


def test_a_session_keeps_its_photo_bit_for_bit(tmp_path):
    matrix = np.array([[0.3, 0.1, 7.0], [-0.1, 0.3, -2.0]])
    save_session(replace(record(), photo=PlacedPhoto.packed(photo(), matrix)), tmp_path / "a.draggan")
    kept = load_session(tmp_path / "a.draggan").photo
    assert np.array_equal(kept.pixels, photo())
    assert kept.matrix.tobytes() == matrix.tobytes()


def test_a_session_of_before_photos_were_kept_opens(tmp_path):
    values = {f.name: getattr(record(), f.name) for f in fields(SessionRecord) if f.name != "photo"}
    values["history"] = [vars(drag) for drag in values["history"]]
    write(tmp_path / "a.draggan", values)
    assert load_session(tmp_path / "a.draggan").photo is None


def write(path, values) -> None:
    """A session file of any values, as somebody might make one."""
    body = pack(values)
    path.write_bytes(b"DRAGGAN\x01" + hashlib.sha256(body).digest() + body)


def png(size=(90, 70), mode="RGB") -> bytes:
    file = io.BytesIO()
    Image.new(mode, size).save(file, "PNG")
    return file.getvalue()


def tiff() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (90, 70)).save(file, "TIFF")
    return file.getvalue()


@pytest.mark.parametrize(
    ("said", "says"),
    [
        (b"PNG", "its photo is damaged"),
        ({"png": png()}, "its photo is damaged"),
        ({"png": "photo.png", "matrix": np.eye(2, 3)}, "its photo is damaged"),
        ({"png": png()[:-40], "matrix": np.eye(2, 3)}, "its photo is damaged"),
        ({"png": tiff(), "matrix": np.eye(2, 3)}, "its photo is damaged"),
        ({"png": png(), "matrix": np.eye(3)}, "its photo is damaged"),
        ({"png": png(), "matrix": np.full((2, 3), np.nan)}, "its photo is damaged"),
        ({"png": png((9000, 8000), "1"), "matrix": np.eye(2, 3)}, "9000x8000 px, more than 64 megapixels"),
    ],
    ids=["no photo", "no place", "a name", "cut off", "another format", "another matrix", "no numbers", "a bomb"],
)
def test_a_photo_that_somebody_has_put_into_a_session_is_checked(tmp_path, said, says):
    write(tmp_path / "a.draggan", {"history": [], "undone": [], "photo": said})
    with pytest.raises(UserError, match=says) as caught:
        load_session(tmp_path / "a.draggan")
    assert "\n" not in str(caught.value)
    assert "a.draggan" in str(caught.value)


def test_a_file_cut_in_half_is_said_to_be_cut(tmp_path):
    path = tmp_path / "a.draggan"
    save_session(record(), path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UserError, match=r"a\.draggan: damaged or cut off"):
        load_session(path)


@pytest.mark.parametrize(
    ("content", "says"), [(b"", "not a draggan session"), (b"\x80\x04K\x01.", "not a draggan session")]
)
def test_other_files_are_refused(tmp_path, content, says):
    path = tmp_path / "a.draggan"
    path.write_bytes(content)
    with pytest.raises(UserError, match=says):
        load_session(path)


def test_a_missing_file_and_a_folder_that_cannot_be_written_are_one_line(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        load_session(tmp_path / "none.draggan")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write .*choose a folder"):
        save_session(record(), tmp_path / "file" / "a.draggan")


def test_a_process_killed_while_saving_leaves_the_last_file_whole(tmp_path):
    path = tmp_path / "a.draggan"
    save_session(record(), path)
    code = (
        "import sys, pathlib, test_session_file as t\n"
        "from draggan_runtime.session import save_session\n"
        "while True: save_session(t.record(), pathlib.Path(sys.argv[1]))\n"
    )
    env = {**os.environ, "PYTHONPATH": os.path.dirname(__file__)}
    for wait in (0.0, 0.003, 0.011):
        process = subprocess.Popen([sys.executable, "-c", code, str(path)], env=env)
        changed = path.stat().st_ino
        while path.stat().st_ino == changed:
            time.sleep(0.001)
        time.sleep(wait)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert load_session(path).seed == 7
