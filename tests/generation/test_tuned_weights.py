"""Weights that are one picture's own: what they change, and whom they do not."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from draggan_nodes.generation.mobile_stylegan import MobileStyleGAN
from draggan_nodes.generation.node import Generator, GeneratorParams
from draggan_nodes.generation.renderer import Renderer, RendererParams
from draggan_nodes.generation.stylegan2 import StyleGAN2
from draggan_nodes.generation.stylegan2_state import Architecture

from draggan_runtime import models
from draggan_runtime.errors import DragganError, UserError
from draggan_runtime.messages import Begin, Goal, Latent, PointPair, TunedWeights
from draggan_runtime.node import Context, Need, Turn

TINY = Architecture(channels=(7, 6, 5, 4), mapping=(12, 9), z_dim=10)


def changes_of(network, scale: float = 0.1, rank: int = 2, seed: int = 0):
    """Factors of a change of every tunable weight."""
    random = torch.Generator().manual_seed(seed)

    def matrix(rows, columns):
        return scale * torch.randn(rows, columns, generator=random).to(network.w_mean)

    return {name: (matrix(a, rank), matrix(rank, b)) for name, (a, b) in network.tunable.items()}


def products(factors):
    return {name: up @ down for name, (up, down) in factors.items()}


def w_plus_of(network, seed: int = 1):
    z = torch.from_numpy(np.random.RandomState(seed).randn(1, network.z_dim)).to(network.w_mean)
    return network.mapping(z, 0.7)


@pytest.fixture(scope="module")
def state():
    return TINY.random_state(3)


@pytest.fixture(scope="module")
def tiny(state):
    return StyleGAN2(state, name="tiny", sha256="")


@pytest.fixture(scope="module")
def mobile():
    return models.find("ffhq").load("cpu")


def test_a_stylegan2_is_tuned_as_if_its_file_held_other_weights(tiny, state):
    changes = products(changes_of(tiny))
    assert len(changes) == 4 + 3 + 4  # convolutions, those that enlarge, and RGB
    other = dict(state)
    for name, change in changes.items():
        i, layer = name.removeprefix("blocks.").split(".")
        key = f"synthesis.b{4 << int(i)}.{layer.replace('to_rgb', 'torgb')}.weight"
        other[key] = state[key] + change.view(state[key].shape)
    expected = StyleGAN2(other, name="other", sha256="")
    w_plus = w_plus_of(tiny)
    before = tiny.image(w_plus)
    tuned = tiny.tuned(changes)
    torch.testing.assert_close(tuned.image(w_plus), expected.image(w_plus))
    torch.testing.assert_close(tuned.features(w_plus, ["16"])["16"], expected.features(w_plus, ["16"])["16"])
    assert not torch.allclose(tuned.image(w_plus), before, atol=0.01)
    assert torch.equal(tiny.image(w_plus), before)


def test_the_default_model_is_tuned_as_if_its_file_held_other_weights(mobile):
    changes = products(changes_of(mobile, 0.01))
    tensors = {name.replace("/", "."): tensor for name, tensor in mobile._w.named_buffers()}
    other = MobileStyleGAN(
        {name: tensor + changes.get(name, 0) for name, tensor in tensors.items()}, name="other", sha256=""
    )
    w_plus = w_plus_of(mobile)
    before = mobile.features(w_plus, ["32"])["32"]
    tuned = mobile.tuned(changes)
    assert torch.equal(tuned.image(w_plus), other.image(w_plus))
    assert not torch.allclose(tuned.features(w_plus, ["32"])["32"], before, atol=0.01)
    assert torch.equal(mobile.features(w_plus, ["32"])["32"], before)


def test_what_is_not_tuned_is_shared(tiny):
    [name] = [name for name in tiny.tunable if name.startswith("blocks.2.conv1")]
    tuned = tiny.tuned({name: torch.zeros(tiny.tunable[name])})
    ours, theirs = dict(tuned.named_buffers()), dict(tiny.named_buffers())
    apart = {key for key in theirs if ours[key] is not theirs[key]}
    assert apart == {f"{name}.weight", f"{name}.squares"}


def test_pictures_follow_changes_as_finite_differences_say(tiny):
    exact = copy.deepcopy(tiny).double()
    factors = products(changes_of(exact))
    w_plus = w_plus_of(exact)
    leaves = {name: change.requires_grad_() for name, change in factors.items()}
    exact.tuned(leaves).features(w_plus, ["rgb"])["rgb"].square().mean().backward()
    random = torch.Generator().manual_seed(5)
    ways = {name: torch.randn(leaf.shape, generator=random).double() for name, leaf in leaves.items()}

    def loss(by):
        with torch.no_grad():
            moved = {name: leaf + by * ways[name] for name, leaf in leaves.items()}
            return float(exact.tuned(moved).features(w_plus, ["rgb"])["rgb"].square().mean())

    slope = sum(float((leaf.grad * ways[name]).sum()) for name, leaf in leaves.items())
    assert slope == pytest.approx((loss(1e-6) - loss(-1e-6)) / 2e-6, rel=1e-5)


# -- sessions -----------------------------------------------------------------------------------------------------


class Session:
    """A session of a generator or renderer, with the weights that have come for it, if any."""

    def __init__(self, node, id, tuning=None, **latched):
        self.node, self.id, self.state = node, id, node.new_state()
        self.latched = latched | ({"tuning": tuning} if tuning else {})

    def turn(self, **event):
        return Turn(self.id, 0, {**self.latched, **event}, self.state)


def weights(network, scale=0.01, seed=0):
    return TunedWeights(session="a", name=f"of-{seed}", factors=changes_of(network, scale, seed=seed))


def latent(network, tuning=""):
    return Latent(session="a", space="w_plus", values=w_plus_of(network)[0], tuning=tuning)


@pytest.fixture(scope="module")
def generator():
    node = Generator(GeneratorParams(model="ffhq"), Context("generator", needs={"features": (Need("32", 12),)}))
    node.configure()
    return node


def begun(generator, *sessions):
    """By session the box that a drag begins with, all sessions in one step."""
    for session in sessions:
        session.latched["goal"] = Goal(session=session.id, points=(PointPair(1, (512, 590), (560, 590)),))
    turns = [session.turn(begin=Begin(session=session.id)) for session in sessions]
    generator.step(turns)
    assert [turn.failure for turn in turns] == [None] * len(turns)
    return [dict(turn.emitted)["features"].levels["32"][0] for turn in turns]


def set_latents(generator, sessions):
    turns = []
    for session in sessions:
        tuning = session.latched.get("tuning")
        turns.append(session.turn(latent=latent(generator.network, tuning.name if tuning else "")))
    generator.step(turns)
    return turns


def test_sessions_that_step_together_each_have_their_own_weights(generator):
    network = generator.network
    first, second = weights(network, seed=1), weights(network, seed=2)
    sessions = [Session(generator, "a", first), Session(generator, "b"), Session(generator, "c", second)]
    assert [turn.failure for turn in set_latents(generator, sessions)] == [None] * 3
    together = begun(generator, *sessions)
    before = network.features(w_plus_of(network), ["32"])["32"]
    for box, tuning in zip(together, (first, None, second), strict=True):
        own = network.tuned(products(tuning.factors)) if tuning else network
        left, top = box.origin
        _, rows, columns = box.values.shape
        whole = own.features(w_plus_of(network), ["32"])["32"][0]
        torch.testing.assert_close(box.values, whole[:, top : top + rows, left : left + columns], rtol=0, atol=1e-4)
    plain = together[1].values
    assert not torch.allclose(together[0].values, plain, atol=0.01)
    assert not torch.allclose(together[2].values, plain, atol=0.01)
    assert torch.equal(network.features(w_plus_of(network), ["32"])["32"], before)


def test_a_drag_s_latents_keep_the_name_of_their_weights_and_another_picture_has_none(generator):
    tuning = weights(generator.network)
    session = Session(generator, "a", tuning)
    [turn] = set_latents(generator, [session])
    assert dict(turn.emitted)["latent"].tuning == tuning.name
    tuned = dict(turn.emitted)["latent"].origin
    again = session.turn(latent=latent(generator.network))
    generator.step([again])
    plain = dict(again.emitted)["latent"]
    assert plain.tuning == ""
    assert plain.origin != tuned  # previews of one are not made of the other's
    assert session.state.own.tuned is None


@pytest.mark.parametrize(
    ("tuning", "error", "why"),
    [
        (None, DragganError, "weights that the picture was tuned with are not there"),
        ({"unknown": (torch.zeros(4, 1), torch.zeros(1, 4))}, UserError, "do not fit this model"),
        ({"to_rgb.pointwise": (torch.zeros(4, 1), torch.zeros(1, 4))}, UserError, "do not fit this model"),
        ({"to_rgb.pointwise": (torch.zeros(12, 2), torch.zeros(3, 16))}, UserError, "do not fit this model"),
        ({"to_rgb.pointwise": (torch.full((12, 1), torch.nan), torch.zeros(1, 16))}, UserError, "not finite"),
    ],
)
def test_weights_that_do_not_fit_fail_their_session_and_no_other(generator, tuning, error, why):
    network = generator.network
    if tuning and "to_rgb.pointwise" in tuning:
        channels = network.tunable["to_rgb.pointwise"][1]
        up, down = tuning["to_rgb.pointwise"]
        if up.shape[0] == 12:
            tuning = {"to_rgb.pointwise": (up, torch.zeros(down.shape[0], channels))}
    message = TunedWeights(session="a", name="theirs", factors=tuning) if tuning else None
    bad, good = Session(generator, "a", message), Session(generator, "b")
    turns = [bad.turn(latent=latent(network, "theirs")), good.turn(latent=latent(network))]
    generator.step(turns)
    assert isinstance(turns[0].failure, error)
    assert why in str(turns[0].failure)
    assert turns[1].failure is None


def test_pictures_are_drawn_with_the_session_s_own_weights():
    node = Renderer(RendererParams(), Context("renderer"))
    node.configure()
    tuning = weights(node.network, 0.05)
    tuned, plain = Session(node, "a", tuning), Session(node, "b")
    turns = [tuned.turn(latent=latent(node.network, tuning.name)), plain.turn(latent=latent(node.network))]
    node.step(turns)
    ours, theirs = (dict(turn.emitted)["frame"].image.astype(int) for turn in turns)
    own = node.network.tuned(products(tuning.factors)).image(w_plus_of(node.network))[0]
    expected = (own.permute(1, 2, 0).clamp(-1, 1).numpy() + 1) * 127.5
    assert np.abs(ours - expected).max() <= 0.51
    assert np.abs(ours - theirs).max() > 10
