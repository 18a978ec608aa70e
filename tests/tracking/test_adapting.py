"""Trackers of patches, on textures whose sub-pixel motion is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from draggan_nodes.tracking.base import Tracker
from draggan_nodes.tracking.flow import FlowTracker
from draggan_nodes.tracking.lucas_kanade import LucasKanadeTracker
from draggan_nodes.tracking.nearest import NearestTracker
from draggan_nodes.tracking.picture import PictureTracker
from draggan_nodes.tracking.template import PATCH, RATE, TemplateTracker
from draggan_nodes.tracking.votes import VotesTracker

from draggan_runtime.boxes import Region, crop, sample, whole
from draggan_runtime.messages import Box, Boxes, Features, Goal, Handles, Message, NeedBoxes, PointPair
from draggan_runtime.node import Context, Turn
from draggan_runtime.node_check import check_node
from draggan_runtime.wire import pack, unpack

PICTURE: list[type[PictureTracker]] = [FlowTracker, LucasKanadeTracker]
ALL: list[type[Tracker]] = [*PICTURE, TemplateTracker, VotesTracker]
SIZE = (512, 512)
HANDLE = np.array([251.3, 262.8])
GOAL = Goal(session="s", points=(PointPair(1, (251.3, 262.8), (300.0, 262.8)),))
#: px a step: as fast as a drag moves a point, in a direction that is no axis.
STEP = np.array([0.83, -0.46])

every = pytest.mark.parametrize("cls", ALL)
of_pictures = pytest.mark.parametrize("cls", PICTURE)


class Texture:
    """Waves known at every real-valued pixel; as a picture their lengths are 12 to 60 px, as features 60 to 240."""

    def __init__(self, level: str, seed: int) -> None:
        random = np.random.RandomState(seed)
        self.level, self.stride, self.side = (level, 1.0, 512) if level == "rgb" else (level, 8.0, 64)
        channels, waves, longest = (3, 20, 60) if level == "rgb" else (24, 6, 240)
        angle = random.uniform(0, 2 * np.pi, (channels, waves))
        frequency = 2 * np.pi / random.uniform(longest / 5 if level == "rgb" else 60, longest, (channels, waves))
        self.frequency = frequency[..., None] * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
        self.phase = random.uniform(0, 2 * np.pi, (channels, waves))

    def box(self, shift: Any, reach: float = 64.0) -> Box:
        """The texture, moved by ``shift`` px, around the handle."""
        low, high = (((HANDLE + way + 0.5) / self.stride).astype(int).clip(0, self.side) for way in (-reach, reach))
        x, y = ((np.arange(a, b) + 0.5) * self.stride - 0.5 for a, b in zip(low, high, strict=True))
        u, v = (self.frequency[..., axis, None] * (px - shift[axis]) for axis, px in enumerate((x, y)))
        v = v + self.phase[..., None]  # sin(u + v) is a sum of products over x and y
        values = np.einsum("cwy,cwx->cyx", np.cos(v), np.sin(u)) + np.einsum("cwy,cwx->cyx", np.sin(v), np.cos(u))
        values *= 0.4 / np.sqrt(self.phase.shape[1])
        left, top = low.tolist()
        return Box(torch.from_numpy(values).float(), (left, top), self.stride, (self.side, self.side))


def texture(cls: type[Tracker], seed: int = 0) -> Texture:
    return Texture("rgb" if cls in PICTURE else "64", seed)


def noise(box: Box, seed: int = 9) -> Box:
    values = torch.from_numpy(np.random.RandomState(seed).uniform(-1, 1, box.values.shape)).float()
    return Box(values, box.origin, box.stride, box.map_size)


class Session:
    """One session of a tracker."""

    def __init__(self, cls: type[Tracker], **params: Any) -> None:
        self.node = cls(cls.Params(**params), Context("tracker"))
        self.level = self.node.params.level
        self.state = self.node.new_state()

    def see(self, step: int, *boxes: Box, size: tuple[int, int] = SIZE, goal: Goal = GOAL) -> Message:
        features = Features(session="s", step=step, size=size, levels={self.level: boxes}, reference=step == 0)
        turn = Turn("s", step, {"features": features, "goal": goal}, self.state)
        self.node.step([turn])
        if turn.failure:
            raise turn.failure
        [(_, message)] = turn.emitted
        return message

    def track(self, step: int, *boxes: Box, **options: Any) -> Handles:
        message = self.see(step, *boxes, **options)
        assert isinstance(message, Handles), message
        return message


def miss(handles: Handles, shift: Any) -> float:
    """px from where the point is."""
    return float(np.linalg.norm(handles.positions[1] - HANDLE - shift))


@every
@pytest.mark.parametrize("seed", range(3))
def test_follows_a_known_motion_to_a_fraction_of_a_pixel(cls: type[Tracker], seed: int) -> None:
    """Twenty steps: 19 px of way."""
    session, moving = Session(cls), texture(cls, seed)
    for step in range(21):
        handles = session.track(step, moving.box(step * STEP))
        assert handles.confidence[1] > 0.95
    assert miss(handles, 20 * STEP) < 0.5


@every
def test_stays_when_nothing_moved(cls: type[Tracker]) -> None:
    session, still = Session(cls), texture(cls).box((0, 0))
    for step in range(4):
        handles = session.track(step, still)
        assert miss(handles, 0) < 0.01
        assert handles.confidence[1] == pytest.approx(1, abs=1e-3)


@every
@pytest.mark.parametrize("seed", range(5))
def test_a_point_that_is_gone_is_said_to_be_lost_stays_and_is_found_again(cls: type[Tracker], seed: int) -> None:
    """The patch around it turns to noise for three steps."""
    session, moving = Session(cls), texture(cls, seed)
    for step in range(4):
        before = session.track(step, moving.box(step * STEP))
    for step in range(4, 7):
        lost = session.track(step, noise(moving.box((0, 0)), seed))
        assert lost.confidence[1] < 0.4
        assert lost.positions == before.positions
    found = session.track(7, moving.box(7 * STEP))
    assert found.confidence[1] > 0.9
    assert miss(found, 7 * STEP) < 0.5


@every
def test_continues_bit_for_bit_from_a_snapshot(cls: type[Tracker]) -> None:
    session, moving = Session(cls), texture(cls)
    for step in range(4):
        session.track(step, moving.box(step * STEP))
    restored = Session(cls)
    restored.state = restored.node.restore(unpack(pack(session.node.snapshot(session.state))))
    for step in range(3, 8):
        box = moving.box(step * STEP)
        assert restored.track(step, box) == session.track(step, box)
    assert pack(restored.node.snapshot(restored.state)) == pack(session.node.snapshot(session.state))


@every
def test_is_a_node_that_the_runtime_can_rely_on(cls: type[Tracker]) -> None:
    assert [check for check in check_node(cls) if not check.ok] == []


@every
def test_boxes_around_the_point_serve_as_well_as_the_whole(cls: type[Tracker]) -> None:
    """What is missing is asked for."""
    session, sure, moving = Session(cls), Session(cls), texture(cls)
    for step in range(3):
        large = moving.box(step * STEP, 200)
        known = sure.track(step, large)
        sent: Boxes = ()
        said = session.see(step)
        for _ in range(2):  # around where the point was, and around where it is
            if isinstance(said, NeedBoxes):
                sent = (*sent, *(part_of(large, region) for region in said.regions))
                said = session.see(step, *sent)
        assert said == known


def part_of(box: Box, region: Region) -> Box:
    left, top = (cells * box.stride for cells in box.origin)
    x0, y0, x1, y1 = region
    part = crop(torch.as_tensor(box.values), (x0 - left, y0 - top, x1 - left, y1 - top), box.stride)
    origin = part.origin[0] + box.origin[0], part.origin[1] + box.origin[1]
    return Box(part.values, origin, box.stride, box.map_size)


@pytest.mark.parametrize("seed", range(3))
def test_neighbours_outvote_a_point_that_has_changed(seed: int) -> None:
    """Its own features, and those 4 px around it, become others as it moves: half of what it was at the end."""
    votes, alone, moving = Session(VotesTracker), Session(NearestTracker), Texture("64", seed)
    other = Texture("64", seed + 100)
    for step in range(21):
        box, changed = moving.box(step * STEP), other.box(step * STEP)
        rows, columns = box.values.shape[1:]
        x, y = ((np.arange(n) + at + 0.5) * 8 - 0.5 for n, at in zip((columns, rows), box.origin, strict=True))
        here = HANDLE + step * STEP
        far = torch.from_numpy(np.hypot(*np.meshgrid(x - here[0], y - here[1])))
        share = 0.025 * step * (far < 8)
        box = Box((box.values * (1 - share) + changed.values * share).float(), box.origin, 8.0, box.map_size)
        handles, held = votes.track(step, box), alone.track(step, box)
    assert miss(handles, 20 * STEP) < 2
    assert miss(held, 20 * STEP) > 8


@of_pictures
def test_the_generator_s_noise_does_not_hold_the_point(cls: type[PictureTracker]) -> None:
    """A texture that moves under noise that is fixed to the pixels, a quarter as strong: it would hold sharp crops."""
    session, sharp, moving = Session(cls), Session(cls, blur=0.1), texture(cls)
    for step in range(21):
        box = moving.box(step * STEP)
        fixed = torch.from_numpy(np.random.RandomState(5).randn(*box.values.shape[1:])).float() * 0.05
        box = Box(box.values + fixed, box.origin, box.stride, box.map_size)
        handles, held = session.track(step, box), sharp.track(step, box)
    assert miss(handles, 20 * STEP) < 1
    assert miss(held, 20 * STEP) > 3


@of_pictures
def test_lengths_scale_with_the_picture(cls: type[PictureTracker]) -> None:
    """At 1024, everything twice as large and fast is followed twice as far."""
    session, moving = Session(cls), texture(cls)
    goal = Goal(session="s", points=(PointPair(1, (502.6, 525.6), (600.0, 525.6)),))
    for step in range(5):
        picture = moving.box(step * STEP - HANDLE % 1 + 0.5, 60)
        values = torch.nn.functional.interpolate(torch.as_tensor(picture.values)[None], scale_factor=2, mode="bicubic")[
            0
        ]
        box = Box(values, (2 * picture.origin[0], 2 * picture.origin[1]), 1.0, (1024, 1024))
        handles = session.track(step, box, size=(1024, 1024), goal=goal)
    np.testing.assert_allclose(handles.positions[1] - np.array([502.6, 525.6]), 8 * STEP, atol=0.3)


@of_pictures
def test_a_point_at_the_border_stays_in_the_picture(cls: type[PictureTracker]) -> None:
    values = torch.from_numpy(np.random.RandomState(0).uniform(-1, 1, (3, 32, 32))).float()[None]
    picture = torch.nn.functional.interpolate(values, (512, 512), mode="bicubic")[0]
    session = Session(cls)
    goal = Goal(session="s", points=(PointPair(1, (510.0, 2.0), (100.0, 100.0)),))
    for step in range(6):
        handles = session.track(step, whole(picture.roll((-step, step), (1, 2)), 1.0), goal=goal)
        x, y = handles.positions[1]
        assert 0 <= x <= 511
        assert 0 <= y <= 511


@of_pictures
def test_a_preset_s_level_is_for_other_trackers(cls: type[PictureTracker]) -> None:
    assert {"level", "radius"}.isdisjoint(cls.Params.model_fields)
    assert cls.needs(cls.Params())["features"].level == "rgb"


def test_a_template_follows_features_that_change_into_their_opposite() -> None:
    """120 steps, in each of which they turn by 1.5 degrees: the first step's template is worth nothing at the end.

    A template that adapts drifts, but by less than a cell.
    """
    moving = texture(TemplateTracker)
    adapting, fixed = Session(TemplateTracker), Session(NearestTracker)
    for step in range(121):
        box = moving.box(step / 6 * STEP, 250)
        turn = np.pi * step / 120
        values = box.values * np.cos(turn) + torch.as_tensor(box.values).roll(12, 0) * np.sin(turn)
        box = Box(values, box.origin, box.stride, box.map_size)
        handles, lost = adapting.track(step, box), fixed.track(step, box)
    assert handles.confidence[1] > 0.8
    assert miss(handles, 20 * STEP) < 8
    assert miss(lost, 20 * STEP) > 16


def test_a_template_takes_more_of_a_better_match() -> None:
    """Weighted mean, by hand, of what is where the point was found."""
    session, still = Session(TemplateTracker), texture(TemplateTracker).box((0, 0))
    session.track(0, still)
    first = session.state.now[1].template.double()
    other = Box(still.values * 1.2 + 0.02, still.origin, still.stride, still.map_size)
    session.track(1, other)
    places = np.array(session.state.now[1].position) + PATCH
    found = sample(other, places).double()
    likeness = float((first * found).sum() / (first.norm() * found.norm()))
    expected = first + RATE * (likeness - 0.5) / 0.5 * (found - first)
    torch.testing.assert_close(session.state.now[1].template.double(), expected, atol=1e-5, rtol=0)
