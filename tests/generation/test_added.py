"""Models added from files: what a file says of itself decides nothing, and what was kept of it can be had again."""

import json
from pathlib import Path

import pytest
import torch
import yaml
from checkpoint_files import nvidia, rosinality
from draggan_nodes.generation import converted
from draggan_nodes.generation.added import AddedModels
from draggan_nodes.generation.stylegan2_state import Architecture
from safetensors.torch import save, save_file

from draggan_runtime.errors import UserError
from draggan_runtime.files import sha256_of
from draggan_runtime.inert.fuzz.samples import torch_file

SMALL = Architecture(channels=(7, 6, 5, 4), mapping=(12, 9), z_dim=10)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DRAGGAN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def written(file: Path, data: bytes) -> Path:
    file.write_bytes(data)
    return file


def own(file: Path, seed: int = 0, **said: str) -> Path:
    """A file of our own format, with these words about it."""
    metadata = {"format": converted.FORMAT, "made_of": "x", "sha256": "12" * 32}
    return written(file, save({**SMALL.random_state(seed), "w_whitening": torch.eye(9)}, metadata | said))


@pytest.mark.usefixtures("cache")
def test_a_hash_that_is_a_path_writes_and_deletes_nothing_there(tmp_path):
    victim = tmp_path / "victim.safetensors"
    save_file({"x": torch.zeros(1)}, victim)
    before = victim.read_bytes()
    evil = own(tmp_path / "evil.safetensors", sha256=str(victim.with_suffix("")))
    library = AddedModels()
    added = library.add(evil, "evil", "")
    assert added.info.sha256 == sha256_of(evil)
    assert added.cached().parent == library.preset("evil").parent
    assert "says it was converted from" not in added.info.details
    library.remove("evil")
    assert victim.read_bytes() == before


@pytest.mark.usefixtures("cache")
def test_a_file_that_claims_the_hash_of_another_does_not_take_its_place(tmp_path):
    real = written(tmp_path / "real.pt", torch_file(SMALL.random_state(0)))
    library = AddedModels()
    false = library.add(own(tmp_path / "false.safetensors", 1, sha256=sha256_of(real)), "false", "")
    true = library.add(real, "true", "")
    assert true.info.sha256 == sha256_of(real)
    assert true.cached() != false.cached()
    assert torch.equal(true.load("cpu").const[0], SMALL.random_state(0)["synthesis.b4.const"])
    assert false.info.details["says it was converted from"] == f"a file of SHA-256 {sha256_of(real)}"


@pytest.mark.usefixtures("cache")
def test_words_in_a_file_stay_words(tmp_path):
    library = AddedModels()
    made_of = "y\x1b[31m\nversion: 7\n" + "a" * 1000
    added = library.add(own(tmp_path / "x.safetensors", made_of=made_of), "mine", "")
    assert added.info.details["format"].startswith("y?[31m?version: 7?a")
    assert len(added.info.details["format"]) < 110
    text = library.preset("mine").read_text()
    assert text.startswith("# Of the preset stylegan2, for y?[31m?version: 7?a")
    assert yaml.safe_load(text)["version"] != 7


@pytest.mark.usefixtures("cache")
def test_weights_that_were_damaged_are_had_again_as_it_says(tmp_path):
    file = written(tmp_path / "mine.pt", torch_file(SMALL.random_state(0)))
    library = AddedModels()
    for name in ("mine", "too"):  # which hold on to the same weights
        library.add(file, name, "")
    kept = library.find("mine", "").cached()
    kept.write_bytes(kept.read_bytes()[:1000])
    with pytest.raises(UserError, match=r"is damaged .*; draggan models remove mine, then add the file again$"):
        library.find("mine", "").load("cpu")
    library.remove("mine")
    library.add(file, "mine", "")
    assert library.find("mine", "").load("cpu").name == "mine"


def test_a_model_of_which_nothing_can_be_read_is_removed(tmp_path, cache):
    library = AddedModels()
    library.add(written(tmp_path / "mine.pt", torch_file(SMALL.random_state(0))), "mine", "")
    said = cache / "models" / "added" / "mine.json"
    for text in ("{", "[]", "{}", json.dumps({"sha256": "../../x"}), json.dumps({"sha256": 3})):
        said.write_text(text)
        with pytest.raises(UserError, match="draggan models remove mine, then add it again"):
            library.find("mine", "")
    library.remove("mine")
    assert library.names() == []


@pytest.mark.usefixtures("cache")
def test_each_name_of_the_same_weights_is_that_of_its_network(tmp_path):
    file = written(tmp_path / "mine.pt", torch_file(SMALL.random_state(0)))
    library = AddedModels()
    networks = {name: library.add(file, name, "").load("cpu") for name in ("one", "two")}
    assert {name: network.name for name, network in networks.items()} == {"one": "one", "two": "two"}
    assert library.find("one", "").load("cpu") is networks["one"]


@pytest.mark.parametrize("data", [nvidia(SMALL.random_state(0), nested=True),
                                  rosinality(SMALL.random_state(0), latent_avg=False)])  # fmt: skip
def test_what_a_file_is_is_told_without_the_statistics_of_w(tmp_path, monkeypatch, data):
    monkeypatch.setattr(converted, "w_statistics", lambda *_: pytest.fail("computed"))
    told = AddedModels().about(written(tmp_path / "x.pkl", data))
    assert (told.size, told.details["slots of w_plus"]) == ((32, 32), "8")
