"""An engine in this process, with the toy drag: sessions share it and do not notice each other."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from toy import toy_graph

from draggan_runtime.cluster.engine import Engine
from draggan_runtime.cluster.seats import Entry, Fairness, GoneError, Seat
from draggan_runtime.execution.container import Container
from draggan_runtime.execution.delivery import along
from draggan_runtime.execution.parts import apply, nested
from draggan_runtime.execution.router import Router
from draggan_runtime.messages import Goal, LatentRequest, Progress
from draggan_runtime.session import pairs


@contextmanager
def engine(batch: int = 8) -> Iterator[Engine]:
    graph = toy_graph("live")
    container = Container(graph, graph.containers["engine"], accounts=True)
    container.configure()
    made = Engine(graph, Router(graph, container, {}), batch)
    thread = threading.Thread(target=made.run)
    thread.start()
    try:
        yield made
    finally:
        made.stop()
        thread.join(10)


def told(session: str, x: float) -> list:
    """What a session's user says: a latent at x, and where to drag it."""
    graph = toy_graph("live")
    start = np.array([[x, 50.7]], dtype=np.float32)
    messages = (
        LatentRequest(session=session, w_plus=start),
        Goal(session=session, points=pairs([((x, 50.7), (130.0, 90.0))])),
    )
    found = []
    for message in messages:
        source = graph.source_of(type(message))
        found += [d for d in along(graph.edges_from(*source), message) if d.node in graph.containers["engine"].nodes]
    return found


def follow(engine: Engine, session: str, epoch: int = 1, until: int | None = None) -> tuple[list[Progress], dict]:
    """Keep what happens until the drag ends, or for ``until`` steps: each step, and the states after the last."""
    seen: list[Progress] = []
    parts: dict = {}
    number = 0
    seat = engine.seat(session, epoch)
    end = time.monotonic() + 20
    while time.monotonic() < end:
        seat.kept(number)
        taken = seat.take(number)
        for item in taken.items if taken else ():
            number = item.number
            apply(parts, item.parts)
            if item.progress is not None:
                seen.append(item.progress)
                if item.progress.stopped or len(seen) == until:
                    return seen, nested(parts)
        time.sleep(0.0002)
    raise AssertionError(f"no end after {len(seen)} steps")


def alone(x: float) -> list[Progress]:
    with engine() as one:
        one.open(Entry("s", 1, told("s", x)))
        one.begin("s", 1)
        return follow(one, "s")[0]


def test_sessions_together_make_the_same_steps_as_each_alone():
    starts = [100.3 + i for i in range(5)]
    with engine() as one:
        for i, x in enumerate(starts):
            one.open(Entry(f"s{i}", 1, told(f"s{i}", x)))
            one.begin(f"s{i}", 1)
        together = [None] * len(starts)

        def keep(i):
            together[i] = follow(one, f"s{i}")[0]

        keepers = [threading.Thread(target=keep, args=(i,)) for i in range(len(starts))]
        for keeper in keepers:
            keeper.start()
        for keeper in keepers:
            keeper.join()
        assert max(r.sessions for r in one.rounds) > 1
    for x, seen in zip(starts, together, strict=True):
        reference = alone(x)
        assert [p.w_plus.tobytes() for p in seen] == [p.w_plus.tobytes() for p in reference]
        assert seen[-1].stopped == "reached"


def test_a_drag_goes_on_elsewhere_from_what_was_kept_bit_for_bit():
    reference = alone(100.3)
    with engine() as one:
        one.open(Entry("s", 1, told("s", 100.3)))
        one.begin("s", 1)
        seen, states = follow(one, "s", until=10)
    goal = [d for d in told("s", 100.3) if isinstance(d.message, Goal)]
    with engine() as other:
        other.open(Entry("s", 2, goal, snapshot=states, drag_steps=seen[-1].drag_steps))
        rest, _ = follow(other, "s", epoch=2)
    whole = seen + rest
    assert [p.drag_steps for p in whole] == list(range(len(reference)))
    assert [p.w_plus.tobytes() for p in whole] == [p.w_plus.tobytes() for p in reference]


def test_an_engine_is_never_more_than_two_steps_ahead_of_what_is_kept():
    with engine() as one:
        one.open(Entry("s", 1, told("s", 100.3)))
        one.begin("s", 1)
        time.sleep(0.2)
        assert sum(item.progress is not None for item in one.seat("s", 1).take(0).items) == 2


def test_what_does_not_fit_ends_a_sessions_stay_and_nobody_elses():
    with engine() as one:
        one.open(Entry("bad", 1, snapshot={"generator": None}))
        one.open(Entry("good", 1, told("good", 100.3)))
        one.begin("good", 1)
        assert follow(one, "good")[0][-1].stopped == "reached"
        assert one.seat("bad", 1).take(0).items[0].failures[0].node == "entry"


def test_an_old_stay_is_over_once_a_new_one_begins():
    with engine() as one:
        one.open(Entry("s", 1, told("s", 100.3)))
        one.open(Entry("s", 2, told("s", 100.3)))
        with pytest.raises(GoneError):
            one.begin("s", 1)
        with pytest.raises(GoneError):
            one.open(Entry("s", 1))
        one.leave("s", 2)
        with pytest.raises(GoneError):
            one.cancel("s", 2)


class Ready(Seat):
    ready = True


@pytest.mark.parametrize(("dear", "steps"), [(0.1, 0.5), (0.0045, 1 / 1.5)])
def test_a_session_with_dear_steps_makes_fewer_of_them_but_half_of_the_others_at_least(dear, steps):
    fairness = Fairness(batch=8)
    seats = [Ready(f"s{i}", 1) for i in range(4)]
    seats[0].masked = True
    made = dict.fromkeys(seats, 0)
    for turn in range(700):
        group = fairness.next(seats)
        fairness.account(group, dear if seats[0] in group else 0.003 * len(group))
        for seat in group:
            made[seat] += turn >= 100  # by then it is known what steps cost
    assert all(made[seats[0]] / made[other] == pytest.approx(steps, rel=0.05) for other in seats[1:])


def test_who_comes_late_has_saved_up_nothing():
    fairness = Fairness(batch=1)
    early, late = Ready("a", 1), Ready("b", 1)
    for _ in range(50):
        fairness.account(fairness.next([early]), 0.01)
    turns = []
    for _ in range(20):
        group = fairness.next([early, late])
        turns.append(group[0].session)
        fairness.account(group, 0.01)
    assert 8 <= turns.count("b") <= 12


def test_the_nodes_of_a_session_whose_drag_has_ended_are_told(monkeypatch):
    rested = []
    with engine() as one:
        generator = one.router.here.hosted["generator"].node
        monkeypatch.setattr(generator, "rest", lambda state: rested.append(state.step))
        one.open(Entry("a", 1, told("a", 100.3)))
        one.begin("a", 1)
        reached, _ = follow(one, "a")
    assert rested == [reached[-1].step] != [0]


def test_a_drag_that_is_cancelled_before_the_engine_has_begun_it_ends_at_once(monkeypatch):
    began = threading.Event()
    begin = Engine._begin
    monkeypatch.setattr(Engine, "_begin", lambda self, seat: (began.wait(10), begin(self, seat)))
    with engine() as one:
        one.open(Entry("a", 1, told("a", 100.3)))
        one.begin("a", 1)
        one.cancel("a", 1)
        began.set()
        steps, _ = follow(one, "a")
    assert (steps[-1].stopped, steps[-1].drag_steps) == ("cancelled", 0)
