"""Files from the web, of a server that breaks off, says nothing of the length, or has another file."""

from __future__ import annotations

import functools
import http.client
import os
from hashlib import sha256

import pytest
from web import serving

from draggan_runtime.download import download
from draggan_runtime.errors import UserError

DATA = os.urandom(3 << 20)
HASH = sha256(DATA).hexdigest()


@pytest.fixture
def web():
    with serving() as web:
        web.files["w.pkl"] = DATA
        yield web


@pytest.fixture
def file(tmp_path):
    return tmp_path / "got" / "w.pkl"


@pytest.fixture
def fetch(web, file):
    return functools.partial(download, web.url("w.pkl"), file, tell=lambda done, whole: True)


@pytest.mark.parametrize("chunked", [False, True])
def test_a_fetch_that_broke_off_goes_on(web, file, fetch, chunked):
    web.chunked, web.breaks = chunked, [len(DATA) // 2]
    with pytest.raises(UserError, match=r"\(the connection ended .*goes on from where it ended"):
        fetch(HASH)
    assert file.with_name("w.pkl.part").read_bytes() == DATA[: len(DATA) // 2]
    fetch(HASH)
    assert web.ranges == ["", f"bytes={len(DATA) // 2}-"]
    assert file.read_bytes() == DATA
    assert list(file.parent.iterdir()) == [file]


def test_a_file_of_another_hash_is_not_kept(file, fetch):
    with pytest.raises(UserError, match="is not the expected file"):
        fetch("0" * 64)
    assert list(file.parent.iterdir()) == []


def test_what_is_there_is_not_fetched_again_unless_another_file_is_asked_for(web, file, fetch):
    fetch(HASH)
    fetch(HASH.upper())
    assert web.ranges == [""]
    web.files["w.pkl"] = b"another"
    fetch(sha256(b"another").hexdigest())
    assert file.read_bytes() == b"another"


def test_a_part_that_is_whole_is_not_asked_for_again(web, file, fetch):
    file.parent.mkdir()
    file.with_name("w.pkl.part").write_bytes(DATA)
    fetch(HASH)
    assert web.ranges == [f"bytes={len(DATA)}-"]
    assert file.read_bytes() == DATA


@pytest.mark.parametrize("chunked", [False, True])
def test_a_file_that_is_too_large_is_given_up(web, file, fetch, chunked):
    web.chunked = chunked
    came = []
    with pytest.raises(UserError, match="has more than 1,000,000 bytes"):
        fetch(HASH, tell=lambda done, whole: not came.append(done), most=1_000_000)
    assert max(came) < (len(DATA) if chunked else 1)
    assert list(file.parent.iterdir()) == []


def test_who_ends_the_fetching_keeps_what_came(web, file, fetch):
    with pytest.raises(UserError, match="was not fetched to its end"):
        fetch(HASH, tell=lambda done, whole: done == 0)
    assert DATA.startswith(file.with_name("w.pkl.part").read_bytes())
    fetch(HASH)
    assert file.read_bytes() == DATA


def test_what_the_server_says_cannot_reach_the_terminal(web, file, monkeypatch):
    def answers(*_, **__):
        raise http.client.BadStatusLine("\x1b[2J\n" * 100)

    monkeypatch.setattr("urllib.request.urlopen", answers)
    with pytest.raises(UserError) as error:
        download(web.url("w.pkl"), file, HASH, tell=lambda done, whole: True)
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 300


def test_a_missing_file_is_one_line(web, file):
    with pytest.raises(UserError, match=r"cannot fetch .*/no.pkl \(Not Found\)"):
        download(web.url("no.pkl"), file, HASH, tell=lambda done, whole: True)
