"""Boxes of a feature map, computed alone, are what the whole map has there; and so are the gradients through them."""

from functools import lru_cache
from itertools import chain

import numpy as np
import pytest
import torch
from draggan_nodes.generation.plan import plan
from draggan_nodes.generation.protocol import Window
from draggan_nodes.generation.regions import windows
from draggan_nodes.generation.stylegan2 import StyleGAN2
from draggan_nodes.generation.stylegan2_state import Architecture
from draggan_nodes.generation.styles import Styles
from draggan_nodes.generation.tiles import cover
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from draggan_runtime import models
from draggan_runtime.boxes import around, covering, whole
from draggan_runtime.messages import Box

NETWORKS = {"ffhq": "64", "stylegan2:128": "64", "stylegan2:64": "32"}
#: Of the largest value: in float32, and in float64.
RELATIVE, EXACT = 1e-4, 1e-9


@pytest.fixture(scope="module", params=NETWORKS)
def case(request):
    network = models.find(request.param).load("cpu")
    return network, NETWORKS[request.param]


def w_plus_of(network, *seeds):
    z = np.concatenate([np.random.RandomState(seed).randn(1, network.z_dim) for seed in seeds])
    return network.mapping(torch.from_numpy(z).to(network.w_mean), 0.7)


def slope(values, seed=0):
    """Any gradient with respect to ``values``."""
    return torch.randn(values.shape, generator=torch.Generator().manual_seed(seed), dtype=values.dtype)


def assert_near(ours, theirs, relative=RELATIVE):
    torch.testing.assert_close(ours, theirs, rtol=0, atol=relative * theirs.abs().max().item())


@lru_cache
def exact(size):
    """A thin StyleGAN2 in float64, in which other sums do not put a value on the other side of a leaky ReLU's edge.

    In float32 it depends on the processor which do, and in a small network of random weights one such cell counts.
    """
    channels = (16, 14, 12, 10, 8, 6)[: (size[0] // 2).bit_length() - 1]
    thin = Architecture(channels=channels, mapping=(12, 12), z_dim=12)
    return StyleGAN2.random(thin, seed=3, name="thin", sha256="").double()


def assert_agree(network, wanted, slots=None):
    """Boxes and whole maps of ``wanted``, by level of as many latents: values, and the gradient of all together."""
    network, relative = (network, RELATIVE) if network.name == "ffhq" else (exact(network.size), EXACT)
    count = max(map(len, wanted.values()))
    w_plus = w_plus_of(network, *range(1, count + 1)).requires_grad_()
    boxes = network.boxes(Styles(w_plus, slots), wanted)
    maps = network.features(w_plus, wanted, slots=slots)
    ours, theirs = [], []
    for level, all_ in wanted.items():
        ours += chain(*boxes[level])
        theirs += [x[:, t:b, left:right] for x, of in zip(maps[level], all_, strict=True) for t, b, left, right in of]
    for one, other in zip(ours, theirs, strict=True):
        assert_near(one, other, relative)
    slopes = [slope(values, seed) for seed, values in enumerate(theirs)]
    total = sum((values * by).sum() for values, by in zip(theirs, slopes, strict=True))
    (expected,) = torch.autograd.grad(total, w_plus)
    (gradient,) = torch.autograd.grad(ours, w_plus, slopes)
    assert_near(gradient, expected, relative)


def square(side, rows, columns, size):
    """A window of ``size`` cells, as far as a map has them, around a place given in parts of the map."""
    top, left = (min(max(round(at * side) - size // 2, 0), side - size) for at in (rows, columns))
    return Window(top, top + size, left, left + size)


PLACES = {
    "centre": [(0.5, 0.5)],
    **{f"border {at}": [at] for at in [(0, 0.4), (1, 0.4), (0.4, 0), (0.4, 1)]},
    **{f"corner {at}": [at] for at in [(0, 0), (0, 1), (1, 0), (1, 1)]},
    "two that overlap": [(0.50, 0.50), (0.53, 0.56)],
    "two far apart": [(0.2, 0.3), (0.8, 0.6)],
    "opposite corners": [(0, 0), (1, 1)],
    "68 over the face": [(0.35 + 0.4 * (i % 9) / 9, 0.3 + 0.4 * (i // 9) / 8) for i in range(68)],
}


@pytest.mark.parametrize("places", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize("size", [6, 5])
def test_boxes_agree_with_the_whole_map(case, places, size):
    network, level = case
    side = int(level)
    wanted = [square(side, *at, size) for at in places]
    assert_agree(network, {level: [wanted]}, network.coarse_slots)


@st.composite
def any_windows(draw, side):
    edges = st.lists(st.integers(0, side), min_size=2, max_size=2, unique=True).map(sorted)
    return [Window(*draw(edges), *draw(edges)) for _ in range(draw(st.integers(1, 4)))]


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_any_boxes_of_any_latents_agree_with_the_whole_map(data):
    network, side = models.find("stylegan2:64").load("cpu"), 32
    wanted = [data.draw(any_windows(side)) for _ in range(data.draw(st.integers(1, 3)))]
    assert_agree(network, {str(side): wanted})


@settings(max_examples=4, deadline=None)
@given(data=st.data())
def test_any_boxes_of_pictures_and_of_the_map_they_are_made_of_agree_with_the_whole(data):
    network, count = models.find("stylegan2:64").load("cpu"), data.draw(st.integers(1, 2))
    wanted = {level: [data.draw(any_windows(64)) for _ in range(count)] for level in ("64", "rgb")}
    assert_agree(network, wanted)


def test_boxes_of_the_picture_agree_with_the_whole_picture(case):
    """Of two sessions, one of which wants boxes of a feature map besides."""
    network, level = case
    places = PLACES["two far apart"], PLACES["opposite corners"]
    pictures = [[square(network.size[0], *at, 31) for at in of] for of in places]
    features = [[square(int(level), *at, 6) for at in places[0]], []]
    assert_agree(network, {"rgb": pictures, level: features}, network.coarse_slots)


def test_boxes_of_the_picture_and_of_the_last_map_under_them():
    network = models.find("ffhq").load("cpu")
    assert_agree(network, {"rgb": [[Window(501, 533, 498, 529)]], "512": [[Window(260, 270, 240, 262)]]})


@settings(max_examples=15, deadline=None)
@given(wanted=any_windows(64))
def test_any_boxes_of_the_default_model_agree_with_the_whole_map(wanted):
    assert_agree(models.find("ffhq").load("cpu"), {"64": [wanted]})


def test_boxes_of_several_levels_at_once(case):
    network, level = case
    half = str(int(level) // 2)
    wanted = {level: [[Window(3, 9, 10, 16)]], half: [[Window(12, 16, 0, 3)]], "rgb": [[Window(5, 9, 20, 40)]]}
    w_plus = w_plus_of(network, 4)
    boxes = network.boxes(Styles(w_plus), wanted)
    maps = network.features(w_plus, wanted)
    for name, [[(top, bottom, left, right)]] in wanted.items():
        assert_near(boxes[name][0][0], maps[name][0, :, top:bottom, left:right])


def test_no_boxes_are_no_work(case):
    network, level = case
    assert network.boxes(Styles(w_plus_of(network, 1)), {level: [[]]}) == {level: [[]]}


def test_a_level_that_is_not_there_is_an_error(case):
    network, _ = case
    with pytest.raises(KeyError, match="65"):
        network.boxes(Styles(w_plus_of(network, 1)), {"65": [[Window(0, 1, 0, 1)]]})


def test_kept_styles_of_what_does_not_move_give_the_same(case):
    network, level = case
    start = w_plus_of(network, 1)
    slots = 2
    kept = Styles(start, slots)
    wanted = {level: [[Window(5, 11, 7, 13)]]}
    network.boxes(Styles(start, slots, kept), wanted)
    moved = torch.cat([w_plus_of(network, 2)[:, :slots], start[:, slots:]], 1).requires_grad_()
    [[ours]], [[theirs]] = (
        network.boxes(styles, wanted)[level] for styles in (Styles(moved, slots, kept), Styles(moved))
    )
    assert torch.equal(ours, theirs)
    gradient, every = (torch.autograd.grad(values.square().sum(), moved)[0] for values in (ours, theirs))
    assert_near(gradient[:, :slots], every[:, :slots])
    assert torch.count_nonzero(gradient[:, slots:]) == 0


def products_counted(network, wanted):
    """By torch's own counter."""
    styles = Styles(w_plus_of(network, 1))
    network.boxes(styles, wanted)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.boxes(styles, wanted)
    return counter.get_total_flops() / 2


@pytest.mark.parametrize("size", [6, 32])
@pytest.mark.parametrize("picture", [False, True])
def test_the_products_that_boxes_take_are_known_before(case, size, picture):
    """About."""
    network, level = case
    wanted = {level: [[Window(8, 8 + size, 4, 4 + size)]]}
    if picture:
        wanted["rgb"] = [[Window(50, 50 + 2 * size, 21, 21 + 2 * size)]]
    assert 0.7 < network.products(wanted) / products_counted(network, wanted) < 1.3


@pytest.mark.parametrize(("name", "part"), [("ffhq", 0.08), ("stylegan2:256", 0.2)])
def test_a_box_of_the_picture_costs_a_small_part_of_it(name, part):
    """What a picture tracker reads around a point, 75 px at 512."""
    network = models.find(name).load("cpu")
    side = network.size[0]
    box, whole_picture = square(side, 0.5, 0.5, round(75 / 512 * side)), Window(0, side, 0, side)
    assert network.products({"rgb": [[box]]}) < part * network.products({"rgb": [[whole_picture]]})


def test_a_small_box_of_a_large_map_computes_a_small_part_of_it():
    """10 x 10 cells of the 128 map of a config-f StyleGAN2: tiles down to the map of 16 rows."""
    steps = plan([(10, [[Window(60, 70, 61, 71)]])], 1, (4, 4), torch.device("cpu")).steps
    computed = {step.tiles.size[0]: step.tiles.rows * step.tiles.columns for step in steps}
    assert computed[128] == 100
    assert computed[64] <= 9 * 9
    assert computed[16] < 16 * 16
    assert steps[0].tiles.whole


def test_boxes_that_cover_most_of_the_map_become_the_whole_map():
    wanted = [Window(r, r + 10, c, c + 10) for r in range(0, 128, 10) for c in range(0, 128, 10) if max(r, c) <= 118]
    steps = plan([(10, [wanted])], 1, (4, 4), torch.device("cpu")).steps
    assert all(step.tiles.whole for step in steps)


def test_boxes_that_overlap_become_one_and_distant_ones_a_batch():
    wanted = np.zeros((1, 64, 64), bool)
    wanted[0, 10:16, 10:16] = wanted[0, 12:18, 11:17] = True
    assert len(cover(wanted, (6, 6)).corners) == 1
    wanted[0, 50:56, 40:46] = True
    tiles = cover(wanted, (6, 6))
    assert len(tiles.corners) in (2, 3)
    assert max(tiles.rows, tiles.columns) <= 8


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_tiles_hold_every_cell_wanted_and_lie_inside_the_map(data):
    height, width = data.draw(st.sampled_from([(32, 32), (64, 32), (16, 8)]))
    grid = data.draw(st.sampled_from([1, 2]))
    wanted = np.zeros((data.draw(st.integers(1, 3)), height, width), bool)
    for cells in wanted:
        for _ in range(data.draw(st.integers(0, 5))):
            row, column = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
            cells[row : row + data.draw(st.integers(1, 8)), column : column + data.draw(st.integers(1, 8))] = True
    tiles = cover(wanted, (data.draw(st.integers(1, 9)), data.draw(st.integers(1, 9))), grid)
    held = np.zeros_like(wanted)
    for latent, top, left in tiles.corners:
        assert 0 <= top <= height - tiles.rows
        assert 0 <= left <= width - tiles.columns
        held[latent, top : top + tiles.rows, left : left + tiles.columns] = True
    assert held[wanted].all()
    numbers = [tiles.rows, tiles.columns, *(n for _, *corner in tiles.corners for n in corner)]
    assert all(number % grid == 0 for number in numbers)


@settings(max_examples=200, deadline=None)
@given(
    x=st.floats(0, 1023), y=st.floats(0, 1023), reach=st.floats(0.5, 200), level=st.sampled_from(["64", "128", "256"])
)
def test_a_window_holds_what_reads_around_a_point_touch(x, y, reach, level):
    levels, size = models.find("ffhq").load("cpu").levels, (1024, 1024)
    [window] = windows({level: (around((x, y), reach),)}, levels, size)[level]
    top, bottom, left, right = window
    rows = int(level)
    box = Box(np.empty((1, bottom - top, right - left)), (left, top), levels[level].stride, (rows, rows))
    assert covering((box,), around((x, y), reach)) == 0
    assert 0 <= top < bottom <= rows
    assert 0 <= left < right <= rows


def test_windows_of_equal_regions_are_of_equal_size_at_the_border_too():
    levels, size = models.find("ffhq").load("cpu").levels, (1024, 1024)
    places = [(512.0, 590.0), (3.0, 500.0), (1020.0, 1020.0), (301.7, 77.2)]
    found = windows({"64": tuple(around(at, 32) for at in places)}, levels, size)["64"]
    assert {(w.bottom - w.top, w.right - w.left) for w in found} == {(6, 6)}


def test_a_region_that_an_earlier_window_holds_gets_none():
    levels, size = models.find("ffhq").load("cpu").levels, (1024, 1024)
    places = (None, around((500, 500), 32))
    assert windows({"64": places}, levels, size)["64"] == [Window(0, 64, 0, 64)]
    assert len(windows({"64": (around((500, 500), 40), around((502, 501), 20))}, levels, size)["64"]) == 1


def test_the_whole_map_is_one_box_among_others(case):
    network, level = case
    side = int(level)
    w_plus = w_plus_of(network, 1)
    [[everything, part]] = network.boxes(Styles(w_plus), {level: [[Window(0, side, 0, side), Window(2, 8, 3, 9)]]})[
        level
    ]
    assert torch.equal(everything, network.features(w_plus, [level])[level][0])
    assert torch.equal(part, everything[:, 2:8, 3:9])
    assert whole(everything, 1.0).whole
