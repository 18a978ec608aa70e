"""The gateway answers who may ask, and nobody else; what it is sent is read and never executed."""

from __future__ import annotations

import os
import pickle
import re
import socket
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from draggan_runtime.cluster.protocol import MOST, STRANGER, frame_bytes
from draggan_runtime.messages import Goal, LatentRequest
from draggan_runtime.session import pairs
from draggan_runtime.soak.processes import tree
from draggan_runtime.wire import unpack

ALIVE = ("new", "queued", "running", "parked")
COMMANDS = ["status", "start", "resume", "down", "info", "cancel", "move", "stop", "adopt", "saved", "attach"]


class Executed:
    """A pickle that leaves a file behind if anybody loads it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return Path.touch, (self.path,)


@pytest.fixture(scope="module")
def session(small_cluster) -> Iterator[str]:
    small_cluster.start("mine", LatentRequest(session="", seed=3))
    yield "mine"
    small_cluster.stop("mine")


def send(cluster: Any, data: bytes) -> Any:
    """What the gateway answers to bytes; None if it hangs up."""
    with socket.create_connection((cluster.known.host, cluster.known.port), 10) as sock:
        sock.sendall(data)
        with sock.makefile("rb") as file:
            head = file.read(4)
            return unpack(file.read(int.from_bytes(head, "big"))) if head else None


@pytest.mark.parametrize("token", ["", "x", None, 7, ["a"]], ids=repr)
@pytest.mark.parametrize("do", COMMANDS)
def test_nothing_is_done_with_a_wrong_token(small_cluster, session, do, token):
    answer = send(small_cluster, frame_bytes({"do": do, "session": session, "token": token}))
    assert re.search(r"token is not the right one|needs the cluster's token", answer["error"])
    assert small_cluster.info(session)["state"] in ALIVE


@pytest.mark.parametrize("do", ["info", "cancel", "move", "stop", "adopt", "saved", "attach"])
def test_the_token_of_one_session_is_of_no_use_for_another(small_cluster, session, do):
    other = small_cluster.start("other")
    try:
        answer = send(small_cluster, frame_bytes({"do": do, "session": session, "token": other}))
        assert answer == {"error": "this token is not the right one"}
    finally:
        small_cluster.stop("other")


@pytest.mark.parametrize("do", ["adopt", "saved", "attach"])
def test_who_runs_the_cluster_does_not_see_into_sessions(small_cluster, session, do):
    answer = send(small_cluster, frame_bytes({"do": do, "session": session, "token": small_cluster.known.token}))
    assert answer == {"error": "this token is not the right one"}


def test_a_session_is_told_from_one_that_is_not_there_only_by_who_may(small_cluster):
    answer = send(small_cluster, frame_bytes({"do": "status", "token": "x", "session": "../../etc"}))
    assert answer == {"error": "this needs the cluster's token"}


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        os.urandom(512),
        struct.pack(">I", STRANGER + 1) + b"x",
        struct.pack(">I", 3) + b"\xc1\xc1\xc1",
        struct.pack(">I", 100) + b"\x81",
        frame_bytes(["status"]),
        frame_bytes({"do": ["status"]}),
        b"",
    ],
    ids=["http", "noise", "longer than a stranger may", "no msgpack", "cut off", "a list", "an odd command", "nothing"],
)
def test_junk_is_refused_and_everybody_else_is_still_served(small_cluster, data):
    with socket.create_connection((small_cluster.known.host, small_cluster.known.port), 10) as sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        sock.settimeout(10)
        answer = b"".join(iter(lambda: sock.recv(4096), b""))
    assert not answer or "error" in unpack(answer[4:])
    assert small_cluster.status()["engines"]


def test_a_pickle_is_not_loaded(small_cluster, session, tmp_path):
    bomb = pickle.dumps(Executed(tmp_path / "executed"))
    token = small_cluster.tokens[session]
    attach = frame_bytes({"do": "attach", "session": session, "token": token})
    adopt = frame_bytes({"do": "adopt", "session": session, "token": token, "with_data": True})
    for before in (b"", attach, adopt):
        with socket.create_connection((small_cluster.known.host, small_cluster.known.port), 10) as sock:
            sock.sendall(before + struct.pack(">I", len(bomb)) + bomb)
            sock.shutdown(socket.SHUT_WR)
            sock.settimeout(10)
            while sock.recv(1 << 16):
                pass
    answer = send(small_cluster, adopt + frame_bytes(bomb))
    assert "not a draggan session" in answer["error"]
    assert not (tmp_path / "executed").exists()
    assert small_cluster.info(session)["state"] in ALIVE


def test_a_stranger_may_not_send_much(small_cluster):
    with socket.create_connection((small_cluster.known.host, small_cluster.known.port), 10) as sock:
        sock.sendall(frame_bytes({"do": "start", "token": "x", "with_data": True}))
        sock.sendall(struct.pack(">I", MOST))
        answer = sock.makefile("rb").read()
    assert unpack(answer[4:]) == {"error": "this needs the cluster's token"}


def test_points_outside_the_picture_are_refused_and_the_session_goes_on(small_cluster, session):
    with small_cluster.attach(session) as attached:
        attached.post(Goal(session="", points=pairs([((10, 10), (10, 999))])))
        told = (m for _ in range(100) for m, _ in attached.take(0.1))
        assert any("target 10,999 is outside the picture" in getattr(message, "text", "") for message in told)
        assert small_cluster.info(session)["points"] == 0


def test_nothing_listens_beyond_this_machine(small_cluster):
    """Sockets that listen, of all processes of the cluster."""
    listed = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True, check=True).stdout
    pids = {process.pid for process in tree(small_cluster.known.pid)}
    addresses = [
        line.split()[3] for line in listed.splitlines() if pids & {int(pid) for pid in re.findall(r"pid=(\d+)", line)}
    ]
    assert len(addresses) > 3  # Ray's own and the gateway
    assert all(re.match(r"127\.|\[::1\]|\[::ffff:127\.", address) for address in addresses), addresses
