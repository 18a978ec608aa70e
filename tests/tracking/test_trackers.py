"""What every tracker does with goals, steps, boxes and sessions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from draggan_nodes.tracking.base import Found, Points, Tracker
from draggan_nodes.tracking.level import Level
from draggan_nodes.tracking.nearest import NearestTracker
from draggan_nodes.tracking.none import NoTracker

from draggan_runtime.boxes import Region, crop, whole
from draggan_runtime.messages import Box, Boxes, Features, Goal, Handles, Message, NeedBoxes, PointPair
from draggan_runtime.node import Context, Need, Turn
from draggan_runtime.wire import pack, unpack

STRIDE = 8.0
A = PointPair(1, (200.0, 240.0), (260.0, 240.0))
B = PointPair(2, (330.0, 310.0), (330.0, 250.0))


def waves(shift: float) -> torch.Tensor:
    """A smooth map ``[16, 64, 64]``, moved ``shift`` px to the right."""
    random = np.random.RandomState(0)
    frequency, phase = random.uniform(-0.05, 0.05, (16, 5, 2)), random.uniform(0, 6, (16, 5))
    centre = (np.arange(64) + 0.5) * STRIDE - 0.5
    x, y = np.meshgrid(centre - shift, centre)
    angle = np.einsum("ckd,dij->ckij", frequency, np.stack([x, y])) + phase[..., None, None]
    return torch.from_numpy(np.sin(angle).sum(1)).float()


class Session:
    """One session of a tracker: show it features, hear what it says."""

    def __init__(self, node: Tracker, state: Any = None) -> None:
        self.node, self.state = node, state if state is not None else node.new_state()

    def see(
        self, step: int, goal: Goal | None, *, shift: float | None = None, boxes: Boxes | None = None, **flags: Any
    ) -> Message:
        if boxes is None:
            boxes = (whole(waves(step if shift is None else shift), STRIDE),)
        features = Features(session="s", step=step, size=(512, 512), levels={"64": boxes}, **flags)
        inputs: dict[str, Message] = {"features": features}
        if goal is not None:
            inputs["goal"] = goal
        turn = Turn("s", step, inputs, self.state)
        self.node.step([turn])
        if turn.failure is not None:
            raise turn.failure
        [(port, message)] = turn.emitted
        assert port == ("boxes" if isinstance(message, NeedBoxes) else "handles")
        assert (message.session, message.step) == ("s", step)
        return message

    def track(self, step: int, goal: Goal | None, **options: Any) -> Handles:
        message = self.see(step, goal, **options)
        assert isinstance(message, Handles)
        return message


def goal(*points: PointPair) -> Goal:
    return Goal(session="s", points=points)


def nearest() -> NearestTracker:
    return NearestTracker(NearestTracker.Params(), Context("tracker"))


def near(handles: Handles, id: int, x: float, y: float) -> bool:
    return bool(np.hypot(handles.positions[id][0] - x, handles.positions[id][1] - y) < 0.4)


def test_the_reference_puts_every_handle_where_the_user_did() -> None:
    session = Session(nearest())
    first = session.track(0, goal(A, B), reference=True)
    assert first.positions == {1: A.handle, 2: B.handle}
    assert first.confidence == {1: 1.0, 2: 1.0}
    assert first.size == (512, 512)
    assert near(session.track(3, goal(A, B)), 1, 203, 240)
    again = session.track(3, goal(A, B), reference=True)
    assert again.positions == {1: A.handle, 2: B.handle}
    assert near(session.track(5, goal(A, B)), 1, 202, 240)


def test_a_point_added_mid_drag_takes_its_template_from_that_step() -> None:
    session = Session(nearest())
    session.track(0, goal(A), reference=True)
    session.track(4, goal(A))
    added = session.track(8, goal(A, B))
    assert near(added, 1, 208, 240)
    assert added.positions[2] == B.handle
    later = session.track(11, goal(A, B))
    assert near(later, 1, 211, 240)
    assert near(later, 2, 333, 310)


def test_a_removed_point_is_forgotten() -> None:
    session = Session(nearest())
    session.track(0, goal(A, B), reference=True)
    assert set(session.track(3, goal(B)).positions) == {2}
    assert session.track(6, goal(A, B)).positions[1] == A.handle


def test_a_new_target_moves_no_handle() -> None:
    session = Session(nearest())
    session.track(0, goal(A), reference=True)
    session.track(3, goal(A))
    assert near(session.track(6, goal(PointPair(1, A.handle, (10.0, 10.0)))), 1, 206, 240)


def test_a_handle_the_user_moves_begins_anew() -> None:
    session = Session(nearest())
    session.track(0, goal(A), reference=True)
    session.track(5, goal(A))
    moved = goal(PointPair(1, (150.0, 260.0), A.target))
    assert session.track(10, moved).positions[1] == (150.0, 260.0)
    assert near(session.track(14, moved), 1, 154, 260)


@pytest.mark.parametrize("node", [nearest(), NoTracker(NoTracker.Params(), Context("t"))], ids=["nearest", "none"])
def test_seeing_a_step_again_gives_the_same_answer(node: Tracker) -> None:
    session = Session(node)
    session.track(0, goal(A, B), reference=True)
    first = session.track(4, goal(A, B))
    assert session.track(4, goal(A, B)) == first
    assert session.track(8, goal(A, B)) != first


def test_asks_for_what_no_box_holds_and_then_answers_for_the_same_step() -> None:
    def boxes(shift: float, *regions: Region) -> Boxes:
        return tuple(crop(waves(shift), region, STRIDE) for region in regions)

    near_a, near_b = (185.0, 225.0, 215.0, 255.0), (315.0, 295.0, 345.0, 325.0)
    session, sure = Session(nearest()), Session(nearest())
    asked = session.see(0, goal(A, B), boxes=boxes(0, near_a), reference=True)
    assert isinstance(asked, NeedBoxes)
    assert asked.level == "64"
    assert asked.regions == ((*B.handle, *B.handle),)
    session.track(0, goal(A, B), boxes=boxes(0, near_a, near_b), reference=True)
    sure.track(0, goal(A, B), reference=True)

    assert isinstance(session.see(4, goal(A, B), boxes=boxes(4, near_b)), NeedBoxes)
    asked = session.see(4, goal(A, B), boxes=boxes(4, (200.0, 225.0, 215.0, 255.0)))
    assert isinstance(asked, NeedBoxes)
    assert asked.regions == ((188.0, 228.0, 212.0, 252.0), (318.0, 298.0, 342.0, 322.0))
    answer = session.track(4, goal(A, B), boxes=boxes(4, *asked.regions))
    assert answer == sure.track(4, goal(A, B))


def test_no_goal_and_no_level_still_get_an_answer() -> None:
    session = Session(nearest())
    assert session.track(0, None, reference=True).positions == {}
    assert session.track(1, goal(), boxes=()).positions == {}


@pytest.mark.parametrize("node", [nearest(), NoTracker(NoTracker.Params(), Context("t"))], ids=["nearest", "none"])
def test_a_restored_session_goes_on_exactly(node: Tracker) -> None:
    session = Session(node)
    session.track(0, goal(A), reference=True)
    session.track(4, goal(A, B))
    saved = unpack(pack(node.snapshot(session.state)))
    restored = Session(node, node.restore(saved))
    assert restored.track(4, goal(A, B)) == session.track(4, goal(A, B))
    assert restored.track(9, goal(A, B)) == session.track(9, goal(A, B))
    assert pack(node.snapshot(restored.state)) == pack(node.snapshot(session.state))


def test_two_sessions_in_one_step_do_not_mix() -> None:
    node = nearest()
    states = [node.new_state(), node.new_state()]
    for step in 0, 5:
        turns = [
            Turn(
                name,
                step,
                {
                    "features": Features(
                        session=name,
                        step=step,
                        size=(512, 512),
                        levels={"64": (whole(waves(step * sign), STRIDE),)},
                        reference=step == 0,
                    ),
                    "goal": goal(A),
                },
                state,
            )
            for name, sign, state in zip("ab", (1, -1), states, strict=True)
        ]
        node.step(turns)
    handles = [turn.emitted[0][1] for turn in turns]
    assert isinstance(handles[0], Handles)
    assert isinstance(handles[1], Handles)
    assert near(handles[0], 1, 205, 240)
    assert near(handles[1], 1, 195, 240)


def test_trackers_say_what_they_read() -> None:
    params = NearestTracker.Params(level="128", radius=9)
    assert NearestTracker.needs(params) == {"features": Need("128", 9.0)}
    assert NoTracker.needs(NoTracker.Params()) == {}


def test_without_tracking_a_handle_walks_a_pixel_a_step_and_stops_at_its_target() -> None:
    session = Session(NoTracker(NoTracker.Params(), Context("t")))
    aim = goal(PointPair(1, (100.0, 100.0), (101.8, 102.4)))
    assert session.track(0, aim, boxes=(), reference=True).positions[1] == (100.0, 100.0)
    assert session.track(1, aim, boxes=()).positions[1] == pytest.approx((100.6, 100.8))
    assert session.track(2, aim, boxes=()).positions[1] == pytest.approx((101.2, 101.6))
    assert session.track(3, aim, boxes=()).positions[1] == pytest.approx((101.8, 102.4))
    assert session.track(4, aim, boxes=()).positions[1] == pytest.approx((101.8, 102.4))


def test_without_tracking_a_handle_walks_a_pixel_at_512_whatever_the_size() -> None:
    node = NoTracker(NoTracker.Params(), Context("t"))
    state, aim = node.new_state(), goal(PointPair(1, (100.0, 100.0), (200.0, 100.0)))
    for step in 0, 1:
        features = Features(session="s", step=step, size=(1024, 1024), levels={}, reference=step == 0)
        turn = Turn("s", step, {"features": features, "goal": aim}, state)
        node.step([turn])
    assert turn.emitted[0][1].positions == {1: (102.0, 100.0)}


class PatchTracker(Tracker):
    """Least squares over a patch, with a template that follows the point: what a tracker of one's own looks like."""

    patch = np.stack(np.meshgrid(np.arange(-8.0, 9, 4), np.arange(-8.0, 9, 4)), axis=-1).reshape(-1, 2)
    moves = np.stack(np.meshgrid(np.arange(-6.0, 7), np.arange(-6.0, 7)), axis=-1).reshape(-1, 2)

    def remember(self, level: Level, positions: Any) -> torch.Tensor:
        return level.sample(positions[:, None] + self.patch * level.scale)

    def find(self, level: Level, points: Points) -> Found:
        tried = points.positions[:, None] + self.moves * level.scale
        costs = torch.stack(
            [
                (self.remember(level, tried[:, k]) - points.templates).square().mean(dim=(1, 2))
                for k in range(len(self.moves))
            ],
            dim=1,
        )
        found = tried[np.arange(len(tried)), costs.argmin(dim=1).numpy()]
        return Found(found, np.ones(len(found)), self.remember(level, found))


def test_a_tracker_of_one_s_own_may_remember_patches_and_adapt_them() -> None:
    session = Session(PatchTracker(PatchTracker.Params(), Context("t")))
    session.track(0, goal(A), reference=True)
    for step in range(5, 36, 5):
        session.see(step, goal(A, B), boxes=(crop(waves(step), (0.0, 0.0, 50.0, 50.0), STRIDE),))
        handles = session.track(step, goal(A, B))
        handles = session.track(step, goal(A, B))
    assert handles.positions == {1: (235.0, 240.0), 2: (360.0, 310.0)}
    seen_last = Features(session="s", step=35, size=(512, 512), levels={"64": (whole(waves(35), STRIDE),)})
    patch = session.node.remember(Level(seen_last, "64"), np.array([[235.0, 240.0]]))
    torch.testing.assert_close(session.state.now[1].template, patch[0])


def test_one_session_s_bad_features_fail_no_other() -> None:
    """Both turns of one step."""
    node = nearest()
    maps = {"bad": waves(0)[0], "good": waves(0)}  # the first has no channels
    turns = []
    for session, values in maps.items():
        box = Box(values, (0, 0), STRIDE, (64, 64))
        features = Features(session=session, size=(512, 512), levels={"64": (box,)})
        turns.append(Turn(session, 0, {"features": features, "goal": goal(A)}, node.new_state()))
    node.step(turns)
    assert turns[0].failure is not None
    assert turns[1].failure is None
    assert [port for port, _ in turns[1].emitted] == ["handles"]
