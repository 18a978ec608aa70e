"""What a session keeps, and what it has its engine do: with a real engine, the toy drag and a folder, without Ray."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_engine import engine
from toy import toy_graph

from draggan_runtime.cli import session as cli_session
from draggan_runtime.cluster.blueprint import Blueprint, tuned
from draggan_runtime.cluster.engine import Engine
from draggan_runtime.cluster.keeper import Keeper
from draggan_runtime.cluster.protocol import WITHOUT_PHOTO, mark
from draggan_runtime.cluster.seats import Item
from draggan_runtime.cluster.store import SessionStore
from draggan_runtime.errors import UserError
from draggan_runtime.execution.delivery import Delivery
from draggan_runtime.graph import load_launch
from draggan_runtime.messages import Command, Goal, LatentRequest, Message, Notice, Progress
from draggan_runtime.placed_photo import PlacedPhoto
from draggan_runtime.session import SessionRecord, dump_session, pairs, parse_session, save_session

START = LatentRequest(session="", w_plus=np.array([[100.3, 50.7]], dtype=np.float32))
GOAL = Goal(session="", points=pairs([((100.3, 50.7), (130.0, 90.0))]))
DRAG = Command(session="", verb="start")
BLUEPRINT = Blueprint.of(toy_graph("live"))


def keeper(folder: Path) -> Keeper:
    """A session as its process has it that has just begun, or begun again."""
    folder.mkdir(exist_ok=True)
    return Keeper(BLUEPRINT, "s", SessionStore(folder))


def post(kept: Keeper, *messages: Message) -> None:
    for message in messages:
        kept.post(message)


class Stay:
    """A session on an engine, as its process sees to it."""

    def __init__(self, kept: Keeper, on: Engine) -> None:
        self.kept, self.on, self.number = kept, on, 0
        self.steps: list[Progress] = []
        entry = kept.entry()
        self.epoch = entry.epoch
        on.open(entry)

    def until(self, enough: Callable[[], bool]) -> None:
        """Carry orders there and what happened here."""
        end = time.monotonic() + 20
        while not enough():
            assert time.monotonic() < end, "it never came"
            orders, self.kept.orders = self.kept.orders, type(self.kept.orders)()
            if orders.items:
                self.on.post("s", self.epoch, orders.items)
            if orders.begin:
                self.on.begin("s", self.epoch)
            if orders.cancel:
                self.on.cancel("s", self.epoch)
            seat = self.on.seat("s", self.epoch)
            seat.kept(self.number)
            if taken := seat.take(self.number):
                for item in taken.items:
                    self.kept.absorb(item)
                    self.number = item.number
                    self.steps += [item.progress] if item.progress is not None else []
                    if enough():
                        return
                self.kept.arrive(taken.latest)
            time.sleep(0.0002)

    def until_ended(self) -> None:
        self.until(lambda: bool(self.steps) and self.steps[-1].stopped is not None)


def test_a_photo_is_refused_and_the_session_stays_as_it_is(tmp_path):
    kept = asked_to_drag(tmp_path / "s")
    before = dump_session(kept.record)
    with pytest.raises(UserError, match="photos are not for sessions of a cluster yet"):
        kept.post(LatentRequest(session="", photo=np.zeros((80, 80, 3), np.uint8)))
    assert dump_session(kept.record) == before


def asked_to_drag(folder: Path) -> Keeper:
    kept = keeper(folder)
    post(kept, START, GOAL, DRAG)
    return kept


def whole_drag(kept: Keeper) -> list[Progress]:
    """The steps that an engine makes of its drag until that ends."""
    with engine() as one:
        stay = Stay(kept, one)
        stay.until_ended()
    return stay.steps


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[Progress]:
    steps = whole_drag(asked_to_drag(tmp_path_factory.mktemp("undisturbed") / "s"))
    assert steps[-1].stopped == "reached"
    return steps


def left_after(count: int, folder: Path) -> tuple[Keeper, list[Progress]]:
    """A session whose engine has gone in mid-drag, after so many steps."""
    kept = asked_to_drag(folder)
    with engine() as one:
        stay = Stay(kept, one)
        stay.until(lambda: len(stay.steps) == count)
    kept.left()
    return kept, stay.steps


def bits(steps: list[Progress]) -> list[tuple[int, bytes]]:
    return [(p.step, p.w_plus.tobytes()) for p in steps]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(deaths=st.lists(st.tuples(st.integers(0, 12), st.sampled_from(["engine", "session", "both"])), max_size=4))
def test_whatever_dies_whenever_no_step_is_lost_or_made_twice_or_another(undisturbed, tmp_path_factory, deaths):
    folder = tmp_path_factory.mktemp("deaths") / "s"
    kept = asked_to_drag(folder)
    kept.write()
    steps: list[Progress] = []
    for after, what in deaths:
        with engine() as one:
            stay = Stay(kept, one)
            stay.until(lambda: len(stay.steps) >= after or bool(stay.steps and stay.steps[-1].stopped))  # noqa: B023
        steps += stay.steps
        kept.left()
        if what != "engine":
            kept = keeper(folder)
        if steps and steps[-1].stopped:
            break
    if not (steps and steps[-1].stopped):
        steps += whole_drag(kept)
    assert bits(steps) == bits(undisturbed)
    again = keeper(folder).record
    assert again.w_plus.tobytes() == undisturbed[-1].w_plus.tobytes()
    assert (again.step, again.history[-1].stopped, again.history[-1].steps) == (
        undisturbed[-1].step,
        "reached",
        undisturbed[-1].drag_steps,
    )


def test_a_drag_asked_for_while_there_is_no_engine_begins_when_there_is_one(tmp_path, undisturbed):
    kept = keeper(tmp_path / "s")
    assert not kept.busy
    post(kept, START, GOAL, DRAG)
    assert kept.busy
    assert kept.kept.wanted
    kept.write()
    again = keeper(tmp_path / "s")
    assert again.kept.wanted
    assert bits(whole_drag(again)) == bits(undisturbed)


def test_undo_during_a_drag_ends_it_first_and_then_goes_back_exactly(tmp_path):
    kept = asked_to_drag(tmp_path / "s")
    with engine() as one:
        stay = Stay(kept, one)
        stay.until(lambda: len(stay.steps) == 5)
        kept.post(Command(session="", verb="undo"))
        assert kept.kept.dragging  # not before its next step
        stay.until_ended()
        assert stay.steps[-1].stopped == "cancelled"
        assert kept.record.w_plus.tobytes() == START.w_plus.tobytes()
        assert kept.record.history == []
        kept.post(Command(session="", verb="redo"))
        assert kept.record.w_plus.tobytes() == stay.steps[-1].w_plus.tobytes()


def test_a_drag_without_an_engine_is_stopped_where_it_is(tmp_path):
    kept, steps = left_after(5, tmp_path / "s")
    kept.post(Command(session="", verb="stop"))
    assert not kept.kept.dragging
    assert kept.record.history[-1].stopped == "cancelled"
    assert kept.record.w_plus.tobytes() == steps[-1].w_plus.tobytes()
    assert not kept.orders


def test_who_comes_is_told_the_newest_step_unless_they_know_it(tmp_path):
    kept, steps = left_after(5, tmp_path / "s")

    def told(last_step: str) -> list[Progress]:
        return [d.message for d in kept.picture_of_now(last_step) if isinstance(d.message, Progress)]

    assert told("") == told(mark(steps[-2])) != []
    assert told("")[0].drag_steps == steps[-1].drag_steps
    assert told(mark(steps[-1])) == []
    kept.post(Command(session="", verb="stop"))
    assert [p.stopped for p in told(mark(steps[-1]))] == ["cancelled"]


def test_what_a_node_says_to_the_session_its_users_hear(tmp_path):
    kept = Keeper(Blueprint.of(load_launch("cluster")), "s", SessionStore(tmp_path))
    notice = Notice(session="s", text="the point may drift")
    kept.absorb(Item(1, deliveries=[Delivery("session", "notice", notice)]))
    assert [(d.node, d.message.text) for d, _ in kept.told] == [("display", "the point may drift")]


def test_a_moved_target_while_dragging_is_where_the_drag_arrives(tmp_path):
    kept = asked_to_drag(tmp_path / "s")
    with engine() as one:
        stay = Stay(kept, one)
        stay.until(lambda: len(stay.steps) == 5)
        handle = kept.record.history[-1].handles[1]
        kept.post(Goal(session="", points=pairs([(handle, (90.0, 70.0))])))
        stay.until_ended()
    assert stay.steps[-1].stopped == "reached"
    assert np.abs(kept.record.w_plus - [[90.0, 70.0]]).max() < 2


@pytest.mark.parametrize(
    ("messages", "why"),
    [
        ([DRAG], "there is no point to drag"),
        ([GOAL, DRAG], "there is no picture yet"),
        ([Command(session="", verb="undo")], "nothing to undo"),
        ([Command(session="", verb="redo")], "nothing to redo"),
        ([Command(session="", verb="quit")], "'quit' is for the window"),
        ([Notice(session="", text="x")], "a session takes no Notice"),
    ],
    ids=["no point", "no picture", "undo", "redo", "window's", "another message"],
)
def test_what_makes_no_sense_is_refused_in_words_and_changes_nothing(tmp_path, messages, why):
    kept = keeper(tmp_path / "s")
    *before, last = messages
    post(kept, *before)
    was = dump_session(kept.record)
    with pytest.raises(UserError, match=why):
        kept.post(last)
    assert dump_session(kept.record) == was
    assert (kept.kept.dragging, kept.kept.wanted) == (False, False)


def test_another_picture_ends_the_drag_and_takes_its_history(tmp_path):
    kept = asked_to_drag(tmp_path / "s")
    with engine() as one:
        stay = Stay(kept, one)
        stay.until(lambda: len(stay.steps) == 5)
        kept.post(LatentRequest(session="", w_plus=np.array([[7.0, 8.0]], dtype=np.float32)))
        stay.until_ended()
    assert kept.record.w_plus.tolist() == [[7.0, 8.0]]
    assert (kept.record.step, kept.record.history, kept.kept.dragging) == (0, [], False)


def test_a_saved_session_is_gone_on_with_elsewhere_bit_for_bit(tmp_path, undisturbed):
    kept = keeper(tmp_path / "s")
    post(kept, START, GOAL)
    file = dump_session(kept.record)
    other = keeper(tmp_path / "other")
    other.adopt(parse_session(file, tmp_path), tuned(BLUEPRINT.graph, "s", {}))
    other.post(DRAG)
    assert bits(whole_drag(other)) == bits(undisturbed)


def test_a_saved_session_s_photo_stays_behind_and_that_is_said(tmp_path):
    kept = keeper(tmp_path / "s")
    post(kept, START, GOAL)
    record = parse_session(dump_session(kept.record), tmp_path)
    record.photo = PlacedPhoto.packed(np.zeros((80, 80, 3), np.uint8), np.eye(2, 3))
    said = []
    kept.notice = said.append
    kept.adopt(record, tuned(BLUEPRINT.graph, "s", {}))
    assert (kept.record.photo, said) == (None, [WITHOUT_PHOTO])


def test_a_photo_is_not_even_sent_to_a_cluster_where_a_session_begins_with_a_file(tmp_path, capsys):
    photo = PlacedPhoto.packed(np.zeros((80, 80, 3), np.uint8), np.eye(2, 3))
    save_session(SessionRecord(seed=3, photo=photo), tmp_path / "a.draggan")
    sent = parse_session(cli_session._without_photo(tmp_path / "a.draggan"), tmp_path)
    assert (sent.seed, sent.photo) == (3, None)
    assert capsys.readouterr().err == f"draggan: {WITHOUT_PHOTO}\n"


def test_a_drag_that_no_engine_survives_is_given_up_where_it_is(tmp_path):
    kept, steps = left_after(3, tmp_path / "s")
    kept.fail("its engine died 4 times at step 2: the drag is given up")
    assert kept.progress is not None
    assert kept.progress.stopped == "failed"
    assert kept.record.history[-1].stopped == "failed"
    assert not kept.busy
    assert keeper(tmp_path / "s").record.step == steps[-1].step
