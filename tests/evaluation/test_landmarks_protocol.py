"""The protocol landmarks on a real pair: what it moves, what it measures, what it draws."""

import json
import subprocess
import sys

import numpy as np
import pytest

from draggan_runtime.errors import UserError
from draggan_runtime.evaluation.at_512 import at_512
from draggan_runtime.evaluation.landmarks import MOVED, Landmarks
from draggan_runtime.evaluation.methods import known
from draggan_runtime.evaluation.sessions import Sessions
from draggan_runtime.perception import face_landmarks, vgg


@pytest.fixture(scope="module")
def outcomes():
    """The third pair without an edit, and with one of three steps."""
    pytest.importorskip("dlib")
    protocol = Landmarks(points=5, max_steps=3)
    try:
        protocol.prepare()
    except UserError as error:
        pytest.skip(str(error))
    case = protocol.cases(3)[2]
    with Sessions() as sessions:
        made = {name: protocol.run(case, known()[name], sessions) for name in ("best", "none")}
        session = sessions.open(known()["best"])
        faces = []
        for seed in case.seeds:
            session.seed(seed)
            faces.append(face_landmarks.landmarks(at_512(session.image())))
    return made, faces


def test_no_edit_is_as_far_as_the_faces_are_apart(outcomes):
    made, (a, b) = outcomes
    apart = [np.hypot(*(a[i] - b[i])) for i in (33, 36, 45, 48, 54)]
    assert made["none"].figures == dict.fromkeys(("distance", "carried"), pytest.approx(np.mean(apart)))
    np.testing.assert_array_equal(made["none"].arrays["before"], made["none"].arrays["after"])


def test_an_edit_says_what_the_tracker_says_and_what_it_took(outcomes):
    made, _ = outcomes
    figures = made["best"].figures
    assert figures["steps"] == 3
    assert figures["stopped"] == "max_steps"
    assert figures["seconds"] > 0
    assert 0 < figures["reported"] < made["none"].figures["distance"]
    assert figures["distance"] != made["none"].figures["distance"]
    assert not np.array_equal(made["best"].arrays["before"], made["best"].arrays["after"])


def test_pictures_are_at_512_and_those_of_the_pair_do_not_depend_on_the_method(outcomes):
    made, _ = outcomes
    for name in ("before", "target"):
        np.testing.assert_array_equal(made["best"].pictures[name], made["none"].pictures[name])
    assert {picture.shape for outcome in made.values() for picture in outcome.pictures.values()} == {(512, 512, 3)}


def test_handles_are_put_on_the_full_picture_by_pixel_centres():
    a, b = np.full((68, 2), 100.0), np.full((68, 2), 600.0)
    (pair,) = Landmarks(points=1)._pairs(a, b, (1024, 1024))
    assert pair == ((200.5, 200.5), (1023, 1023))


def test_the_frechet_distance_is_named_after_its_network_and_needs_a_set():
    arrays = [{"before": np.ones(4) * i, "after": np.ones(4) * i + 1} for i in range(3)]
    assert Landmarks().of_set(arrays) == {f"{vgg.VGG.name} Frechet": pytest.approx(4)}
    assert Landmarks().of_set(arrays[:1]) == {}


def test_five_points_are_the_nose_the_eyes_and_the_mouth():
    assert sorted(MOVED[5]) == [33, 36, 45, 48, 54]
    with pytest.raises(UserError, match="1, 5, 68"):
        Landmarks(points=7)


def draggan(*arguments):
    return subprocess.run([sys.executable, "-m", "draggan_runtime", *arguments], capture_output=True, text=True)


def test_the_command_prints_json_and_writes_the_report(tmp_path):
    (tmp_path / "rows.jsonl").write_text(
        "".join(
            json.dumps(
                {
                    "group": "landmarks-points1-max_steps300",
                    "protocol": "landmarks",
                    "options": {"points": 1, "max_steps": 300},
                    "case": str(i),
                    "method": "none",
                    "overrides": [],
                    "settings": "s",
                    "figures": {"distance": distance},
                    "pictures": {},
                }
            )
            + "\n"
            for i, distance in enumerate((10.0, 20.0))
        )
    )
    done = draggan("eval", "report", str(tmp_path), "--format", "json")
    (table,) = json.loads(done.stdout)
    assert table["methods"][0]["figures"]["distance"]["value"] == 15
    assert "landmarks-points1" in (tmp_path / "report.html").read_text()


def test_a_folder_without_rows_is_one_line_and_exit_code_2(tmp_path):
    done = draggan("eval", "report", str(tmp_path))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "nothing has been measured" in done.stderr
