"""``draggan models fetch NAME`` of models that others published, from a server on loopback."""

from __future__ import annotations

import json
from hashlib import sha256

import pytest
from checkpoint_files import nvidia
from draggan_nodes.generation.added import AddedModels
from draggan_nodes.generation.stylegan2_state import Architecture
from typer.testing import CliRunner, Result
from web import serving

from draggan_runtime import models
from draggan_runtime.cli.models import app
from draggan_runtime.models import Published

SMALL = Architecture(channels=(12, 8, 8, 8), mapping=(16, 16), z_dim=16)
DATA, OTHER = (nvidia(SMALL.random_state(seed), nested=True) for seed in (0, 1))
HASH = sha256(DATA).hexdigest()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DRAGGAN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def web(monkeypatch):
    """It has a model that is published as "toys"."""
    with serving() as web:
        web.files["toys.pkl"] = DATA
        entry = Published("toys", "toys", (32, 32), "CC0", web.url("toys.pkl"))
        monkeypatch.setattr(AddedModels, "published", lambda self: [entry])
        yield web


def command(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def refused(*arguments: object) -> str:
    done = command(*arguments)
    assert done.exit_code == 1
    return str(done.exception)


def test_a_published_model_is_fetched_checked_and_added(web, cache):
    web.breaks = [len(DATA) // 2]
    assert "goes on from where it ended" in refused("fetch", "toys", "--sha256", HASH)
    done = command("fetch", "toys", "--sha256", HASH)
    assert done.exit_code == 0, done.exception
    assert web.ranges == ["", f"bytes={len(DATA) // 2}-"]
    assert done.stdout.strip() == str(models.find("toys").cached())
    info = models.find("toys").info
    assert (info.sha256, info.licence, info.source) == (HASH, "CC0", "toys.pkl")
    assert list((cache / "fetched").iterdir()) == []


def test_without_a_hash_or_with_another_nothing_is_added(web):
    assert "give the one you trust with --sha256" in refused("fetch", "toys")
    assert "is not the expected file" in refused("fetch", "toys", "--sha256", "0" * 64)
    assert models.library_of("toys") is None


def test_a_file_at_hand_is_checked_too(web, tmp_path):
    (tmp_path / "w.pkl").write_bytes(OTHER)
    says = refused("fetch", "toys", "--from", tmp_path / "w.pkl", "--sha256", HASH)
    assert says.startswith(f"{tmp_path / 'w.pkl'} is not the expected file")
    assert models.library_of("toys") is None
    (tmp_path / "w.pkl").write_bytes(DATA)
    assert command("fetch", "toys", "--from", tmp_path / "w.pkl", "--sha256", HASH.upper()).exit_code == 0
    assert models.find("toys").info.sha256 == HASH
    assert web.ranges == []


def test_a_model_that_is_here_is_of_the_hash_that_is_asked_for(web, tmp_path):
    (tmp_path / "w.pkl").write_bytes(OTHER)
    assert command("add", tmp_path / "w.pkl", "--name", "toys").exit_code == 0
    says = refused("fetch", "toys", "--sha256", HASH)
    assert says.endswith(f"not of {HASH}; draggan models remove toys, then fetch it")
    assert command("fetch", "toys", "--sha256", sha256(OTHER).hexdigest()).exit_code == 0
    assert web.ranges == []
    assert "is of the file of sha256" in refused("fetch", "stylegan2", "--sha256", HASH)


def test_a_file_that_could_not_be_added_is_not_fetched_again(web, cache):
    folder = cache / "models" / "added"
    folder.parent.mkdir(parents=True)
    folder.write_text("in the way")
    assert "cannot write" in refused("fetch", "toys", "--sha256", HASH)
    folder.unlink()
    assert command("fetch", "toys", "--sha256", HASH).exit_code == 0
    assert len(web.ranges) == 1


def test_weights_that_are_gone_are_fetched_again(web):
    for _ in range(2):
        assert command("fetch", "toys", "--sha256", HASH).exit_code == 0
        models.find("toys").cached().unlink()
    assert len(web.ranges) == 2


def test_published_models_are_named_and_fetched_only_with_a_hash():
    entries = json.loads(command("list", "--published", "--format", "json").stdout)
    assert {"lions-512", "afhqcat-512"} <= {entry["name"] for entry in entries}
    assert all(entry["licence"] and (entry["url"] or entry["page"]) for entry in entries)
    assert {tuple(entry["resolution"]) for entry in entries} >= {(256, 512), (1024, 1024)}
    assert "not known: give the one you trust with --sha256" in refused("fetch", "lions-512")
