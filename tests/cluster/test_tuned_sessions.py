"""Weights that are one session's own, on an engine that others share."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from small_cluster import MODEL

from draggan_runtime import models
from draggan_runtime.cluster.client import Attached
from draggan_runtime.messages import Command, Frame, Goal, LatentRequest, Notice, PointPair, Progress, TunedWeights
from draggan_runtime.pictures import to_uint8

GOAL = Goal(session="", points=(PointPair(1, (60.0, 60.0), (90.0, 60.0)),))


@pytest.fixture(scope="module")
def network():
    return models.find(MODEL).load("cpu")


@pytest.fixture(scope="module")
def w_plus(network):
    z = torch.from_numpy(np.random.RandomState(7).randn(1, network.z_dim).astype(np.float32))
    return network.mapping(z, 0.7)[0].numpy()


def weights(network, seed: int) -> TunedWeights:
    random = np.random.RandomState(seed)
    factors = {
        name: tuple(0.2 * random.randn(*shape).astype(np.float32) for shape in ((rows, 2), (2, columns)))
        for name, (rows, columns) in network.tunable.items()
    }
    return TunedWeights(session="", name=f"seed {seed}", factors=factors)


def picture(network, tuning: TunedWeights | None, w_plus: np.ndarray) -> np.ndarray:
    if tuning is not None:
        pairs = {name: map(torch.from_numpy, pair) for name, pair in tuning.factors.items()}
        network = network.tuned({name: up @ down for name, (up, down) in pairs.items()})
    return to_uint8(network.image(torch.tensor(w_plus)[None])[0]).numpy()


def wait_for(attached: Attached, wanted, timeout: float = 60.0):
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        for message, _ in attached.take(0.5):
            assert not (isinstance(message, Notice) and message.problem), message.text
            if wanted(message):
                return message
    raise AssertionError("it did not come")


def near(ours: np.ndarray, theirs: np.ndarray) -> bool:
    """But for what rounding makes of passes of several."""
    return int(np.abs(ours.astype(int) - theirs).max()) <= 1


def test_sessions_of_one_latent_are_drawn_and_dragged_each_with_its_own_weights(small_cluster, network, w_plus):
    tunings = {"tuned-a": weights(network, 1), "plain": None, "tuned-b": weights(network, 2)}
    for name, tuning in tunings.items():
        request = LatentRequest(session="", w_plus=w_plus, tuning=tuning)
        small_cluster.start(name, Command(session="", verb="set", argument="drag.max_steps=8"), request, GOAL)
    attached = {name: small_cluster.attach(name, pen=True, codec="raw") for name in tunings}
    try:
        for name, one in attached.items():
            frame = wait_for(one, lambda m: isinstance(m, Frame) and not m.preview)
            assert near(frame.image, picture(network, tunings[name], w_plus))
        for name, one in attached.items():
            one.post(Command(session=name, verb="start"))
        for name, one in attached.items():
            last = wait_for(one, lambda m: isinstance(m, Progress) and m.stopped)
            frame = wait_for(one, lambda m, last=last: isinstance(m, Frame) and not m.preview and m.step == last.step)
            assert last.stopped in ("max_steps", "reached")
            assert last.drag_steps > 0
            assert near(frame.image, picture(network, tunings[name], last.w_plus))
            other = picture(network, tunings["plain"] if tunings[name] else tunings["tuned-a"], last.w_plus)
            assert not near(frame.image, other)
            one.post(Command(session=name, verb="undo"))
            frame = wait_for(one, lambda m: isinstance(m, Frame) and not m.preview and m.step == 0)
            assert near(frame.image, picture(network, tunings[name], w_plus))
    finally:
        for name, one in attached.items():
            one.close()
            small_cluster.stop(name)


def test_weights_of_another_model_are_refused_in_a_line_and_other_sessions_go_on(small_cluster, network, w_plus):
    wrong = TunedWeights(
        session="", name="wrong", factors={"unknown": (np.zeros((3, 1), np.float32), np.zeros((1, 3), np.float32))}
    )
    small_cluster.start("wrong", LatentRequest(session="", w_plus=w_plus, tuning=wrong))
    small_cluster.start("well", LatentRequest(session="", w_plus=w_plus))
    with small_cluster.attach("wrong") as bad, small_cluster.attach("well", codec="raw") as good:
        deadline = time.monotonic() + 30
        said: list[str] = []
        while not any("do not fit this model" in text for text in said):
            assert time.monotonic() < deadline, said
            said += [message.text for message, _ in bad.take(0.5) if isinstance(message, Notice)]
        frame = wait_for(good, lambda m: isinstance(m, Frame) and not m.preview)
        assert near(frame.image, picture(network, None, w_plus))
    small_cluster.stop("wrong")
    small_cluster.stop("well")
