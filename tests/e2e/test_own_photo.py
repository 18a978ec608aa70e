"""A person's own photo: cut out, inverted step by step, dragged, and put back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from checkpoint_files import nvidia
from draggan_nodes.generation.added import AddedModels
from draggan_nodes.generation.stylegan2_state import Architecture
from PIL import Image
from safetensors.torch import load_file

import draggan_runtime as draggan
from draggan_runtime import models
from draggan_runtime.errors import DragganError, UserError
from draggan_runtime.messages import Command, LatentRequest
from draggan_runtime.pictures import to_uint8
from draggan_runtime.session import load_session

NAME = f"small-of-test-{os.getpid()}"
SMALL = ["source.impl=inversion/optimise", "source.perceptual=no", "source.cut=centre", "source.learning_rate=0.1"]


@pytest.fixture(scope="module", autouse=True)
def small(tmp_path_factory):
    """A small model of random weights that somebody has added, beside the default one."""
    library = AddedModels()
    file = tmp_path_factory.mktemp("weights") / "small.pkl"
    file.write_bytes(
        nvidia(Architecture(channels=(32, 24, 16, 12, 8), mapping=(32, 32), z_dim=32).random_state(0), nested=True)
    )
    library.add(file, NAME, "")
    yield
    library.remove(NAME)


def command(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "draggan_runtime", *arguments], capture_output=True, text=True, timeout=600, check=False
    )


def opened(steps: int, launch: str = "local"):
    return draggan.open(model=NAME, launch=launch, set=[*SMALL, f"source.steps={steps}"])


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    """A picture that the model could have drawn, in the middle of a larger one: uint8 [80, 100, 3]."""
    with draggan.open(model=NAME, seed=4) as session:
        middle = session.image()
    image = np.full((80, 100, 3), 200, np.uint8)
    image[8:72, 18:82] = middle
    return image


def test_a_photo_becomes_a_latent_that_is_dragged_and_pasted_back(photo):
    steps = []
    with opened(8) as session:
        found = session.invert(photo, box=(18, 8, 82, 72), progress=lambda now: steps.append(now.done))
        np.testing.assert_array_equal(found.piece, photo[8:72, 18:82])
        np.testing.assert_array_equal(found.picture, session.image())
        assert steps == list(range(9))
        assert (found.steps, found.by) == (8, "pixels")
        assert found.to_picture((18, 8)) == pytest.approx((0, 0))
        np.testing.assert_array_equal(session.photo(), photo)
        result = session.drag([((30, 30), (36, 30))], max_steps=4)
        assert result.steps == 4
        pasted = session.photo()
        assert pasted.shape == photo.shape
        changed = (pasted != photo).any(axis=2)
        assert changed.any()
        changed[8:72, 18:82] = False
        assert not changed.any()
        session.undo()
        np.testing.assert_array_equal(session.photo(), photo)
        np.testing.assert_array_equal(session.w_plus, found.w_plus)


def test_an_edit_stays_near_the_photo_s_latent_and_not_near_one_on_the_way(photo):
    with opened(6) as session:
        found = session.invert(photo)
        np.testing.assert_array_equal(session.record.anchor, found.w_plus)


def test_a_search_that_is_stopped_gives_the_best_so_far(photo):
    with opened(1000) as session:
        found = session.invert(photo, progress=lambda now: now.done < 3)
        assert found.steps == 3
        np.testing.assert_array_equal(session.w_plus, found.w_plus)
        assert session.drag([((30, 30), (33, 30))], max_steps=2).steps == 2


def test_nothing_is_dragged_while_the_latent_is_looked_for(photo):
    with opened(1000) as session:
        app = session.app
        app.post(LatentRequest(session=app.record.id, photo=photo))
        for _ in range(3):
            app.pump()
        assert app.looking
        assert app.inverting.done >= 2
        session.app.record.points = draggan.api.checked_pairs([((30, 30), (33, 30))], (64, 64))
        with pytest.raises(UserError, match="still being looked for"):
            app.start_drag()
        app.post(LatentRequest(session=app.record.id, seed=3))  # another picture ends the search
        app.run_until_settled()
        assert not app.looking
        with draggan.open(model=NAME, seed=3) as other:
            np.testing.assert_array_equal(other.image(), session.image())
        with pytest.raises(UserError, match="no photo in this session"):
            session.photo()


def test_a_photo_that_cannot_be_taken_leaves_the_session_as_it_was(photo):
    with opened(2) as session:
        session.seed(1)
        session.drag([((30, 30), (33, 30))], max_steps=2)
        app, image, latent = session.app, session.image(), session.w_plus
        app.post(LatentRequest(session=app.record.id, seed=1, photo=photo))  # not both
        assert app.looking
        app.run_until_settled()
        assert "a seed, a latent, or a photo" in str(app.failures.pop())
        assert not app.looking
        np.testing.assert_array_equal(session.w_plus, latent)
        session.undo()
        session.redo()
        np.testing.assert_array_equal(session.image(), image)


@pytest.mark.parametrize("launch", ["local", "live-headless"])
def test_the_last_word_of_a_search_that_nobody_wants_any_more_changes_nothing(photo, launch):
    with opened(1000, launch) as session:
        app, told = session.app, []
        app.on_inverting = told.append
        app.post(LatentRequest(session=app.record.id, photo=photo))
        while not app.inverting:
            app.pump(0.05)
        app.pump()  # it is making its first step
        app.post(LatentRequest(session=app.record.id, seed=3))
        app.run_until_settled()
        assert not app.looking
        assert session.drag([((30, 30), (33, 30))], max_steps=2).steps == 2
        app.post(LatentRequest(session=app.record.id, photo=photo))
        for _ in range(2):
            app.pump(0.05)
        told.clear()
        app.post(LatentRequest(session=app.record.id, photo=photo))
        while len(told) < 3:
            app.pump(0.05)
        assert [now.done for now in told] == [0, 1, 2]
        app.cancel()
        app.run_until_settled()
        assert app.inverting.finished


def edited(photo, session) -> np.ndarray:
    """The photo after an inversion and a drag in ``session``."""
    session.invert(photo, box=(18, 8, 82, 72))
    session.drag([((30, 30), (36, 30))], max_steps=4)
    return session.photo()


@pytest.mark.parametrize("name", ["edit.draggan", "edit.png"])
@pytest.mark.parametrize("launch", ["local", "live-headless"])
def test_a_session_that_is_reopened_has_its_photo_and_is_pasted_back_into_it(photo, tmp_path, launch, name):
    with opened(4, launch) as session:
        after = edited(photo, session)
        session.save(tmp_path / name)
        session.drag([((36, 30), (40, 30))], max_steps=2)
        further = session.photo()
    with draggan.open(tmp_path / name, launch=launch) as session:
        np.testing.assert_array_equal(session.photo(), after)
        session.drag([((36, 30), (40, 30))], max_steps=2)
        np.testing.assert_array_equal(session.photo(), further)
        session.undo()
        session.undo()
        np.testing.assert_array_equal(session.photo(), photo)
        session.save(tmp_path / "again.draggan")
    kept, again = (load_session(tmp_path / file).photo for file in (name, "again.draggan"))
    np.testing.assert_array_equal(kept.pixels, photo)
    assert (kept.png, kept.matrix.tobytes()) == (again.png, again.matrix.tobytes())


def test_undo_and_redo_leave_the_photo_where_it_is(photo):
    with opened(2) as session:
        after = edited(photo, session)
        asked = []
        session.app.watch(lambda node, turn: asked.extend(turn.inputs.values()) if node == "source" else None)
        session.undo()
        np.testing.assert_array_equal(session.photo(), photo)
        session.redo()
        np.testing.assert_array_equal(session.photo(), after)
        assert [request.photo for request in asked] == [None, None]


def test_a_photo_that_cannot_be_taken_leaves_the_photo_before(photo):
    with opened(2) as session:
        after = edited(photo, session)
        session.app.post(LatentRequest(session=session.record.id, seed=1, photo=photo[::2, ::2]))  # not both
        session.app.run_until_settled()
        assert session.app.failures.pop()
        np.testing.assert_array_equal(session.photo(), after)
        session.undo()
        np.testing.assert_array_equal(session.photo(), photo)


def test_an_engine_that_dies_and_comes_again_pastes_into_the_same_photo(photo, tmp_path):
    from draggan_runtime.execution.ray_host import ray

    headless = Path(__file__).parents[2] / "launch" / "live-headless.yaml"
    again = headless.read_text().replace("renderer]}", "renderer], restart: {policy: on-failure, max: 2}}")
    (tmp_path / "again.yaml").write_text(again)
    with opened(2, str(tmp_path / "again.yaml")) as session:
        after = edited(photo, session)
        ray.kill(session.app._remote.handles["engine"])
        session.app.undo()
        session.app.run_until_settled()
        session.app.failures.clear()  # that it died
        np.testing.assert_array_equal(session.photo(), photo)
        session.redo()
        np.testing.assert_array_equal(session.photo(), after)


def test_a_photo_too_large_to_be_kept_is_edited_all_the_same_and_that_is_said(photo, tmp_path, monkeypatch):
    monkeypatch.setattr("draggan_runtime.photos.KEPT", 0.005)
    with opened(2) as session:
        found = session.invert(photo)
        assert "up to 0.005 are kept" in found.warnings[-1]
        session.drag([((30, 30), (36, 30))], max_steps=4)
        session.undo()
        np.testing.assert_array_equal(session.photo(), photo)
        session.save(tmp_path / "a.draggan")
    with draggan.open(tmp_path / "a.draggan") as session, pytest.raises(UserError, match="no photo in this session"):
        session.photo()


def test_another_latent_has_no_photo(photo):
    with opened(2) as session:
        found = session.invert(photo)
        session.set_latent(found.w_plus)
        with pytest.raises(UserError, match="no photo in this session"):
            session.photo()
        assert session.record.photo is None


def test_the_command_drags_a_reopened_photo_and_writes_it(photo, tmp_path):
    with opened(2) as session:
        session.invert(photo, box=(18, 8, 82, 72))
        session.save(tmp_path / "me.draggan")
    done = command(
        "drag", "--open", str(tmp_path / "me.draggan"), "--point", "30,30:36,30", "--max-steps", "4",
        "--out", str(tmp_path / "out"), "--set", "source.perceptual=no",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "photo.png" in done.stdout
    written = np.asarray(Image.open(tmp_path / "out" / "photo.png"))
    changed = (written != photo).any(axis=2)
    assert changed.any()
    changed[8:72, 18:82] = False
    assert not changed.any()


def test_only_the_photo_s_own_sessions_are_pasted_into_it(photo, tmp_path):
    with opened(2) as session:
        session.seed(1)
        session.save(tmp_path / "another.draggan")
        session.invert(photo)
        session.save(tmp_path / "own.draggan")
        session.drag([((30, 30), (33, 30))], max_steps=2)
        for name in ("own", "another"):
            session.app.adopt(load_session(tmp_path / f"{name}.draggan"))
            session.app.run_until_settled()
            if name == "own":
                np.testing.assert_array_equal(session.photo(), photo)
        with pytest.raises(UserError, match="no photo in this session"):
            session.photo()


@pytest.mark.parametrize("launch", ["live-headless", "spread"])
def test_engines_in_other_processes_find_the_same_latent(photo, launch):
    latents = []
    for layout in ("local", launch):
        with draggan.open(
            model=NAME,
            launch=layout,
            set=[*SMALL, "source.steps=4", *(f"{c}.threads=1" for c in containers(layout))],
        ) as session:
            latents.append(session.invert(photo).w_plus)
            session.drag([((30, 30), (36, 30))], max_steps=2)
            latents.append(session.photo())
    np.testing.assert_array_equal(latents[0], latents[2])
    np.testing.assert_array_equal(latents[1], latents[3])


def containers(layout: str) -> list[str]:
    from draggan_runtime.graph import load_launch

    return [name for name, spec in load_launch(layout).containers.items() if name not in ("ui",)]


def test_a_photo_without_a_face_is_refused_and_the_session_goes_on():
    with draggan.open(seed=7) as session:
        before = session.image()
        with pytest.raises(DragganError, match="no face was found"):
            session.invert(np.full((300, 400, 3), 128, np.uint8))
        np.testing.assert_array_equal(session.image(), before)


#: The preset's way, but less of it.
SHORT = ["--set", "source.steps=3", "--set", "source.tuning_steps=2"]
PIVOTAL = ["source.impl=inversion/pivotal", "source.steps=3", "source.tuning_steps=5", "source.tuning_rate=0.02"]


@pytest.mark.parametrize("launch", ["local", "split"])
def test_tuned_weights_are_their_session_s_own_saved_and_reopened(photo, launch, tmp_path):
    how = {"model": NAME, "launch": launch, "set": [*SMALL, *PIVOTAL]}
    threads = [f"{c}.threads=1" for c in containers(launch)]
    with draggan.open(model=NAME, seed=5) as other:
        plain = other.image()
    with draggan.open(**{**how, "set": [*how["set"], *threads]}) as session:
        found = session.invert(photo)
        assert found.steps == 8
        tuned = session.image()
        np.testing.assert_array_equal(found.picture, tuned)
        session.save(tmp_path / "own.draggan")
        session.drag([((30, 30), (36, 30))], max_steps=3)
        dragged = session.image()
        session.undo()
        np.testing.assert_array_equal(session.image(), tuned)
        session.seed(5)
        np.testing.assert_array_equal(session.image(), plain)
        session.set_latent(found.w_plus)
        assert (session.image() != tuned).any()  # a latent alone is drawn with the model's weights
    with draggan.open(tmp_path / "own.draggan") as again:
        np.testing.assert_array_equal(again.image(), tuned)
        again.drag([((30, 30), (36, 30))], max_steps=3)
        np.testing.assert_array_equal(again.image(), dragged)


def test_the_command_writes_the_tuned_weights(photo, tmp_path):
    Image.fromarray(photo).save(tmp_path / "me.png")
    options = [f"--set={value}" for value in [*SMALL, *PIVOTAL]]
    out = tmp_path / "out"
    done = command("invert", str(tmp_path / "me.png"), "--model", NAME, "--out", str(out), *options)
    assert done.returncode == 0, done.stderr
    assert "tuning.safetensors" in done.stdout
    factors = load_file(out / "tuning.safetensors")
    network = models.find(NAME).load("cpu")
    changes = {name: factors[f"{name}.up"] @ factors[f"{name}.down"] for name in network.tunable}
    picture = network.tuned(changes).image(torch.from_numpy(np.load(out / "latent.npy"))[None])[0]
    np.testing.assert_array_equal(to_uint8(picture).numpy(), np.asarray(Image.open(out / "reconstruction.png")))
    again = ["--set=source.steps=1", *options[: len(SMALL)]]
    done = command("invert", str(tmp_path / "me.png"), "--model", NAME, "--out", str(out), *again)
    assert done.returncode == 0, done.stderr
    assert not (out / "tuning.safetensors").exists()


@pytest.fixture(scope="module")
def portrait(tmp_path_factory):
    """A face of the default model in a larger photo, smaller and turned; its file, and px of the face to px of it."""
    with draggan.open(seed=7) as session:
        face = session.image()
    turn = cv2.getRotationMatrix2D((512, 512), 8, 0.5)
    turn[:, 2] += (700 - 512, 500 - 512)
    file = tmp_path_factory.mktemp("photo") / "me.jpg"
    Image.fromarray(cv2.warpAffine(face, turn, (1400, 1000), borderValue=(120, 140, 160), flags=cv2.INTER_AREA)).save(
        file, quality=95
    )
    return file, turn


def test_the_command_inverts_a_portrait(portrait, tmp_path):
    file, turn = portrait
    done = command("invert", str(file), "--out", str(tmp_path), *SHORT, "--format", "json")
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    assert made == json.loads((tmp_path / "result.json").read_text())
    assert (made["steps"], made["photo"], made["model"]) == (5, "me.jpg", "ffhq")
    nose = turn @ (512, 590, 1)
    found = np.array(made["photo_to_picture"]) @ (*nose, 1)
    assert np.hypot(*(found - (512, 590))) < 16  # FFHQ's own alignment of the face in the model's picture is as exact
    assert np.load(tmp_path / "latent.npy").shape == (23, 512)
    sides = np.asarray(Image.open(tmp_path / "side-by-side.png"))
    np.testing.assert_array_equal(sides[:, :1024], np.asarray(Image.open(tmp_path / "piece.png")))
    assert b"trainedAlgorithmicMedia" not in (tmp_path / "piece.png").read_bytes()
    reopened = draggan.open(tmp_path / "edit.draggan")
    with reopened:
        np.testing.assert_array_equal(reopened.w_plus, np.load(tmp_path / "latent.npy"))


def test_a_portrait_is_dragged_by_points_of_the_photo(portrait, tmp_path):
    file, turn = portrait
    (x, y), (tx, ty) = turn @ (512, 590, 1), turn @ (540, 590, 1)
    done = command(
        "drag", "--image", str(file), "--point", f"{x:.1f},{y:.1f}:{tx:.1f},{ty:.1f}", "--max-steps", "3",
        *SHORT, "--out", str(tmp_path), "--format", "json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (point,) = json.loads(done.stdout)["points"]
    np.testing.assert_allclose(point["handle"], (512, 590), atol=16)
    assert np.hypot(*np.subtract(point["target"], point["handle"])) == pytest.approx(28, rel=0.05)
    photo, pasted = (np.asarray(Image.open(f)) for f in (file, tmp_path / "photo.png"))
    assert pasted.shape == photo.shape
    np.testing.assert_array_equal(pasted[:, :300], photo[:, :300])
    assert b"compositeWithTrainedAlgorithmicMedia" in (tmp_path / "photo.png").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["invert", "no.jpg", "--out", "o"], "no.jpg"),
        (["invert", "text.jpg", "--out", "o"], "text.jpg"),
        (["invert", "grey.png", "--box", "1,2,3", "--out", "o"], "--box 1,2,3: not a box"),
        (["invert", "grey.png", "--out", "o"], "no face was found"),
        (["drag", "--image", "grey.png", "--seed", "1", "--point", "1,1:2,2", "--out", "o"], "--seed and --image"),
        (["drag", "--seed", "1", "--face", "2", "--point", "1,1:2,2", "--out", "o"], "with --image PHOTO"),
    ],
)
def test_what_cannot_be_inverted_is_said_in_a_line(tmp_path, monkeypatch, arguments, says):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.jpg").write_text("I am no picture")
    Image.new("L", (200, 200), 90).save(tmp_path / "grey.png")
    done = command(*arguments)
    assert done.returncode in (1, 2)
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_stop_is_a_command_too(photo):
    """What a window's key sends."""
    with opened(1000) as session:
        app = session.app
        app.post(LatentRequest(session=app.record.id, photo=photo))
        app.pump()
        app.post(Command(session=app.record.id, verb="stop"))
        assert [c.verb for c in app.commands] == ["stop"]
        app.cancel()
        app.run_until_settled()
        assert app.inverting.finished
