"""The nearest-template tracker against brute force and against motions that are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from box_helpers import anywhere, boxes_for, random_map, value
from draggan_nodes.generation.catalogue import FFHQ
from draggan_nodes.tracking.level import Level, NotCoveredError
from draggan_nodes.tracking.nearest import NearestTracker, square
from hypothesis import given, settings
from hypothesis import strategies as st

from draggan_runtime.boxes import around, crop, sample, whole
from draggan_runtime.messages import Boxes, Features, Goal, Handles, PointPair
from draggan_runtime.node import Context, Turn

SIZE = (512, 512)
STRIDE = 8.0
SIDE = 64


class Waves:
    """A smooth random picture with 24 channels, known at every real-valued pixel."""

    def __init__(self, seed: int) -> None:
        random = np.random.RandomState(seed)
        self.frequency = random.uniform(-0.05, 0.05, (24, 6, 2))
        self.phase = random.uniform(0, 6.28, (24, 6))

    def map(self, shift: tuple[float, float]) -> torch.Tensor:
        """``[24, 64, 64]``: the picture moved by ``shift`` px, at the centres of the cells."""
        centre = (np.arange(SIDE) + 0.5) * STRIDE - 0.5
        x, y = np.meshgrid(centre - shift[0], centre - shift[1])
        angle = np.einsum("ckd,dij->ckij", self.frequency, np.stack([x, y])) + self.phase[..., None, None]
        return torch.from_numpy(np.sin(angle).sum(1)).float()


def tracker(radius: float = 12.0) -> NearestTracker:
    return NearestTracker(NearestTracker.Params(radius=radius), Context("tracker"))


def track(
    node: NearestTracker, points: tuple[PointPair, ...], maps: list[Boxes], size: tuple[int, int] = SIZE
) -> list[Handles]:
    """Show the node one reference and then the other maps; what it said each time."""
    state, said = node.new_state(), []
    for step, boxes in enumerate(maps):
        features = Features(session="s", step=step, size=size, levels={"64": boxes}, reference=step == 0)
        turn = Turn("s", step, {"features": features, "goal": Goal(session="s", points=points)}, state)
        node.step([turn])
        [(port, message)] = turn.emitted
        assert port == "handles"
        said.append(message)
    return said


def at(*handles: tuple[float, float]) -> tuple[PointPair, ...]:
    return tuple(PointPair(i, handle, (0.0, 0.0)) for i, handle in enumerate(handles))


@pytest.mark.parametrize("seed", range(5))
def test_finds_where_brute_force_finds_it(seed: int) -> None:
    waves = Waves(seed)
    shift = tuple(np.random.RandomState(100 + seed).uniform(-10, 10, 2))
    handle = (211.3, 300.8)
    first, then = whole(waves.map((0, 0)), STRIDE), whole(waves.map(shift), STRIDE)
    found = track(tracker(), at(handle), [(first,), (then,)])[1].positions[0]

    template = sample(first, np.array([handle]))
    n = np.arange(-12 * 16, 12 * 16 + 1) / 16
    fine = np.stack(np.meshgrid(handle[0] + n, handle[1] + n), axis=-1).reshape(-1, 2)
    costs = torch.cat([(sample(then, rows) - template).abs().sum(1) for rows in np.array_split(fine, 25)])
    np.testing.assert_allclose(found, fine[int(costs.argmin())], atol=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_follows_a_known_motion_to_a_fraction_of_a_pixel(seed: int) -> None:
    """Five steps of up to 10 px; bilinear reading of 8 px cells leaves less than half a pixel of error."""
    waves = Waves(seed)
    shifts = np.vstack([[0, 0], np.random.RandomState(seed).uniform(-7, 7, (5, 2)).cumsum(0)])
    handles = np.array([[200.25, 310.5], [350.0, 128.75]])
    said = track(tracker(), at(*map(tuple, handles)), [(whole(waves.map(s), STRIDE),) for s in shifts])
    for shift, message in zip(shifts, said, strict=True):
        for id, handle in enumerate(handles):
            assert np.abs(np.array(message.positions[id]) - handle - shift).max() < 0.5
            assert message.confidence[id] > 0.98


def test_stays_when_nothing_moved() -> None:
    waves = whole(Waves(0).map((0, 0)), STRIDE)
    for message in track(tracker(), at((211.3, 300.8)), [(waves,)] * 3):
        assert message.positions[0] == (211.3, 300.8)
        assert message.confidence[0] == pytest.approx(1.0)


def test_stays_where_there_is_nothing_to_tell_places_apart() -> None:
    flat = whole(torch.ones(24, SIDE, SIDE), STRIDE)
    assert track(tracker(), at((211.3, 300.8)), [(flat,)] * 2)[1].positions[0] == (211.3, 300.8)


def test_never_leaves_the_picture() -> None:
    waves = Waves(1)
    maps = [(whole(waves.map((-4.0 * i, -4.0 * i)), STRIDE),) for i in range(4)]
    for message in track(tracker(), at((5.0, 3.0), (511.0, 509.0)), maps):
        for x, y in message.positions.values():
            assert 0 <= x <= 511
            assert 0 <= y <= 511
    level = Level(Features(session="s", size=(512, 256), levels={}), "64")
    places = np.array([[[600.0, -3.0], [7.5, 255.5]]])
    assert level.inside(places).tolist() == [[[511.0, 0.0], [7.5, 255.0]]]


def test_boxes_around_the_handles_serve_as_well_as_the_whole_map() -> None:
    waves, handles = Waves(2), ((200.0, 300.0), (40.0, 500.0))
    maps = [waves.map((0, 0)), waves.map((5.5, -3.25))]
    boxes = [tuple(crop(m, around(h, 12.0), STRIDE) for h in handles) for m in maps]
    whole_map = track(tracker(), at(*handles), [(whole(m, STRIDE),) for m in maps])[1]
    assert track(tracker(), at(*handles), boxes)[1].positions == whole_map.positions


def test_radius_scales_with_the_picture() -> None:
    """At 1024 a radius of 12 reaches 24 px."""
    waves = Waves(3)
    maps = [(whole(waves.map(shift), 16.0),) for shift in ((0, 0), (11.0, 0))]
    handles = track(tracker(12.0), at((400.0, 400.0)), maps, size=(1024, 1024))[1]
    assert handles.positions[0][0] == pytest.approx(422, abs=1)
    handles = track(tracker(6.0), at((400.0, 400.0)), maps, size=(1024, 1024))[1]
    assert handles.positions[0][0] == 412


def test_follows_a_real_nose_that_moves_by_a_known_way() -> None:
    """The real generator's features, moved by one cell: the find must be one cell on."""
    network = FFHQ().load("cpu")
    w_plus = network.mapping(torch.from_numpy(np.random.RandomState(7).randn(1, 512)).float(), 0.7)
    face = network.features(w_plus, ["64"])["64"][0]
    maps = [(whole(face.roll(shift, (1, 2)), 16.0),) for shift in ((0, 0), (1, 0), (1, -1))]
    said = track(tracker(), at((512.3, 590.1)), maps, size=(1024, 1024))
    assert said[1].positions[0] == pytest.approx((512.3, 606.1), abs=0.1)
    assert said[2].positions[0] == pytest.approx((496.3, 606.1), abs=0.1)
    assert said[2].confidence[0] > 0.99


def test_square_begins_at_its_centre_and_holds_every_place() -> None:
    grid = square(2, 1)
    assert tuple(grid[0]) == (0, 0)
    assert {tuple(o) for o in grid} == {(x, y) for x in range(-2, 3) for y in range(-2, 3)}
    assert (np.diff(np.linalg.norm(grid, axis=1)) >= 0).all()


def test_68_points_are_found_where_each_alone_is() -> None:
    """Whatever the boxes: one for each point, the whole map, or the map of one point and boxes for the rest."""
    waves, random = Waves(3), np.random.RandomState(3)
    handles = [(float(x), float(y)) for x, y in random.uniform(0, 511, (68, 2))]
    handles[1] = handles[0]
    maps = waves.map((0, 0)), waves.map((5.3, -7.1))
    boxes = [tuple(crop(m, around(h, 12.0), STRIDE) for h in handles) for m in maps]
    together = track(tracker(), at(*handles), boxes)[1]
    assert together == track(tracker(), at(*handles), [(whole(m, STRIDE),) for m in maps])[1]
    for i, handle in enumerate(handles):
        alone = track(tracker(), at(handle), [(whole(m, STRIDE),) for m in maps])[1]
        assert together.positions[i] == alone.positions[0]
        assert together.confidence[i] == pytest.approx(alone.confidence[0], abs=1e-6)


@given(st.data(), anywhere())
@settings(max_examples=40, deadline=None)
def test_a_level_is_read_as_the_whole_map_would_be(data: st.DataObject, positions: np.ndarray) -> None:
    """Values, and distances from templates, of many boxes, against one position at a time by hand."""
    cells, templates = random_map(0), torch.randn(len(positions), 3, dtype=torch.float64)
    boxes = data.draw(boxes_for(cells, positions, 9.0))
    level = Level(Features(session="s", step=0, size=(112, 144), levels={"64": boxes}), "64")
    for reach in 9.0, 3.0, 9.0:
        places = positions[:, None] + np.array([(0, 0), (reach, -reach), (-reach, 0.7)])
        expected = torch.stack([torch.stack([value(cells, x, y) for x, y in row]) for row in places])
        torch.testing.assert_close(level.sample(places), expected, rtol=0, atol=1e-13)
        distances = (expected - templates[:, None]).abs().sum(dim=2)
        torch.testing.assert_close(level.distances(places, templates), distances, rtol=0, atol=1e-12)


def test_many_distances_are_taken_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    boxes, places = (whole(random_map(0), STRIDE),), np.random.RandomState(0).uniform(0, 60, (7, 5, 2))
    level = Level(Features(session="s", step=0, size=SIZE, levels={"64": boxes}), "64")
    templates = torch.zeros(7, 3)
    at_once = level.distances(places, templates)
    monkeypatch.setattr("draggan_nodes.tracking.level.AT_ONCE", 2 * 5 * 3)
    assert torch.equal(level.distances(places, templates), at_once)


def test_what_no_box_holds_is_named() -> None:
    box = crop(random_map(0), (20.0, 30.0, 60.0, 70.0), 16.0)
    level = Level(Features(session="s", step=0, size=SIZE, levels={"64": (box,)}), "64")
    with pytest.raises(NotCoveredError) as missing:
        level.sample(np.array([[[30.0, 40.0], [31.0, 41.0]], [[30.0, 40.0], [80.0, 41.0]]]))
    assert missing.value.regions == ((30.0, 40.0, 80.0, 41.0),)
    assert level.covering((30.0, 40.0, 31.0, 41.0)) == [box]
