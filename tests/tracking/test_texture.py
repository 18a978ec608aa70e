"""Points that look like their surroundings, and what is said of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from box_helpers import ROWS, STRIDE, random_map, value
from draggan_nodes.generation.catalogue import FFHQ
from draggan_nodes.tracking.level import Level
from draggan_nodes.tracking.texture import Texture, distinctness

from draggan_runtime.boxes import whole
from draggan_runtime.messages import Features, Goal, PointPair
from draggan_runtime.node import Context, Need, Turn

SIDE = 512
PLAIN, CORNER = (100.0, 400.0), (255.5, 255.5)


def features(cells: torch.Tensor, stride: float, size: tuple[int, int] = (SIDE, SIDE), step: int = 0) -> Features:
    return Features(session="s", step=step, size=size, levels={"64": (whole(cells, stride),)})


def quarter() -> torch.Tensor:
    """``[4, 64, 64]``: a plain ground whose right lower quarter, from (255.5, 255.5) px on, is of another kind."""
    cells = torch.zeros(4, 64, 64)
    cells[:, 32:, 32:] = 1.0
    return cells


def test_it_is_the_least_distance_on_a_ring_in_units_of_what_places_far_apart_differ_by() -> None:
    cells = random_map(3)
    columns = cells.shape[2]
    size = (round(columns * STRIDE), round(ROWS * STRIDE))
    radius, at = 8 * size[1] / 512, np.array([[40.0, 60.0], [55.2, 71.9]])
    level = Level(features(cells, STRIDE, size), "64")
    known = cells.numpy()
    pairs = [
        np.abs(known[:, r, c] - known[:, r - ROWS // 2, c - columns // 2]).sum()
        for r in range(ROWS)
        for c in range(columns)
    ]
    for (x, y), found in zip(at, distinctness(level, at, 8.0), strict=True):
        ring = [
            np.abs(value(known, x + radius * np.cos(a), y + radius * np.sin(a)) - value(known, x, y)).sum()
            for a in np.radians(np.arange(0, 360, 22.5))
        ]
        assert found == pytest.approx(min(ring) / np.median(pairs), rel=1e-5)


def test_a_corner_can_be_told_from_its_surroundings_an_edge_and_plain_ground_cannot() -> None:
    rng = torch.Generator().manual_seed(0)
    cells = quarter()
    cells[:, :16] = torch.rand(4, 16, 64, generator=rng)  # so that places far apart do differ
    edge = (255.5, 400.0)
    corner, along, plain = distinctness(Level(features(cells, 8.0), "64"), np.array([CORNER, edge, PLAIN]), 8.0)
    assert plain == along == 0
    assert corner > 0.1


def test_what_lies_beyond_the_border_does_not_count() -> None:
    ramp = torch.arange(64.0).expand(1, 64, 64) + torch.arange(64.0)[:, None]
    [inside, corner] = distinctness(Level(features(ramp, 8.0), "64"), np.array([PLAIN, (0.0, 0.0)]), 8.0)
    assert inside < 0.01  # along its contour lines the ramp is level
    assert corner > inside


class Judge:
    """The node, and what it says when a goal comes."""

    def __init__(self, cells: torch.Tensor, **params: float) -> None:
        self.node = Texture(Texture.Params(**params), Context("texture"))
        self.state = self.node.new_state()
        self.cells = cells

    def says(self, *points: PointPair, step: int = 0) -> str:
        inputs = {"features": features(self.cells, 8.0, step=step), "goal": Goal(session="s", points=points)}
        turn = Turn("s", step, inputs, self.state)
        self.node.step([turn])
        assert turn.failure is None
        return " ".join(message.text for _, message in turn.emitted)


def pair(handle: tuple[float, float], id: int = 1, target: tuple[float, float] = (9.0, 9.0)) -> PointPair:
    return PointPair(id, handle, target)


def judge(**params: float) -> Judge:
    """Of a picture of two plain halves with a mark on the right one."""
    rng = torch.Generator().manual_seed(0)
    cells = torch.zeros(32, 64, 64)
    cells[:, :, 32:] = 0.5
    cells[:, 8:24, 40:56] = torch.rand(32, 16, 16, generator=rng)
    return Judge(cells, **params)


MARK = (380.0, 120.0)


def test_points_on_plain_ground_are_named_in_one_sentence_and_others_are_not() -> None:
    assert judge().says(pair(MARK)) == ""
    assert "the point at 100,400 looks like its surroundings" in judge().says(pair(MARK), pair(PLAIN, 2))
    both = judge().says(pair(PLAIN), pair((60.0, 60.0), 2))
    assert "the points at 100,400; 60,60 look" in both
    assert judge(least=0).says(pair(PLAIN)) == ""


def test_a_point_is_judged_when_it_is_new_or_the_user_moves_it_not_when_a_drag_does() -> None:
    one = judge()
    assert "100,400" in one.says(pair(PLAIN))
    assert one.says(pair(PLAIN), pair(MARK, 2)) == ""
    assert one.says(pair((110.0, 400.0)), step=20) == ""  # where a drag left it
    assert "120,400" in one.says(pair((120.0, 400.0)), step=20)
    assert "120,400" in one.says(pair((120.0, 400.0)), step=0)  # on another picture


def test_it_asks_for_its_level_unless_it_never_warns() -> None:
    assert Texture.needs(Texture.Params(level=32)) == {"features": Need("32", 8.0)}
    assert Texture.needs(Texture.Params(least=0)) == {}


def test_on_a_face_eyes_and_mouth_hold_and_backdrop_and_forehead_do_not() -> None:
    network = FFHQ().load("cpu")
    z = torch.from_numpy(np.random.RandomState(7).randn(1, 512)).float()
    with torch.no_grad():
        cells = network.features(network.mapping(z, 0.7), ["64"])["64"][0]
    level = Level(features(cells, 16.0, (1024, 1024)), "64")
    eyes_mouth_nose = np.array([(331, 490), (686, 488), (362, 746), (646, 746), (528, 694)], dtype=np.float64)
    plain = np.array([(40, 40), (960, 60), (512, 250), (512, 300)], dtype=np.float64)
    least = Texture.Params().least
    assert (distinctness(level, eyes_mouth_nose, 8.0) > 1.5 * least).all()
    assert (distinctness(level, plain, 8.0) < least).all()
