"""The generator as a node: latents in, feature boxes out, gradients back."""

import numpy as np
import pytest
import torch
from draggan_nodes.generation.latents import prior_gradient
from draggan_nodes.generation.node import Generator, GeneratorParams

from draggan_runtime import wire
from draggan_runtime.boxes import around, covering
from draggan_runtime.errors import DragganError, UserError
from draggan_runtime.messages import (
    Begin,
    FeatureGradient,
    Goal,
    Handles,
    Latent,
    Mask,
    NeedBoxes,
    PointPair,
)
from draggan_runtime.node import Context, Need, Turn

LEVEL = "32"
NEEDS = (Need(LEVEL, 12), Need(LEVEL, 4, whole_with_mask=True))
POINTS = (PointPair(1, (512, 590), (560, 590)), PointPair(2, (300, 420), (300, 400)))
MASK = Mask(session="s", movable=np.ones((1024, 1024), np.uint8))


def generator(needs=NEEDS, **params):
    node = Generator(GeneratorParams(**params), Context("generator", needs={"features": needs}))
    node.configure()
    return node


class Session:
    """One session of a node: keeps what is latched, sends events, and returns what was emitted."""

    def __init__(self, node, **latched):
        self.node, self.latched, self.state = node, latched, node.new_state()

    def send(self, **event):
        [message] = event.values()
        turn = Turn(message.session, message.step, {**self.latched, **event}, self.state)
        self.node.step([turn])
        if turn.failure is not None:
            raise turn.failure
        return dict(turn.emitted)

    def seed(self, seed=7):
        z = np.random.RandomState(seed).randn(512).astype(np.float32)
        return self.send(latent=Latent(session="s", space="z", values=z))["latent"]

    def begin(self):
        return self.send(begin=Begin(session="s", step=self.state.step))["features"]

    def descend(self, features, slope=lambda values: values.sign()):
        """Send a gradient made of the features themselves."""
        levels = {n: tuple(slope(b.values) / b.values.numel() for b in bs) for n, bs in features.levels.items()}
        gradient = FeatureGradient(session="s", step=features.step, levels=levels, loss=0.0)
        return self.send(gradient=gradient)


def dragging(needs=NEEDS, mask=None, points=POINTS, **params):
    """A session with a latent and a goal, and the features at the beginning of its drag."""
    latched = {"goal": Goal(session="s", points=points)} | ({"mask": mask} if mask else {})
    session = Session(generator(needs, **params), **latched)
    session.seed()
    return session, session.begin()


def test_a_seed_becomes_a_w_plus():
    session = Session(generator())
    latent = session.seed()
    assert (latent.space, latent.step) == ("w_plus", 0)
    z = torch.from_numpy(np.random.RandomState(7).randn(1, 512).astype(np.float32))
    assert torch.equal(latent.values, session.node.network.mapping(z, 0.7)[0])


def test_a_w_plus_is_used_as_it_is_and_keeps_its_step():
    values = Session(generator()).seed().values.numpy()
    values.flags.writeable = False
    latent = Session(generator()).send(latent=Latent(session="s", step=9, space="w_plus", values=values))["latent"]
    assert latent.step == 9
    np.testing.assert_array_equal(latent.values.numpy(), values)


@pytest.mark.parametrize("values", [np.zeros((18, 512), np.float32), np.full((23, 512), np.nan, np.float32)])
def test_a_latent_that_does_not_fit_the_model_is_a_user_error(values):
    with pytest.raises(UserError):
        Session(generator()).send(latent=Latent(session="s", space="w_plus", values=values))


def test_boxes_are_the_whole_map_around_each_handle():
    session, features = dragging()
    assert features.reference
    assert features.size == (1024, 1024)
    whole = session.node.network.features(session.state.w_plus[None], [LEVEL])[LEVEL][0]
    boxes = features.levels[LEVEL]
    assert len(boxes) == len(POINTS)
    for point, box in zip(POINTS, boxes, strict=True):
        # The tracker's 12 px and the motion term's 4 px at 512 add up to 32 px of the 1024 picture.
        assert covering((box,), around(point.handle, 32)) == 0
        assert covering((box,), around(point.handle, 96)) is None
        (x, y), (h, w) = box.origin, box.values.shape[-2:]
        torch.testing.assert_close(box.values, whole[:, y : y + h, x : x + w])
        assert not box.values.requires_grad


def test_a_goal_that_is_placed_before_a_drag_gives_whole_maps_and_changes_nothing():
    needs = {"features": NEEDS, "maps": (Need("16", 8), Need("not there", 8))}
    node = Generator(GeneratorParams(), Context("generator", needs=needs))
    node.configure()
    placed = Goal(session="s", points=POINTS)
    session, plain = Session(node, goal=placed), dragging()[1]
    assert session.send(placed=placed) == {}  # no latent yet
    session.seed()
    assert session.send(placed=Goal(session="s")) == {}
    maps = session.send(placed=placed)["maps"]
    [box] = maps.levels["16"]
    assert maps.levels.keys() == {"16"}
    assert box.whole
    assert torch.equal(box.values, node.network.features(session.state.w_plus[None], ["16"])["16"][0])
    for one, other in zip(session.begin().levels[LEVEL], plain.levels[LEVEL], strict=True):
        assert torch.equal(one.values, other.values)


def test_a_mask_asks_for_the_whole_map_where_a_stage_wants_it():
    _, features = dragging(needs=(*NEEDS, Need("16", 4)), mask=MASK)
    assert [box.whole for box in features.levels[LEVEL]] == [True]
    assert not features.levels["16"][0].whole


def test_boxes_follow_the_tracked_handles_but_begin_at_the_users():
    session, _ = dragging()
    session.latched["handles"] = Handles(session="s", size=(1024, 1024), positions={1: (700, 600)}, confidence={1: 1})
    features = session.descend(session.begin())["features"]
    moved, other = features.levels[LEVEL]
    assert covering((moved,), around((700, 600), 32)) == 0
    assert covering((other,), around(POINTS[1].handle, 32)) == 0
    assert covering(session.begin().levels[LEVEL], around(POINTS[0].handle, 32)) == 0


def test_more_boxes_of_the_same_step_are_the_same_map():
    session, features = dragging()
    more = session.send(boxes=NeedBoxes(session="s", level=LEVEL, regions=(around((100, 900), 40),)))["features"]
    assert more.step == features.step
    assert more.reference
    assert len(more.levels[LEVEL]) == 3
    whole = session.node.network.features(session.state.w_plus[None], [LEVEL])[LEVEL][0]
    (x, y), (h, w) = more.levels[LEVEL][2].origin, more.levels[LEVEL][2].values.shape[-2:]
    torch.testing.assert_close(more.levels[LEVEL][2].values, whole[:, y : y + h, x : x + w])
    assert session.descend(more)["latent"].step == 1


def test_boxes_of_a_level_nobody_declared_can_be_asked_for():
    session, _ = dragging()
    request = NeedBoxes(session="s", level="16", regions=(around((100, 900), 40),))
    assert session.send(boxes=request)["features"].levels["16"]


@pytest.mark.parametrize("space", ["w", "w_plus"])
def test_only_the_slots_that_move_change(space):
    session, features = dragging(space=space, slots=4)
    before = session.state.w_plus
    after = session.descend(session.descend(features)["features"])["latent"].values
    assert torch.equal(after[4:], before[4:])
    steps = (after - before)[:4]
    assert (steps.abs().amax(1) > 0).tolist() == [True, True, True, space == "w"]  # slot 3 drives nothing
    if space == "w":
        torch.testing.assert_close(steps, steps[:1].expand(4, -1), rtol=0, atol=1e-6)


def test_the_space_follows_the_mask_if_it_is_auto():
    assert dragging()[0].state.offset.shape == (1, 512)
    assert dragging(mask=MASK)[0].state.offset.shape == (10, 512)
    assert dragging(mask=Mask(session="s"))[0].state.offset.shape == (1, 512)


def test_a_step_is_adam_on_the_loss_and_the_prior():
    """Against torch's own Adam and autograd on the same loss, written out over the whole map."""
    session, features = dragging(prior=0.5, learning_rate=1e-2)
    network, start = session.node.network, session.state.w_plus
    w = start[0].clone().requires_grad_()
    optimiser = torch.optim.Adam([w], lr=1e-2)
    for _ in range(3):
        w_plus = torch.cat([w.expand(10, -1), start[10:]])
        whole = network.features(w_plus[None], [LEVEL])[LEVEL][0]
        loss = 0.5 * (((w - start[0]) @ network.w_whitening.T).square().mean() + 1e-6).sqrt()
        for box in features.levels[LEVEL]:
            (x, y), (rows, columns) = box.origin, box.values.shape[-2:]
            loss = loss + whole[:, y : y + rows, x : x + columns].square().mean() / 2
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        features = session.descend(features, slope=lambda values: values)["features"]
    # Adam divides by the gradient's own size, so that rounding shows where a gradient is near zero.
    torch.testing.assert_close(session.state.w_plus[0], w.detach(), rtol=0, atol=2e-4)


def test_a_whitened_step_is_steepest_descent_by_mahalanobis_distance():
    """Of all steps of one Mahalanobis length the first one lowers the loss most, to first order."""
    session, features = dragging(prior=0.0, whitened="always", learning_rate=1e-3)
    network, start = session.node.network, session.state.w_plus
    w = start[0].clone().requires_grad_()
    whole = network.features(torch.cat([w.expand(10, -1), start[10:]])[None], [LEVEL])[LEVEL][0]
    loss = torch.zeros(())
    for box in features.levels[LEVEL]:
        (x, y), (rows, columns) = box.origin, box.values.shape[-2:]
        loss = loss + whole[:, y : y + rows, x : x + columns].square().mean() / 2
    (gradient,) = torch.autograd.grad(loss, w)
    session.descend(features, slope=lambda values: values)
    step = (session.state.w_plus[0] - start[0]).double()
    z = torch.from_numpy(np.random.RandomState(0).randn(20_000, 512).astype(np.float32))
    covariance = torch.cov(network.map_w(z).double().T)
    best = -covariance @ gradient.double()
    assert torch.cosine_similarity(step, best, dim=0) > 0.98
    length = (step @ torch.linalg.solve(covariance, step)).sqrt()
    assert length == pytest.approx(1e-3 * 512**0.5, rel=0.1)


def test_with_a_mask_auto_steps_in_w_and_has_a_prior_and_a_rate_of_its_own():
    def first_step(**params):
        session, features = dragging(**params)
        session.descend(features)
        return session.state.offset

    for mask, like in ((None, "always"), (MASK, "never")):
        auto, same = first_step(mask=mask, whitened="auto"), first_step(mask=mask, whitened=like)
        assert torch.equal(auto, same)
    for mask, rate in ((None, 1e-3), (MASK, 5e-3)):
        own = first_step(mask=mask, learning_rate=1e-3, masked_learning_rate=5e-3)
        assert torch.equal(own, first_step(mask=mask, learning_rate=rate))
    session, features = dragging(mask=MASK, prior=0.0, masked_prior=1000.0, beta1=0.0)
    other, same = dragging(mask=MASK, prior=0.0, beta1=0.0)
    for _ in range(5):
        features, same = session.descend(features)["features"], other.descend(same)["features"]
    assert session.state.offset.norm() < 0.8 * other.state.offset.norm()


def test_the_priors_gradient_against_autograd():
    random = torch.Generator().manual_seed(0)
    offset = torch.randn(3, 5, generator=random, dtype=torch.float64, requires_grad=True)
    whitening = torch.randn(5, 5, generator=random, dtype=torch.float64)
    (expected,) = torch.autograd.grad(((offset @ whitening.T).square().mean() + 1e-6).sqrt(), offset)
    torch.testing.assert_close(prior_gradient(offset.detach(), whitening), expected)


def test_the_prior_pulls_back_to_the_start():
    session, features = dragging(prior=0.0)
    strong, same = dragging(prior=1000.0)
    for _ in range(5):
        features, same = session.descend(features)["features"], strong.descend(same)["features"]
    assert strong.state.offset.norm() < 0.8 * session.state.offset.norm()


def anchored(session: Session) -> np.ndarray:
    return (session.state.w_plus - session.state.anchor).numpy()


def test_the_prior_stays_near_the_picture_that_was_edited_first():
    session, features = dragging(prior=0.0)
    picture = session.state.w_plus
    for _ in range(5):
        features = session.descend(features)["features"]
    session.begin()  # a second drag
    assert torch.equal(session.state.anchor, picture)
    went = np.abs(anchored(session)).sum()
    session.node.params = session.node.params.model_copy(update={"prior": 1000.0})
    for _ in range(5):
        features = session.descend(session.begin(), slope=torch.zeros_like)["features"]
    assert np.abs(anchored(session)).sum() < 0.5 * went


def test_the_anchor_s_prior_against_autograd():
    """Slots that were edited apart are drawn back by one shared offset."""
    session, _ = dragging(prior=0.5, whitened="always", beta1=0.0)
    network, start = session.node.network, session.state.w_plus
    apart = 0.1 * torch.from_numpy(np.random.RandomState(3).randn(*start.shape).astype(np.float32))
    session.send(latent=Latent(session="s", space="w_plus", values=start + apart, anchor=start))
    offset = torch.zeros(512, dtype=torch.float64, requires_grad=True)
    distance = (apart[:10].double() + offset) @ network.w_whitening.double().T
    (gradient,) = torch.autograd.grad(0.5 * distance.square().mean().sqrt(), offset)
    session.descend(session.begin(), slope=torch.zeros_like)
    step = (session.state.w_plus - start - apart)[0].double()
    whitening = network.w_whitening.double()
    natural = -torch.linalg.solve(whitening @ whitening, gradient)
    assert torch.cosine_similarity(step, natural, dim=0) > 0.9999


def test_a_latent_that_is_set_is_its_own_anchor_unless_another_is_named():
    session = Session(generator())
    values = session.seed().values
    assert torch.equal(session.state.anchor, values)
    session.send(latent=Latent(session="s", space="w_plus", values=values + 1))
    assert torch.equal(session.state.anchor, values + 1)
    session.send(latent=Latent(session="s", space="w_plus", values=values + 2, anchor=values))
    assert torch.equal(session.state.anchor, values)
    again = Latent(session="s", space="w_plus", values=values + 3, origin=session.state.origin)
    session.send(latent=again)  # an earlier step of the same picture
    assert torch.equal(session.state.anchor, values)


def test_a_snapshot_resumes_bit_for_bit():
    session, features = dragging(mask=MASK)
    for _ in range(2):
        features = session.descend(features)["features"]
    saved = wire.unpack(wire.pack(session.node.snapshot(session.state)))
    again = Session(generator(), **session.latched)
    again.state = again.node.restore(saved)
    here = there = features
    for _ in range(2):
        here, there = session.descend(here)["features"], again.descend(there)["features"]
    assert torch.equal(session.state.w_plus, again.state.w_plus)
    assert torch.equal(here.levels[LEVEL][0].values, there.levels[LEVEL][0].values)
    assert again.state.step == 4


def test_a_session_without_latent_can_be_saved_too():
    node = generator()
    restored = node.restore(wire.unpack(wire.pack(node.snapshot(node.new_state()))))
    assert restored == node.new_state()


def test_a_new_drag_resets_moments_and_starts_where_the_last_one_ended():
    session, features = dragging()
    session.descend(features)
    end = session.state.w_plus
    session.begin()
    assert torch.equal(session.state.w_plus, end)
    assert session.state.moments.count == 0
    assert session.state.step == 1


def test_sessions_do_not_mix():
    one, features = dragging()
    latent = one.descend(features)["latent"].values
    node = generator()
    first, second = Session(node, **one.latched), Session(node, **one.latched)
    first.seed()
    second.seed(8)
    start = first.begin()
    second.descend(second.begin())
    assert torch.equal(first.descend(start)["latent"].values, latent)


def test_a_gradient_of_another_step_or_layout_is_an_error():
    session, features = dragging()
    with pytest.raises(DragganError, match="step 3"):
        session.send(gradient=FeatureGradient(session="s", step=3, levels={}, loss=0.0))
    before = session.state.w_plus
    box = features.levels[LEVEL][0].values
    for parts in [(box,), (box, box[:, 1:]), (None, None, None)]:
        with pytest.raises(DragganError, match="boxes"):
            session.send(gradient=FeatureGradient(session="s", levels={LEVEL: parts}, loss=0.0))
    assert torch.equal(session.state.w_plus, before)
    assert session.descend(features)["latent"].step == 1


def test_a_gradient_that_is_not_finite_leaves_the_latent():
    session, features = dragging()
    before = session.state.w_plus
    with pytest.raises(DragganError, match="not finite"):
        session.descend(features, slope=lambda values: values * float("nan"))
    assert torch.equal(session.state.w_plus, before)
    assert session.descend(features)["latent"].step == 1


def test_beginning_without_a_latent_is_an_error():
    with pytest.raises(DragganError, match="no latent"):
        Session(generator()).begin()


def test_what_the_model_does_not_have_fails_the_start():
    with pytest.raises(UserError, match=r"'65'.*64"):
        generator(needs=(Need("65", 12),))
    with pytest.raises(UserError, match="slots"):
        generator(slots=24)
    with pytest.raises(UserError, match="nosuch"):
        generator(model="nosuch")
