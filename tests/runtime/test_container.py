"""How a container matches messages, waits, and gives way."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from toy import toy_graph

from draggan_runtime.execution.container import Container
from draggan_runtime.execution.delivery import Delivery, Waiting
from draggan_runtime.execution.share import Share
from draggan_runtime.messages import Features, Goal, Handles, Latent, PointPair


@pytest.fixture
def container():
    graph = toy_graph()
    made = Container(graph, graph.containers["main"])
    made.configure()
    yield made
    made.close()


def features(step, session="a"):
    return Features(session=session, step=step, size=(512, 512), levels={})


def handles(step, session="a"):
    return Handles(session=session, step=step, positions={1: (0.0, 0.0)}, confidence={1: 1.0}, size=(512, 512))


def goal(session="a"):
    return Goal(session=session, points=(PointPair(1, (0.0, 0.0), (9.0, 0.0)),))


def latent(step, session="a"):
    return Latent(session=session, step=step, space="w_plus", values=np.full((1, 2), step, np.float32))


def test_a_node_steps_when_its_sync_inputs_are_of_one_session_and_step(container):
    def gives(port, message):
        return [d.message for d in container.deliver([Delivery("motion", port, message)]).deliveries]

    container.deliver([Delivery("motion", "goal", goal()), Delivery("motion", "goal", goal("b"))])
    assert gives("features", features(4)) == []
    assert gives("handles", handles(4, "b")) == []  # another session
    assert gives("handles", handles(3)) == []  # another step
    (gradient,) = gives("handles", handles(4))
    assert (gradient.session, gradient.step) == ("a", 4)
    assert gives("handles", handles(4)) == []  # the features have been used


def test_a_session_s_state_is_its_own(container):
    container.deliver(
        [Delivery("generator", "latent", latent(1, "a")), Delivery("generator", "latent", latent(2, "b"))]
    )
    states = container.hosted["generator"].states
    assert states["a"].values[0, 0] == 1
    assert states["b"].values[0, 0] == 2
    container.forget("a")
    assert list(states) == ["b"]


def test_latest_messages_wait_for_idle_time_and_older_ones_give_way(container):
    first = container.deliver([Delivery("renderer", "latent", latent(n), latest=1) for n in (1, 2, 3)])
    assert first.pending
    assert first.deliveries == []
    shown = container.idle(busy=False)
    assert [d.message.step for d in shown.deliveries if d.node == "session"] == [3]
    # The display's own frames are latest messages only where the graph says so: here they are reliable.
    assert not shown.pending


def test_depth_says_how_many_wait():
    waiting = Waiting()
    for n in (1, 2, 3):
        waiting.add(Delivery("renderer", "latent", latent(n), latest=2))
    assert [d.message.step for d in waiting.take_all()] == [2, 3]
    assert not waiting


def test_a_share_bounds_the_time_taken_while_busy():
    share = Share(0.25)
    assert share.allows(busy=True)
    share.used(10.0)
    assert not share.allows(busy=True)  # for 30 s
    assert share.allows(busy=False)
    never = Share(0.0)
    assert not never.allows(busy=True)
    assert never.allows(busy=False)


def test_a_node_that_emits_what_it_does_not_declare_fails_its_step(container):
    node = container.hosted["tracker"].node
    node.step = lambda turns: [turn.emit("nowhere", goal()) for turn in turns]
    (failure,) = container.deliver([Delivery("tracker", "features", features(0))]).failures
    assert failure.exception == "TypeError: emitted on 'nowhere', which is not an output of it"
    node.step = lambda turns: [turn.emit("handles", goal()) for turn in turns]
    (failure,) = container.deliver([Delivery("tracker", "features", features(0))]).failures
    assert failure.exception == "TypeError: 'handles' carries Handles, not Goal"


def test_one_session_s_failure_leaves_the_others_at_work(container):
    container.deliver([Delivery("tracker", "goal", goal("a")), Delivery("tracker", "goal", goal("b"))])
    box = {"toy": (type("B", (), {"values": np.zeros((2, 1, 1))}),)}
    good = Features(session="b", step=0, size=(512, 512), levels=box)
    first = container.deliver([Delivery("tracker", "features", features(0, "a"))])
    second = container.deliver([Delivery("tracker", "features", good)])
    assert [f.session for f in first.failures] == ["a"]
    assert second.failures == []
    assert second.deliveries


def test_a_node_s_steps_use_at_most_the_threads_it_gains_from(container, monkeypatch):
    tracker = container.hosted["tracker"].node
    used = []
    monkeypatch.setattr(tracker, "step", lambda turns: used.append(torch.get_num_threads()))
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        for threads in (None, 1, 8):
            monkeypatch.setattr(type(tracker), "threads", threads)
            container.deliver([Delivery("tracker", "features", features(0))])
            assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert used == [2, 1, 2]
