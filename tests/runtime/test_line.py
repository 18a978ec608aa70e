"""The direct line between two containers: quick, only for who has the key, and done without where it cannot be had."""

from __future__ import annotations

import socket
import threading
import time
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, answer_challenge

import pytest
from test_layouts import begin, drag, drag_while_dying
from toy import toy_graph

from draggan_runtime.app import App
from draggan_runtime.execution import line
from draggan_runtime.execution.deadline import deadline
from draggan_runtime.graph.model import Restart


@pytest.fixture
def server():
    begun = []
    server = line.LineServer("127.0.0.1", lambda request: request[::-1], lambda: begun.append(threading.get_ident()))
    server.begun = begun
    return server


def test_requests_are_answered_in_order_each_line_in_a_thread_of_its_own(server):
    lines = [line.connect(server.address, server.key) for _ in range(2)]
    for each in lines:
        each.send_bytes(b"one")
        each.send_bytes(b"two" * 100_000)
    for each in lines:
        assert each.recv_bytes() == b"eno"
        assert each.recv_bytes() == b"owt" * 100_000
    assert len(set(server.begun)) == 2
    assert threading.get_ident() not in server.begun


def test_without_the_key_nothing_is_answered(server):
    assert line.connect(server.address, bytes(32)) is None
    stranger = Client(server.address)
    with pytest.raises(AuthenticationError):
        answer_challenge(stranger, b"guessed")
    stranger.send_bytes(b"one")
    with pytest.raises((EOFError, OSError)):
        stranger.recv_bytes()
    assert server.begun == []


def test_who_connects_and_says_nothing_keeps_nobody_else_out(server):
    silent = Client(server.address)
    with deadline(5):
        assert line.connect(server.address, server.key) is not None
    silent.close()


def test_small_answers_do_not_wait_for_each_other(server):
    """Packets held back until the last one is acknowledged would take 40 ms a request."""
    each = line.connect(server.address, server.key)
    started = time.monotonic()
    for size in (10, 20_000, 70_000) * 20:
        each.send_bytes(bytes(size))
        each.recv_bytes()
    assert time.monotonic() - started < 1.0


def test_where_nobody_listens_there_is_no_line(server):
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = other.getsockname()
    assert line.connect(address, server.key) is None


def test_a_peer_that_is_killed_in_mid_drag_is_started_anew_and_the_session_goes_on():
    graph = toy_graph("split", restart=Restart("on-failure", 2), generator={"slow": 0.02})
    with App(graph) as app, deadline(60):
        begin(app)
        drag_while_dying(app, "follow")
        assert app.restarts == {"follow": 1}
        assert drag(app)[-1].stopped == "reached"
