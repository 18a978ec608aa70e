"""What the motion node does with goals, masks, boxes and sessions."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
from draggan_nodes.generation.catalogue import FFHQ
from draggan_nodes.motion import node
from draggan_nodes.motion.node import MotionSupervision
from draggan_nodes.motion.supervision import disc, fixed_cells, steps_toward, supervise

from draggan_runtime.boxes import around, crop, sample, whole
from draggan_runtime.errors import UserError
from draggan_runtime.messages import (
    Boxes,
    FeatureGradient,
    Features,
    Goal,
    Handles,
    Mask,
    Message,
    NeedBoxes,
    PointPair,
)
from draggan_runtime.node import Context, Need, Turn
from draggan_runtime.wire import pack, unpack

SIZE = (1024, 1024)
STRIDE = 16.0
POINTS = (PointPair(1, (400.0, 500.0), (448.0, 500.0)), PointPair(2, (600.0, 300.0), (600.0, 252.0)))
LEFT_HALF = np.zeros((1024, 1024), np.uint8)
LEFT_HALF[:, :512] = 1


def feature_map(seed: int) -> torch.Tensor:
    return torch.from_numpy(np.random.RandomState(seed).randn(6, 64, 64)).float()


class Session:
    """One session of a motion node; handles are where the goal has them unless told otherwise."""

    def __init__(self, state: Any = None, **params: Any) -> None:
        self.node = MotionSupervision(MotionSupervision.Params(**params), Context("motion"))
        self.state = state if state is not None else self.node.new_state()

    def see(
        self,
        step: int,
        *,
        boxes: Boxes | None = None,
        mask: Any = None,
        points: tuple[PointPair, ...] = POINTS,
        handles: dict[int, tuple[float, float]] | None = None,
        confidence: dict[int, float] | None = None,
        reference: bool = False,
    ) -> Message:
        boxes = boxes if boxes is not None else (whole(feature_map(step), STRIDE),)
        positions = handles if handles is not None else {p.id: p.handle for p in points}
        inputs: dict[str, Message] = {
            "features": Features(
                session="s", step=step, size=SIZE, levels={self.node.params.level: boxes}, reference=reference
            ),
            "handles": Handles(
                session="s",
                step=step,
                size=SIZE,
                positions=positions,
                confidence=dict.fromkeys(positions, 1.0) | (confidence or {}),
            ),
            "goal": Goal(session="s", points=points),
            "mask": Mask(session="s", movable=mask),
        }
        turn = Turn("s", step, inputs, self.state)
        self.node.step([turn])
        if turn.failure is not None:
            raise turn.failure
        [(port, message)] = turn.emitted
        assert port == ("boxes" if isinstance(message, NeedBoxes) else "gradient")
        assert (message.session, message.step) == ("s", step)
        return message

    def gradient(self, step: int, **options: Any) -> FeatureGradient:
        message = self.see(step, **options)
        assert isinstance(message, FeatureGradient)
        return message


def same(a: FeatureGradient, b: FeatureGradient) -> bool:
    pairs = zip(a.levels["64"], b.levels["64"], strict=True)
    return a.loss == b.loss and all(x is y if x is None else torch.equal(x, y) for x, y in pairs)


def expected(step: int, points: tuple[PointPair, ...], held: Any = None) -> float:
    """The loss with the paper's parameters at 1024, where 1 px at 512 is 2 px."""
    positions, targets = np.array([p.handle for p in points]), np.array([p.target for p in points])
    steps = steps_toward(positions, targets, 2.0, 2.0)
    return supervise((whole(feature_map(step), STRIDE),), positions, steps, disc(3) * 2.0, held)[0]


def test_radii_and_steps_are_given_at_512() -> None:
    assert Session().gradient(3).loss == expected(3, POINTS)


def test_asks_for_boxes_and_then_gives_what_the_whole_map_gives() -> None:
    session = Session()
    first = crop(feature_map(0), around(POINTS[0].handle, 12.0), STRIDE)
    asked = session.see(0, boxes=(first,))
    assert isinstance(asked, NeedBoxes)
    assert asked.level == "64"
    assert asked.regions == ((594.0, 292.0, 606.0, 306.0),)
    second = crop(feature_map(0), asked.regions[0], STRIDE)
    answer = session.gradient(0, boxes=(first, second))
    assert answer.loss == pytest.approx(Session().gradient(0).loss, rel=1e-6)
    assert [g.shape for g in answer.levels["64"]] == [first.values.shape, second.values.shape]


def test_points_that_are_not_tracked_and_points_that_have_arrived_rest() -> None:
    session = Session()
    assert session.gradient(0, handles={2: POINTS[1].handle}).loss == expected(0, POINTS[1:])
    arrived = {1: (446.1, 500.0), 2: POINTS[1].handle}
    assert session.gradient(0, handles=arrived).loss == expected(0, POINTS[1:])
    nothing = session.gradient(0, handles={1: (446.1, 500.0)})
    assert nothing.loss == 0
    assert nothing.levels == {"64": (None,)}


def test_a_point_that_its_tracker_is_unsure_of_pulls_nothing() -> None:
    session = Session(min_confidence=0.4)
    assert same(session.see(1, confidence={2: 0.39}), session.see(1, points=POINTS[:1]))
    assert same(session.see(1, confidence={2: 0.41}), session.see(1))


def test_many_points_arrive_within_2_px_and_few_within_1() -> None:
    def pulled(count: int, **params: Any) -> bool:
        points = tuple(PointPair(i, (100.0 + 90 * i, 500.0), (103.0 + 90 * i, 500.0)) for i in range(count))
        return Session(**params).gradient(0, points=points).loss > 0

    assert pulled(5)
    assert not pulled(6)
    assert pulled(6, arrived=1.0)
    assert not pulled(1, arrived=1.6)


def test_the_mask_holds_the_rest_to_the_reference() -> None:
    session = Session(mask_weight=2.5)
    session.gradient(0, mask=LEFT_HALF, reference=True)
    fixed = fixed_cells(torch.from_numpy(LEFT_HALF), (64, 64))
    held = feature_map(0), fixed, 2.5
    answer = session.gradient(1, mask=LEFT_HALF)
    assert answer.loss == expected(1, POINTS, held)
    by_hand = np.abs((feature_map(1) - feature_map(0)).numpy()[:, :, 32:]).sum() / (6 * 64 * 64)
    assert answer.loss - expected(1, POINTS) == pytest.approx(2.5 * by_hand, rel=1e-5)
    session.gradient(2, mask=LEFT_HALF, reference=True)
    assert session.gradient(3, mask=LEFT_HALF).loss == expected(3, POINTS, (feature_map(2), fixed, 2.5))


def test_a_mask_is_averaged_onto_the_map_once(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def counted(movable: torch.Tensor, map_size: tuple[int, int]) -> torch.Tensor:
        seen.append(map_size)
        return fixed_cells(movable, map_size)

    monkeypatch.setattr(node, "fixed_cells", counted)
    session, other = Session(), LEFT_HALF.copy()
    for step in range(3):
        session.gradient(step, mask=LEFT_HALF)
    assert seen == [(64, 64)]
    assert session.gradient(3, mask=other).loss == session.gradient(3, mask=LEFT_HALF).loss
    assert len(seen) == 3


def test_a_mask_painted_mid_drag_holds_what_was_there_then() -> None:
    session = Session(mask_weight=2.0)
    session.gradient(0, reference=True)
    session.gradient(1)
    fixed = fixed_cells(torch.from_numpy(LEFT_HALF), (64, 64))
    assert session.gradient(2, mask=LEFT_HALF).loss == expected(2, POINTS)
    assert session.gradient(3, mask=LEFT_HALF).loss == expected(3, POINTS, (feature_map(2), fixed, 2.0))
    assert session.gradient(4).loss == expected(4, POINTS)
    assert session.gradient(5, mask=LEFT_HALF).loss == expected(5, POINTS)


def test_a_mask_needs_the_whole_map() -> None:
    session = Session()
    box = crop(feature_map(0), (300.0, 200.0, 700.0, 600.0), STRIDE)
    asked = session.see(0, boxes=(box,), mask=LEFT_HALF, reference=True)
    assert isinstance(asked, NeedBoxes)
    assert asked.regions == ((0.0, 0.0, 1023.0, 1023.0),)
    both = box, whole(feature_map(0), STRIDE)
    session.gradient(0, boxes=both, mask=LEFT_HALF, reference=True)
    alone = Session(state=session.node.restore(session.node.snapshot(session.state)))
    split = session.gradient(1, boxes=(crop_of(1), whole(feature_map(1), STRIDE)), mask=LEFT_HALF)
    assert split.loss == pytest.approx(alone.gradient(1, mask=LEFT_HALF).loss, rel=1e-6)


def crop_of(step: int) -> Any:
    return crop(feature_map(step), (300.0, 200.0, 700.0, 600.0), STRIDE)


def test_a_mask_of_another_size_is_refused_in_one_line() -> None:
    with pytest.raises(UserError, match="the mask is 100x50, the picture 1024x1024") as refused:
        Session().see(0, mask=np.ones((50, 100), np.uint8))
    assert "\n" not in str(refused.value)


def test_seeing_a_step_again_gives_the_same_answer() -> None:
    session = Session()
    for step in 0, 1:
        first = session.gradient(step, mask=LEFT_HALF, reference=step == 0)
        assert same(session.gradient(step, mask=LEFT_HALF, reference=step == 0), first)


@pytest.mark.parametrize("mask", [None, LEFT_HALF], ids=["no mask", "mask"])
def test_a_restored_session_goes_on_exactly(mask: Any) -> None:
    session = Session()
    session.gradient(0, mask=mask, reference=True)
    saved = unpack(pack(session.node.snapshot(session.state)))
    restored = Session(state=session.node.restore(saved))
    assert same(restored.gradient(1, mask=mask), session.gradient(1, mask=mask))


def test_says_what_it_reads() -> None:
    params = MotionSupervision.Params(level="128", radius=4, step=1.5)
    assert MotionSupervision.needs(params) == {"features": Need("128", 5.5, whole_with_mask=True)}


def test_pulled_through_the_real_generator_it_is_the_slope_of_the_loss() -> None:
    """The default model in float64, a low level for speed. Along the gradient the loss, F(q) held, rises as told."""
    network = deepcopy(FFHQ().load("cpu")).double()
    w_plus = network.mapping(torch.from_numpy(np.random.RandomState(7).randn(1, 512)), 0.7).requires_grad_()
    nose = PointPair(1, (512.0, 590.0), (560.0, 590.0))
    cells = network.features(w_plus, ["16"])["16"][0]
    boxes = (whole(cells.detach(), 64.0),)
    answer = Session(level="16").gradient(0, boxes=boxes, points=(nose,))
    (slope,) = torch.autograd.grad((cells * answer.levels["16"][0]).sum(), w_plus)
    places = np.array(nose.handle) + disc(3) * 2.0
    before = sample(boxes[0], places)

    def loss(w: torch.Tensor) -> float:
        with torch.no_grad():
            after = sample(whole(network.features(w, ["16"])["16"][0], 64.0), places + np.array([2.0, 0.0]))
        return float((before - after).abs().mean())

    start, along, h = w_plus.detach(), slope / slope.norm(), 1e-8
    measured = (loss(start + h * along) - loss(start - h * along)) / (2 * h)
    assert measured == pytest.approx(float(slope.norm()), rel=1e-4)
    assert answer.loss == pytest.approx(loss(start), rel=1e-12)


def test_one_session_s_bad_mask_fails_no_other() -> None:
    """Both turns of one step."""
    node = MotionSupervision(MotionSupervision.Params(), Context("motion"))
    goal = Goal(session="", points=POINTS)
    handles = Handles(session="", size=SIZE, positions={p.id: p.handle for p in POINTS}, confidence={1: 1.0, 2: 1.0})
    features = Features(session="", size=SIZE, levels={"64": (whole(feature_map(0), STRIDE),)}, reference=True)
    masks = {"bad": np.ones((7, 9), np.uint8), "good": LEFT_HALF}
    turns = [
        Turn(
            session,
            0,
            {"features": features, "handles": handles, "goal": goal, "mask": Mask(session="", movable=mask)},
            node.new_state(),
        )
        for session, mask in masks.items()
    ]
    node.step(turns)
    assert "the mask is 9x7" in str(turns[0].failure)
    assert turns[0].emitted == []
    assert turns[1].failure is None
    assert [port for port, _ in turns[1].emitted] == ["gradient"]
