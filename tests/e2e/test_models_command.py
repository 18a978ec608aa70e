"""``draggan models``: what it says of models that are whole, damaged, or not there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from checkpoint_files import nvidia
from draggan_nodes.generation.stylegan2_state import Architecture
from typer.testing import CliRunner, Result

from draggan_runtime import models
from draggan_runtime.cli import doctor
from draggan_runtime.cli.models import app

SMALL = Architecture(channels=(12, 8, 8, 8), mapping=(16, 16), z_dim=16)
DEEP = Architecture(channels=(128, 128, 128, 128, 8, 8, 8, 8, 8), mapping=(16,) * 8, z_dim=16)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Where added models are kept."""
    monkeypatch.setenv("DRAGGAN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "models" / "added"


def command(*arguments: object) -> Result:
    return CliRunner(env={"COLUMNS": "80", "LINES": "24"}).invoke(app, [str(argument) for argument in arguments])


def added(folder: Path, name: str, architecture: Architecture = SMALL, seed: int = 0) -> Path:
    """The file that was added under ``name``."""
    file = folder / f"{name}.pkl"
    file.write_bytes(nvidia(architecture.random_state(seed), nested=True))
    done = command("add", file, "--name", name, "--licence", "CC0 [or alike]")
    assert done.exit_code == 0, done.exception
    return file


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"sha256": "0"}', "\0\xff"])
def test_a_damaged_model_is_listed_and_can_be_removed(tmp_path, folder, damage):
    added(tmp_path, "cats")
    added(tmp_path, "dogs", seed=1)
    weights = models.find("dogs").cached()
    (folder / "cats.json").write_text(damage, "latin-1")
    done = command("list")
    assert done.exit_code == 0, done.exception
    (line,) = (line.split() for line in done.stdout.splitlines() if line.startswith(" cats "))
    assert line == ["cats", "damaged"]
    assert "draggan models remove cats, then add it again" in done.stdout
    rows = {row["name"]: row for row in json.loads(command("list", "--format", "json").stdout)}
    assert str(folder / "cats.json") in rows["cats"]["problem"]
    assert rows["dogs"]["path"] == str(weights)
    assert doctor._models().remedy == "draggan models remove cats"
    assert command("remove", "cats").exit_code == 0
    assert "cats" not in command("list").stdout
    assert [*folder.glob("*.safetensors")] == [weights]


def test_weights_that_a_damaged_model_may_need_stay(tmp_path, folder):
    file = added(tmp_path, "cats")
    assert command("add", file, "--name", "dogs").exit_code == 0
    (folder / "cats.json").write_text("")
    command("remove", "dogs")
    assert len([*folder.glob("*.safetensors")]) == 1
    command("remove", "cats")
    assert [*folder.iterdir()] == []


def test_weights_that_are_gone_are_not_called_needless(tmp_path):
    file = added(tmp_path, "cats")
    models.find("cats").cached().unlink()
    assert "gone: add it again" in command("list").stdout
    assert "gone: add it again" in command("info", "cats").stdout
    assert command("add", file, "--name", "cats").exit_code == 0
    assert "gone" not in command("list").stdout


def test_a_file_that_is_not_there_is_said_to_be_missing(tmp_path):
    done = command("info", tmp_path / "nothere.pkl")
    assert str(done.exception).startswith(f"there is no file {tmp_path / 'nothere.pkl'}, and no model of this name")
    assert str(command("info", "fhq").exception).endswith("did you mean 'ffhq'?")


@pytest.mark.parametrize("given", ["deep", "deep.pkl"])
def test_info_fits_a_screen_and_cuts_nothing(tmp_path, given):
    file = added(tmp_path, "deep", DEEP)
    told = json.loads(command("info", tmp_path / given if "." in given else given, "--format", "json").stdout)
    lines = command("info", tmp_path / given if "." in given else given).stdout.rstrip("\n").split("\n")
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    shown = "".join("".join(lines).split())
    said = [told[key] for key in ("name", "title", "licence", "source", "sha256", "path", "format", "channels")]
    assert ["".join(text.split()) in shown for text in said] == [True] * len(said)
    assert told["path"] == str(file if "." in given else models.find("deep").cached())
    assert told["format"] == "stylegan2-ada-pytorch pickle"
