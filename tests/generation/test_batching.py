"""Sessions that step together: one pass for all of one kind, and each gets what it would get alone."""

from __future__ import annotations

import copy
import gc
import weakref
from itertools import pairwise

import numpy as np
import pytest
import torch
from draggan_nodes.generation import passes
from draggan_nodes.generation.node import Generator, GeneratorParams
from draggan_nodes.generation.passes import Wish, grouped, look
from draggan_nodes.generation.plan import plan
from draggan_nodes.generation.protocol import Window
from draggan_nodes.generation.styles import Styles

from draggan_runtime import models
from draggan_runtime.cli.bench_session import Choice, points
from draggan_runtime.cli.lockstep import LockStep
from draggan_runtime.execution.changes import NodeChange
from draggan_runtime.messages import Begin, FeatureGradient, Goal, Latent, Mask, NeedBoxes, PointPair
from draggan_runtime.node import Context, Need, Turn

#: Of the largest value; what rounding makes of other tiles and other sums.
TOLERANCE = 1e-5
NETWORKS = "ffhq", "stylegan2:64"
MASK = np.ones((1024, 1024), np.uint8)
PLACES = ((512, 590), (300, 420), (700, 800), (20, 1000), (505, 601), (640, 300))


def assert_near(ours, theirs, tolerance=TOLERANCE):
    torch.testing.assert_close(ours, theirs, rtol=0, atol=tolerance * theirs.abs().max().item())


ONE, ALL = Window(20, 26, 25, 31), Window(0, 32, 0, 32)
#: A level, and by session the windows it wants.
WANTED = {
    "boxes": ("64", [[ONE], [Window(3, 9, 40, 46), Window(35, 41, 20, 26)], [Window(0, 6, 58, 64)], [ONE]]),
    "many boxes": ("64", [[ONE], [Window(r, r + 6, c, c + 6) for r in (4, 22, 40) for c in (8, 31, 50)]]),
    "pictures": ("rgb", [[Window(7, 38, 12, 43)], [Window(0, 31, 33, 64), Window(20, 41, 20, 26)]]),
    "whole maps": ("32", [[ALL], [ALL]]),
    "whole maps and boxes": ("32", [[ALL], [ALL, ONE]]),
}


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """On a busy machine a second costs more than it brings."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module", params=NETWORKS)
def network(request):
    return models.find(request.param).load("cpu")


@pytest.fixture(scope="module")
def exact(network):
    """The network in float64."""
    return copy.deepcopy(network).double()


def wishes(network, kind, free):
    """Sessions of other latents and offsets."""
    level, wanted = WANTED[kind]
    rows = network.coarse_slots if free else 1
    random = torch.Generator().manual_seed(0)
    for i, of in enumerate(wanted):
        z = torch.from_numpy(np.random.RandomState(i).randn(1, network.z_dim)).to(network.w_mean)
        start = network.mapping(z, 0.7)[0]
        offset = 0.1 * torch.randn(rows, network.w_dim, generator=random).to(start)
        slots = network.coarse_slots
        yield Wish(network, start, offset, slots, Styles(start[None], slots), {level: of})


def slopes(boxes):
    """A gradient with respect to boxes, of any numbers."""
    random = torch.Generator().manual_seed(0)
    levels = {
        name: tuple(torch.randn(box.values.shape, generator=random).to(box.values) for box in of)
        for name, of in boxes.items()
    }
    return FeatureGradient(session="", levels=levels, loss=0.0)


def compare(network, kind, free, tolerance, slope_tolerance):
    """What sessions get of one pass, and what each gets of its own."""
    level, all_ = WANTED[kind][0], list(wishes(network, kind, free))
    together = look(all_)
    gradients = {i: slopes(seen.boxes) for i, seen in enumerate(together)}
    pulled = together[0].at.pull(gradients)
    for i, wish in enumerate(all_):
        [alone] = look([wish])
        for ours, theirs in zip(together[i].boxes[level], alone.boxes[level], strict=True):
            assert_near(ours.values, theirs.values, tolerance)
        assert_near(pulled[i], alone.at.pull({0: gradients[i]})[0], slope_tolerance)


@pytest.mark.parametrize(("kind", "free"), [*((kind, False) for kind in WANTED), ("boxes", True)])
def test_features_and_gradients_are_those_of_each_session_alone(exact, kind, free):
    compare(exact, kind, free, 1e-12, 1e-12)


@pytest.mark.parametrize("kind", WANTED)
def test_in_float32_but_for_rounding(network, kind):
    """Which may turn the sign of a value before a leaky ReLU, and with it a percent of a gradient."""
    compare(network, kind, False, TOLERANCE, 3e-2)


def test_whose_gradient_is_not_given_adds_nothing_to_the_others(exact):
    both = list(wishes(exact, "boxes", False))[:2]
    together, [alone] = look(both), look(both[1:])
    gradient = slopes(alone.boxes)
    pulled = together[1].at.pull({1: gradient})
    assert pulled.keys() == {1}
    assert_near(pulled[1], alone.at.pull({0: gradient})[0], 1e-12)


def test_cells_that_nobody_needs_are_taken_from_the_session_s_own():
    """Of another's, numbers that are not finite would come along."""
    wanted = [[ONE], [Window(41, 43, 9, 11)], [Window(3, 4, 40, 46), Window(50, 56, 41, 43)]]
    steps = plan([(8, wanted)], 3, (4, 4), torch.device("cpu")).steps
    for before, step in pairwise(steps):
        if step.sources is None:
            continue
        cells = before.tiles.rows * before.tiles.columns
        whose = torch.tensor([latent for latent, _, _ in before.tiles.corners])[step.sources // cells]
        assert (whose == step.latents[:, None, None]).all()


def test_groups_are_of_one_kind_about_equal_and_not_too_large():
    assert grouped(["a", "b", "a", None, "a", None], 8) == [[0, 2, 4], [1], [3], [5]]
    assert [len(group) for group in grouped(["a"] * 9, 8)] == [4, 5]
    assert grouped(["a", "a"], 1) == [[0], [1]]
    assert grouped([], 8) == []


class Counting:
    """A network that notes of each pass how many sessions and threads it had."""

    def __init__(self, network):
        self._network, self.passes = network, []

    def __getattr__(self, name):
        return getattr(self._network, name)

    def boxes(self, styles, windows):
        self.passes.append((len(styles.w_plus), torch.get_num_threads()))
        return self._network.boxes(styles, windows)


class Engine:
    """A generator and its sessions: each named by a number, with a goal and perhaps a mask of its own."""

    def __init__(self, **params):
        needs = Need("64", 12), Need("64", 4, whole_with_mask=True)
        self.node = Generator(GeneratorParams(**params), Context("generator", needs={"features": needs}))
        self.node.configure()
        self.node.network = Counting(self.node.network)
        self.sessions, self.features, self.latents = {}, {}, {}

    @property
    def passes(self):
        return self.node.network.passes

    def join(self, name, points=1, mask=None):
        places = [PLACES[(name + i) % len(PLACES)] for i in range(points)]
        pairs = tuple(PointPair(i, place, (512, 512)) for i, place in enumerate(places))
        latched = {"goal": Goal(session=str(name), points=pairs), "mask": Mask(session=str(name), movable=mask)}
        self.sessions[name] = latched, self.node.new_state()
        z = np.random.RandomState(name).randn(512).astype(np.float32)
        self.send({name: ("latent", Latent(session=str(name), space="z", values=z))})
        return self

    def state(self, name):
        return self.sessions[name][1]

    def send(self, events):
        """All in one step; by session, what failed."""
        turns = {
            name: Turn(str(name), message.step, {**self.sessions[name][0], port: message}, self.state(name))
            for name, (port, message) in events.items()
        }
        self.passes.clear()
        self.node.step(list(turns.values()))
        for name, turn in turns.items():
            if turn.failure is None:
                said = dict(turn.emitted)
                self.features[name] = said.get("features")
                self.latents[name] = said.get("latent")
        return {name: str(turn.failure) for name, turn in turns.items() if turn.failure is not None}

    def begin(self, *names):
        return self.send({name: ("begin", Begin(session=str(name), step=self.state(name).step)) for name in names})

    def gradient(self, name, by=1.0, **changes):
        features = self.features[name]
        levels = {n: tuple(by * b.values / b.values.numel() for b in bs) for n, bs in features.levels.items()}
        message = {"session": str(name), "step": features.step, "levels": levels, "loss": 0.0, **changes}
        return "gradient", FeatureGradient(**message)

    def descend(self, *names, **instead):
        return self.send({name: self.gradient(name) for name in names} | {int(k[1:]): v for k, v in instead.items()})


@pytest.fixture
def engine():
    return Engine()


def alone(name, steps, **joins):
    """Boxes, and the latent's way from the start, of a session that steps by itself."""
    engine = Engine().join(name, **joins)
    engine.begin(name)
    for _ in range(steps):
        engine.descend(name)
    return engine.features[name], engine.state(name).offset


def assert_as_alone(engine, name, steps, tolerance=TOLERANCE, **joins):
    features, offset = alone(name, steps, **joins)
    ours, theirs = engine.features[name].levels["64"], features.levels["64"]
    assert [box.origin for box in ours] == [box.origin for box in theirs]
    for one, other in zip(ours, theirs, strict=True):
        assert_near(one.values, other.values, tolerance)
    assert_near(engine.state(name).offset, offset, 3e-2 if offset.any() else 0)


def test_sessions_that_step_together_share_one_pass(engine):
    for name in range(4):
        engine.join(name, points=1 + name % 2)
    assert engine.begin(0, 1, 2, 3) == {}
    assert [count for count, _ in engine.passes] == [4]
    assert engine.descend(0, 1, 2, 3) == {}
    assert [count for count, _ in engine.passes] == [4]
    for name in range(4):
        assert_as_alone(engine, name, 1, 1e-4, points=1 + name % 2)  # Adam's first step is as large at any gradient


def test_a_batch_has_at_most_as_many_sessions_as_it_may():
    engine = Engine(batch=2).join(0).join(1).join(2)
    engine.begin(0, 1, 2)
    assert sorted(count for count, _ in engine.passes) == [1, 2]


def test_batches_of_one_give_bit_for_bit_what_a_session_alone_gives():
    engine = Engine(batch=1).join(0, points=2).join(1)
    engine.begin(0, 1)
    engine.descend(0, 1)
    features, offset = alone(0, 1, points=2)
    assert torch.equal(engine.state(0).offset, offset)
    for ours, theirs in zip(engine.features[0].levels["64"], features.levels["64"], strict=True):
        assert torch.equal(ours.values, theirs.values)


def test_sessions_with_a_mask_go_beside_those_without(engine):
    """On a CPU each whole map by itself, which is bit for bit what it is alone."""
    engine.join(0, mask=MASK).join(1).join(2).join(3, mask=MASK).begin(0, 1, 2, 3)
    engine.descend(0, 1, 2, 3)
    assert sorted(count for count, _ in engine.passes) == [1, 1, 2]
    features, offset = alone(0, 1, mask=MASK)
    assert torch.equal(engine.state(0).offset, offset)
    assert torch.equal(engine.features[0].levels["64"][0].values, features.levels["64"][0].values)
    for name in (1, 2):
        assert_as_alone(engine, name, 1, 1e-4)


def test_sessions_join_and_leave_at_any_step(engine):
    engine.join(0).join(1).join(2)
    engine.begin(0, 1)
    engine.descend(0, 1)
    engine.send({2: ("begin", Begin(session="2")), 0: engine.gradient(0)})  # 1 rests, 2 joins
    assert [count for count, _ in engine.passes] == [2]
    engine.descend(0, 2)
    assert engine.descend(1) == {}  # what it saw was shared, and the others have used it up
    assert [engine.state(name).step for name in range(3)] == [3, 2, 1]
    for name in range(3):
        assert_as_alone(engine, name, engine.state(name).step, 1e-3)


def test_sessions_that_move_other_slots_do_not_share_a_pass(engine):
    """The parameter changes between two drags' beginnings."""
    engine.join(0).join(1).begin(0)
    engine.node.change(GeneratorParams(space="w_plus"))
    engine.begin(1)
    assert engine.descend(0, 1) == {}
    assert [count for count, _ in engine.passes] == [1, 1]
    assert [len(engine.state(name).offset) for name in (0, 1)] == [1, 10]


def test_boxes_asked_for_in_a_batch_are_of_the_same_step(engine):
    engine.join(0).join(1).begin(0, 1)
    ask = NeedBoxes(session="0", level="64", regions=((60.0, 60.0, 120.0, 120.0),))
    before = engine.features[0].levels["64"][0].values
    assert engine.send({0: ("boxes", ask), 1: engine.gradient(1)}) == {}
    first, second = engine.features[0].levels["64"]
    assert_near(first.values, before)
    assert second.origin == (3, 3)
    assert engine.descend(0, 1) == {}


def test_a_session_that_fails_leaves_the_others_of_its_pass_unharmed(engine):
    steps = {}
    for name in range(5):
        engine.join(name)
    engine.begin(0, 1, 2, 3)
    box = engine.features[2].levels["64"][0].values
    before = {name: engine.state(name).offset for name in range(4)}
    failures = engine.descend(
        0,
        _1=engine.gradient(1, by=float("nan")),
        _2=engine.gradient(2, levels={"64": (box[:, 1:],)}),
        _3=engine.gradient(3, step=7),
        _4=("gradient", FeatureGradient(session="4", levels={}, loss=0.0)),
    )
    assert failures.keys() == {1, 2, 3, 4}
    for name, words in {1: "not finite", 2: "boxes", 3: "step 7", 4: "step 0"}.items():
        assert words in failures[name]
    assert_as_alone(engine, 0, 1, 1e-4)
    for name in (1, 2, 3):
        assert torch.equal(engine.state(name).offset, before[name])
    assert engine.descend(0, 1, 2, 3) == {}
    steps = [engine.state(name).step for name in range(4)]
    assert steps == [2, 1, 1, 1]


def test_numbers_that_are_not_finite_stay_with_their_session(engine):
    """Whichever comes first in the batch."""
    engine.join(0, points=2).join(1, points=2).join(2, points=2)
    for broken in range(3):
        engine.begin(0, 1, 2)
        well = [name for name in range(3) if name != broken]
        before = {name: engine.state(name).step for name in range(3)}
        failures = engine.descend(*well, **{f"_{broken}": engine.gradient(broken, by=float("inf"))})
        assert failures.keys() == {broken}
        for name in well:
            assert engine.state(name).step == before[name] + 1
            assert all(torch.isfinite(box.values).all() for box in engine.features[name].levels["64"])


def test_a_pass_lives_no_longer_than_it_is_of_use(engine):
    """Memory: its graph goes with the first backward pass, the rest with the last session that looks at it."""
    engine.join(0).join(1).begin(0, 1)
    shared, leaf = engine.state(0).look.at, engine.state(1).look.at
    assert shared is leaf
    graph = weakref.ref(shared.values(1)["64"][0])
    gone = weakref.ref(shared)
    gc.disable()
    try:
        del shared, leaf
        engine.descend(0)
        assert graph() is None
        assert gone() is not None
        engine.descend(1)
        assert gone() is None
    finally:
        gc.enable()


def test_the_arithmetic_of_the_whole_batch_decides_on_threads(engine):
    torch.set_num_threads(2)
    try:
        for name in range(4):
            engine.join(name)
        engine.begin(0)
        assert engine.passes == [(1, 1)]
        engine.begin(0, 1, 2, 3)
        assert engine.passes == [(4, 2)]
    finally:
        torch.set_num_threads(1)


def test_a_pass_that_fails_fails_its_own_sessions_only(engine, monkeypatch):
    engine.join(0).join(1).join(2, mask=MASK).begin(0, 1, 2)
    made = passes.Pass

    def broken(wishes, **options):
        if len(wishes) > 1:
            raise MemoryError("too much")
        return made(wishes, **options)

    monkeypatch.setattr(passes, "Pass", broken)
    failures = engine.begin(0, 1, 2)
    assert failures == {0: "too much", 1: "too much"}
    monkeypatch.undo()
    assert engine.begin(0, 1, 2) == {}


def test_drags_in_one_batch_end_where_they_end_alone():
    """Eight steps, tracking included; the rounding of one step grows in the next ones."""
    engine = LockStep(Choice("ffhq").graph("local.threads=1"))
    names = ["a", "b"]

    def drag(batch):
        engine.container.change(NodeChange("generator", {"batch": batch}))
        for i, name in enumerate(names):
            engine.picture(name, 7 + i, points(1 + i, (1024, 1024), (64, 16 * i)))
        engine.begin(names)
        for _ in range(8):
            engine.step(names)
        tracks = engine.container.hosted["tracker"].states
        ends = [(engine.latents[n].values, [t.position for t in tracks[n].now.values()]) for n in names]
        for name in names:
            engine.forget(name)
        return ends

    for (ours, here), (theirs, there) in zip(drag(8), drag(1), strict=True):
        assert_near(ours, theirs, 1e-4)
        np.testing.assert_allclose(here, there, atol=0.2)
        assert (np.abs(np.array(here) - np.array(points(len(here), (1024, 1024)))[:, 0]) > 4).any()
    engine.container.close()
