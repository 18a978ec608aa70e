"""How a container matches messages, waits, and gives way."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
from toy import toy_graph

from draggan_runtime.execution.changes import NodeChange
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


@pytest.fixture
def slow_renderer(container, monkeypatch):
    """The renderer works aside, and takes until the returned event is set."""
    node, go_on = container.hosted["renderer"].node, threading.Event()
    draw = node.step

    def step(turns):
        assert go_on.wait(30)
        draw(turns)

    monkeypatch.setattr(node, "step", step)
    monkeypatch.setattr(type(node), "aside", True)
    return go_on


def frames(outcome):
    return [d.message.step for d in outcome.deliveries if d.node == "session"]


def test_a_node_that_may_work_aside_does_not_keep_a_drag_waiting(container, slow_renderer, monkeypatch):
    steps = []
    monkeypatch.setattr(container.hosted["tracker"].node, "step", lambda turns: steps.append(turns[0].step))
    container.deliver([Delivery("renderer", "latent", latent(1), latest=1)])
    begun = container.idle(busy=True)
    assert begun.pending
    container.deliver([Delivery("renderer", "latent", latent(2), latest=1)])
    assert frames(container.idle(busy=True)) == []  # one at a time
    container.deliver([Delivery("tracker", "features", features(2))])
    assert steps == [2]  # others go on
    slow_renderer.set()
    container._aside.wait()
    assert frames(container.idle(busy=True)) == [1]
    rest = container.idle(busy=False)
    assert frames(rest) == [2]
    assert not rest.pending


def test_when_no_drag_runs_what_is_done_aside_is_waited_for(container, slow_renderer):
    container.deliver([Delivery("renderer", "latent", latent(1), latest=1)])
    container.idle(busy=True)
    threading.Timer(0.1, slow_renderer.set).start()
    assert frames(container.idle(busy=False)) == [1]


def test_what_fails_aside_is_reported_as_ever(container, slow_renderer, monkeypatch):
    monkeypatch.setattr(container.hosted["renderer"].node, "step", lambda turns: 1 / 0)
    container.deliver([Delivery("renderer", "latent", latent(1), latest=1)])
    container.idle(busy=True)
    (failure,) = container.idle(busy=False).failures
    assert (failure.node, failure.exception) == ("renderer", "ZeroDivisionError: division by zero")


def test_parameters_wait_only_for_their_own_node(container, slow_renderer):
    container.deliver([Delivery("renderer", "latent", latent(1), latest=1)])
    container.idle(busy=True)
    container.change(NodeChange("tracker", {}))
    assert container._aside.collect(wait=False) is None  # still at it
    threading.Timer(0.1, slow_renderer.set).start()
    container.change(NodeChange("renderer", {}))
    assert container._aside.collect(wait=False) is not None


def test_a_session_is_not_saved_in_the_middle_of_work_aside(container, slow_renderer):
    container.deliver([Delivery("renderer", "latent", latent(1), latest=1)])
    container.idle(busy=True)
    threading.Timer(0.1, slow_renderer.set).start()
    container.snapshot("a")
    assert container._aside.collect(wait=False) is not None


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


def both(port, *messages):
    return [Delivery("tracker", port, message) for message in messages]


def fails_a(turns):
    for turn in turns:
        turn.emit("handles", handles(turn.step, turn.session))
        with turn.alone():
            if turn.session == "a":
                raise ValueError("not a")


def test_a_turn_that_fails_leaves_the_others_of_its_step(container):
    container.hosted["tracker"].node.step = fails_a
    outcome = container.deliver(both("features", features(0, "a"), features(0, "b"), features(0, "c")))
    (failure,) = outcome.failures
    assert (failure.node, failure.session, failure.exception) == ("tracker", "a", "ValueError: not a")
    assert "in fails_a" in failure.traceback
    assert {d.message.session for d in outcome.deliveries} == {"b", "c"}  # nothing of what "a" had emitted before


def test_what_a_step_raises_fails_every_turn(container):
    container.hosted["tracker"].node.step = lambda turns: 1 / 0
    outcome = container.deliver(both("features", features(0, "a"), features(0, "b")))
    assert [f.session for f in outcome.failures] == ["a", "b"]
    assert outcome.deliveries == []


def test_a_turn_that_emits_what_is_not_declared_fails_alone(container):
    container.hosted["tracker"].node.step = lambda turns: [
        turn.emit("handles", goal() if turn.session == "a" else handles(0, turn.session)) for turn in turns
    ]
    outcome = container.deliver(both("features", features(0, "a"), features(0, "b")))
    assert [f.session for f in outcome.failures] == ["a"]
    assert {d.message.session for d in outcome.deliveries} == {"b"}


def test_a_turn_may_fail_aside_too(container, slow_renderer, monkeypatch):
    monkeypatch.setattr(container.hosted["renderer"].node, "step", lambda turns: turns[0].fail(ValueError("no")))
    container.deliver([Delivery("renderer", "latent", latent(1), latest=1)])
    container.idle(busy=True)
    (failure,) = container.idle(busy=False).failures
    assert (failure.node, failure.exception) == ("renderer", "ValueError: no")


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
