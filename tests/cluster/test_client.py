"""A client's connection: lost, found again, given up; and who has the pen."""

from __future__ import annotations

import os
import queue
import signal
import threading
import time
from typing import Any

import numpy as np
import pytest
from fake_gateway import ATTACHED, fake_gateway

from draggan_runtime.cluster import client
from draggan_runtime.cluster.client import Attached, attach
from draggan_runtime.cluster.protocol import mark
from draggan_runtime.errors import UserError
from draggan_runtime.messages import Command, Frame, Goal, LatentRequest, Message, Notice, PointPair, Progress

GOAL = Goal(session="s", points=(PointPair(1, (60.0, 60.0), (70.0, 60.0)),))


@pytest.fixture
def gateway():
    with fake_gateway() as gateway:
        yield gateway


def come(gateway, pen: bool = False) -> Attached:
    attached = attach("s", at=f"127.0.0.1:{gateway.port}", token="t", pen=pen)
    gateway.requests.get(timeout=5)
    return attached


def words(attached: Attached, until: str, timeout: float = 10.0) -> list[str]:
    """What is said until ``until`` is."""
    said: list[str] = []
    deadline = time.monotonic() + timeout
    while until not in said:
        assert time.monotonic() < deadline, said
        said += [m.text for m, _ in attached.take(0.1) if isinstance(m, Notice)]
    return said


def test_a_lost_connection_is_made_again_and_that_is_said(gateway):
    with come(gateway, pen=True) as attached:
        gateway.drop()
        assert words(attached, "connected again") == ["the connection was lost; trying again", "connected again"]
        again = gateway.requests.get(timeout=5)
        assert (again["session"], again["token"], again["pen"], again["codec"]) == ("s", "t", True, "jpeg")
        assert again["last_step"] == ""
        gateway.say({"to": [["display", "goal"]], "message": GOAL})
        ((message, ports),) = attached.take(5)
        assert (message, ports) == (GOAL, [("display", "goal")])


@pytest.mark.parametrize("held", [True, False])
def test_the_pen_is_asked_for_again_only_by_who_held_it_when_the_connection_broke(gateway, held):
    with come(gateway, pen=True) as attached:
        if not held:
            gateway.say({"pen": False})
            words(attached, "somebody else has taken the pen")
            assert not attached.pen
        gateway.drop()
        assert gateway.requests.get(timeout=5)["pen"] is held


def test_one_who_gets_the_pen_hears_of_it(gateway):
    gateway.answer = lambda _: {"ok": {**ATTACHED["ok"], "pen": False}}
    with come(gateway) as attached:
        assert not attached.pen
        gateway.say({"pen": True})
        words(attached, "the pen is yours now")
        assert attached.pen


def test_what_is_posted_while_there_is_no_connection_arrives_when_there_is_one(gateway):
    with come(gateway) as attached:
        gateway.close()
        words(attached, "the connection was lost; trying again")
        assert not attached.connected
        posting = threading.Thread(target=attached.post, args=(GOAL,))
        posting.start()
        time.sleep(0.3)
        assert posting.is_alive()
        gateway.heard = queue.Queue()
        gateway.open()
        assert gateway.heard.get(timeout=5) == GOAL
        posting.join(5)
        assert attached.connected


def test_it_is_given_up_after_a_while(gateway, monkeypatch):
    monkeypatch.setattr(client, "PATIENCE", 0.5)
    with come(gateway) as attached:
        gateway.close()
        started = time.monotonic()
        with pytest.raises(UserError, match="the connection was lost: no cluster answers"):
            words(attached, "never said")
        assert 0.5 <= time.monotonic() - started < 5
        with pytest.raises(UserError, match="the connection was lost"):
            attached.post(GOAL)


def test_a_session_that_is_gone_when_the_connection_comes_back_is_not_tried_again(gateway):
    with come(gateway) as attached:
        gateway.answer = lambda _: {"error": "session 's' does not run; draggan session resume s"}
        gateway.drop()
        with pytest.raises(UserError, match="session 's' does not run"):
            words(attached, "never said")
        time.sleep(0.5)  # the next attempt, if there were one
        assert gateway.requests.qsize() == 1


def test_a_session_that_ends_is_not_tried_again(gateway):
    with come(gateway) as attached:
        gateway.say({"end": "session 's' does not run"})
        with pytest.raises(UserError, match="session 's' does not run"):
            words(attached, "never said")
        time.sleep(0.3)
        assert gateway.requests.empty()


def test_the_last_step_heard_is_said_when_a_connection_is_made_again(gateway):
    step = Progress(
        session="s", step=7, drag_steps=3, handles={}, distances={}, confidence={}, loss=0.0,
        w_plus=np.ones((2, 3), np.float32), seconds=1.0,
    )  # fmt: skip
    with come(gateway) as attached:
        gateway.say({"to": [["display", "progress"]], "message": step})
        assert [message.step for message, _ in attached.take(5)] == [7]
        gateway.drop()
        assert gateway.requests.get(timeout=5)["last_step"] == mark(step)


def test_closing_tells_the_other_side_at_once(gateway):
    attached = come(gateway)
    time.sleep(0.1)  # it waits for something to come
    attached.close()
    assert gateway.heard.get(timeout=2) is None
    with pytest.raises(UserError, match="detached"):
        attached.post(GOAL)


def test_closing_while_the_connection_is_tried_again_ends_that(gateway):
    attached = come(gateway)
    gateway.close()
    words(attached, "the connection was lost; trying again")
    attached.close()
    gateway.open()
    time.sleep(0.5)
    assert gateway.requests.empty()


# -- on a real cluster -------------------------------------------------------------------------------------------------


def the_next(kind: type[Message], attached: Attached, timeout: float = 30.0) -> Any:
    """The next message of a kind."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        for message, _ in attached.take(0.1):
            if isinstance(message, kind):
                return message
    raise AssertionError(f"no {kind.__name__}")


def test_the_pen_passes_to_who_has_been_here_longest_and_only_its_holder_edits(small_cluster):
    small_cluster.start("pen", LatentRequest(session="", seed=3))
    with small_cluster.attach("pen") as first, small_cluster.attach("pen") as second:
        assert (first.pen, second.pen) == (True, False)
        second.post(GOAL)
        assert words(second, "somebody else holds the pen; attach with --pen to take it")
        with small_cluster.attach("pen", pen=True) as third:
            words(first, "somebody else has taken the pen")
            assert (first.pen, second.pen, third.pen) == (False, False, True)
        words(first, "the pen is yours now")
        first.post(GOAL)
        deadline = time.monotonic() + 5
        while small_cluster.info("pen")["points"] != 1:
            assert time.monotonic() < deadline
        assert not second.pen
    small_cluster.stop("pen")


def test_a_client_outlives_the_manager(small_cluster):
    small_cluster.start("manager", LatentRequest(session="", seed=3))
    with small_cluster.attach("manager") as attached, small_cluster.attach("manager") as other:
        attached.post(Goal(session="", points=(PointPair(1, (40.0, 60.0), (100.0, 60.0)),)))
        attached.post(Command(session="", verb="start"))
        before = the_next(Progress, attached).step
        os.kill(small_cluster.status()["manager"]["pid"], signal.SIGKILL)
        words(attached, "connected again", timeout=30)
        words(other, "connected again", timeout=30)
        deadline = time.monotonic() + 10
        while (attached.pen, other.pen) != (True, False):  # whoever comes first has it until the other one asks
            attached.take(0.1)
            other.take(0.1)
            assert time.monotonic() < deadline, (attached.pen, other.pen)
        assert the_next(Progress, attached).step > before
        attached.post(Command(session="", verb="stop"))
        while (progress := the_next(Progress, attached)).stopped is None:
            pass
        assert progress.stopped == "cancelled"
        assert small_cluster.info("manager")["watchers"] == 2
    small_cluster.stop("manager")


def test_a_connection_made_again_is_not_told_the_last_step_twice(small_cluster):
    small_cluster.start("twice", LatentRequest(session="", seed=3))
    with small_cluster.attach("twice") as attached:
        for message in (GOAL, Command(session="", verb="start")):
            attached.post(message)
        the_next(Progress, attached)
        attached.post(Command(session="", verb="stop"))
        while not (last := the_next(Progress, attached)).stopped:
            pass
        known = attached.last_step
    with small_cluster.attach("twice") as stranger, small_cluster.attach("twice", last_step=known) as known_to:
        again = the_next(Progress, stranger)
        assert (again.step, again.stopped) == (last.step, last.stopped)
        heard = [message for _ in range(20) for message, _ in known_to.take(0.05)]
        assert any(isinstance(message, Frame) for message in heard)
        assert not any(isinstance(message, Progress) for message in heard)
    small_cluster.stop("twice")


def test_a_session_that_was_stopped_shows_its_picture_when_it_goes_on(small_cluster):
    small_cluster.start("stopped", LatentRequest(session="", seed=3))
    with small_cluster.attach("stopped", codec="raw") as attached:
        before = the_next(Frame, attached)
        client.ask(small_cluster.known, "stop", session="stopped")
        with pytest.raises(UserError, match="does not run"):
            words(attached, "never said")
    client.ask(small_cluster.known, "resume", session="stopped")
    with small_cluster.attach("stopped", codec="raw") as attached:
        assert (the_next(Frame, attached).image == before.image).all()
    small_cluster.stop("stopped")
