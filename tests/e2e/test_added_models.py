"""Files of StyleGAN2 weights that a person has: added by the command line, then edited as any other model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoint_files import FORMATS, nvidia, tensorflow
from draggan_nodes.generation.stylegan2 import StyleGAN2
from draggan_nodes.generation.stylegan2_state import Architecture

import draggan_runtime as draggan
from draggan_runtime import models
from draggan_runtime.errors import DragganError, UserError
from draggan_runtime.graph import load_launch
from draggan_runtime.session import load_session

SQUARE = Architecture(channels=(32, 24, 16, 12), mapping=(32, 32), z_dim=32)
HIGH = Architecture(channels=(32, 24, 16, 12, 8, 8), mapping=(32, 32), z_dim=32, columns=2)
CLASSES = Architecture(channels=(32, 24, 16, 12), mapping=(32, 32), z_dim=32, c_dim=3, embedding=32)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DRAGGAN_CACHE", str(tmp_path / "cache"))


def command(*arguments: str, **more) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "draggan_runtime", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        **more,
    )


def written(folder: Path, data: bytes) -> Path:
    file = folder / "weights.pkl"
    file.write_bytes(data)
    return file


def library() -> models.ModelLibrary:
    (one,) = models.libraries()
    return one


def test_a_file_is_added_listed_dragged_and_removed(tmp_path):
    file = written(tmp_path, tensorflow(SQUARE.random_state(0)))
    done = command("models", "add", str(file), "--name", "cats", "--licence", "CC0")
    assert done.returncode == 0, done.stderr
    assert "32 x 32; licence: CC0" in done.stdout
    file.unlink()
    rows = {row["name"]: row for row in json.loads(command("models", "list", "--format", "json").stdout)}
    assert (rows["cats"]["source"], rows["cats"]["width"]) == ("weights.pkl", 32)
    told = command("models", "info", "cats").stdout
    assert "StyleGAN2 of TensorFlow" in told
    assert "4: 32, 8: 24, 16: 16, 32: 12" in told
    out = tmp_path / "out"
    drag = ["drag", "--model", "cats", "--seed", "1", "--point", "16,16:18,16", "--max-steps", "3", "--out", str(out)]
    done = command(*drag)
    assert done.returncode == 0, done.stderr
    assert load_session(out / "edit.draggan").model == "cats"
    again = command(
        "drag", "--open", str(out / "edit.draggan"), "--point", "16,16:14,16", "--max-steps", "2", "--out", str(out)
    )
    assert again.returncode == 0, again.stderr
    assert command("models", "remove", "cats").returncode == 0
    done = command(*drag)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "cats" in done.stderr
    assert not list((tmp_path / "cache").rglob("*.safetensors"))


@pytest.mark.parametrize("kind", FORMATS)
def test_each_make_is_dragged(tmp_path, kind):
    architecture = HIGH if kind == "stylegan-human" else SQUARE
    library().add(written(tmp_path, FORMATS[kind](architecture.random_state(0))), "mine", "")
    with draggan.open(model="mine", seed=3) as session:
        before = session.image()
        assert before.shape == (architecture.size[1], architecture.size[0], 3)
        result = session.drag([((10, 12), (13, 12))], max_steps=4)
        assert (result.stopped, result.steps) in {("max_steps", 4), ("reached", result.steps)}
        assert not np.array_equal(before, session.image())


def test_a_model_brings_a_preset_that_suits_it(tmp_path):
    library().add(written(tmp_path, nvidia(SQUARE.random_state(0), nested=True)), "small", "")
    graph = load_launch("local", model="small")
    said = {node: params.model_dump() for node, (_, params) in ((n.id, n.load()) for n in graph.nodes.values())}
    assert (said["tracker"]["level"], said["motion"]["level"], said["texture"]["level"]) == ("32", "32", "32")
    assert (said["generator"]["slots"], said["generator"]["whitened"]) == (6, "never")
    assert said["generator"]["model"] == said["renderer"]["model"] == "small"
    assert load_launch("local", config="small").nodes["tracker"].params["level"] == "32"


def test_a_mask_has_the_shape_of_the_picture(tmp_path):
    library().add(written(tmp_path, nvidia(HIGH.random_state(0), nested=True)), "people", "")
    movable = np.zeros((128, 64), np.uint8)
    movable[:64] = 1
    with draggan.open(model="people", seed=3) as session:
        with pytest.raises(UserError, match="mask is 128 x 64, the picture 64 x 128"):
            session.mask(movable.T)
        before = session.image().astype(int)
        changes = []
        for mask in (None, movable):
            session.seed(3)
            session.mask(mask)
            assert session.drag([((30, 30), (36, 30))], max_steps=8).steps == 8
            changes.append(np.abs(session.image() - before)[64:].mean())
    assert changes[1] < 0.8 * changes[0]


def test_a_session_goes_on_with_its_own_model_only(tmp_path):
    for name, seed in (("one", 0), ("two", 1)):
        library().add(written(tmp_path, nvidia(SQUARE.random_state(seed), nested=True)), name, "")
    with draggan.open(model="one", seed=3) as session:
        session.save(tmp_path / "one.draggan")
        picture = session.image()
    with draggan.open(tmp_path / "one.draggan") as again:
        np.testing.assert_array_equal(again.image(), picture)
        assert again.app.graph.nodes["texture"].params["level"] == "32"
    with pytest.raises(UserError, match="made with model 'one'; it cannot go on with 'two'"):
        draggan.open(tmp_path / "one.draggan", model="two")


def test_a_latent_of_another_tool_is_opened_and_dragged(tmp_path):
    library().add(written(tmp_path, nvidia(SQUARE.random_state(0), nested=True)), "mine", "")
    network = models.find("mine").load("cpu")
    w = np.random.RandomState(0).randn(1, 32).astype(np.float32)
    for name, values in {"one.npy": w, "each.npy": np.repeat(w, network.num_ws, axis=0)}.items():
        np.save(tmp_path / name, values)
        with draggan.open(tmp_path / name, model="mine") as session:
            np.testing.assert_array_equal(session.w_plus, np.repeat(w, network.num_ws, axis=0))
            assert session.drag([((10, 12), (13, 12))], max_steps=2).steps == 2
    np.save(tmp_path / "other.npy", w[:, :20])
    with pytest.raises(DragganError, match="does not fit model 'mine'"):
        draggan.open(tmp_path / "other.npy", model="mine")


def test_a_class_is_chosen_by_its_label(tmp_path):
    library().add(written(tmp_path, nvidia(CLASSES.random_state(0), nested=True)), "kinds", "")
    pictures = []
    for label in ("0", "2"):
        with draggan.open(model=f"kinds:{label}", seed=3) as session:
            pictures.append(session.image())
    assert not np.array_equal(*pictures)
    with (
        pytest.raises(DragganError, match="draws 3 classes: say which, as in kinds:0"),
        draggan.open(model="kinds", seed=3),
    ):
        pass
    with pytest.raises(UserError, match="its classes are 0 to 2"):
        draggan.open(model="kinds:3", seed=3)


def test_what_was_converted_can_be_added_elsewhere(tmp_path, monkeypatch):
    file = written(tmp_path, nvidia(SQUARE.random_state(0), nested=False, clamp=256))
    done = command("models", "convert", str(file), str(tmp_path / "plain.safetensors"))
    assert done.returncode == 0, done.stderr
    first = library().add(file, "first", "")
    network = first.load("cpu")
    w = torch.randn(1, network.num_ws, network.w_dim)
    monkeypatch.setenv("DRAGGAN_CACHE", str(tmp_path / "elsewhere"))
    second = library().add(tmp_path / "plain.safetensors", "second", "")
    assert torch.equal(second.load("cpu").image(w), network.image(w))
    told = {**first.info.details, "preset": str(library().preset("second"))}
    assert second.info.details.items() >= told.items()
    done = command("models", "convert", str(file), str(file / "under" / "a.safetensors"))
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "choose a folder you can write to" in done.stderr


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("ffhq", "there is a model or preset 'ffhq' already"),
        ("a/b", "is no name"),
        ("stylegan2", "already"),
        ("../x", "is no name"),
    ],
)
def test_names_that_would_be_mistaken_are_refused(tmp_path, name, says):
    file = written(tmp_path, nvidia(SQUARE.random_state(0), nested=True))
    with pytest.raises(UserError, match=says):
        library().add(file, name, "")


def test_another_model_does_not_take_a_name_by_accident(tmp_path):
    library().add(written(tmp_path, nvidia(SQUARE.random_state(0), nested=True)), "mine", "")
    library().add(tmp_path / "weights.pkl", "mine", "CC0")
    assert models.find("mine").info.licence == "CC0"
    with pytest.raises(UserError, match="another model is named 'mine'"):
        library().add(written(tmp_path, nvidia(SQUARE.random_state(1), nested=True)), "mine", "")


def test_weights_that_two_names_share_stay_until_both_are_gone(tmp_path):
    file = written(tmp_path, nvidia(SQUARE.random_state(0), nested=True))
    for name in ("one", "two"):
        library().add(file, name, "")
    library().remove("one")
    assert models.find("two").cached().is_file()
    library().remove("two")
    assert models.library_of("two") is None
    assert not list((tmp_path / "cache").rglob("*.safetensors"))


def test_random_weights_make_the_same_picture_on_both_sides(tmp_path):
    """The converted file gives what the network gives of the file's own numbers."""
    state = SQUARE.random_state(0)
    source = library().add(written(tmp_path, nvidia(state, nested=True)), "mine", "")
    network = source.load("cpu")
    w = torch.randn(1, network.num_ws, network.w_dim)
    assert torch.equal(network.image(w), StyleGAN2(state, name="", sha256="").image(w))
