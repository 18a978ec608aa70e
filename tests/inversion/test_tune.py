"""Pivotal tuning: the weights change a little until one latent's picture is the photo."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from draggan_nodes.generation.stylegan2 import StyleGAN2
from draggan_nodes.generation.stylegan2_state import Architecture
from draggan_nodes.inversion.descent import Descent, Pace
from draggan_nodes.inversion.likeness import Likeness
from draggan_nodes.inversion.pivotal import Pivotal
from draggan_nodes.inversion.tune import Tune, TuningPace, name_of

PACE = TuningPace(steps=40, learning_rate=0.02, rank=4, fine=0.0, keep=0.0)


@pytest.fixture(scope="module")
def network():
    tiny = Architecture(channels=(32, 24, 16, 12), mapping=(32, 32), z_dim=32)
    return StyleGAN2(tiny.random_state(0), name="tiny", sha256="")


def latent(network, seed: int) -> torch.Tensor:
    z = torch.from_numpy(np.random.RandomState(seed).randn(1, network.z_dim).astype(np.float32))
    return network.mapping(z, 0.7)[0]


@pytest.fixture(scope="module")
def photo(network):
    """A picture that latent 1 would have, were the network's weights a little other ones."""
    random = torch.Generator().manual_seed(7)
    other = {
        name: 0.05 * torch.randn(rows, 2, generator=random) @ torch.randn(2, columns, generator=random)
        for name, (rows, columns) in network.tunable.items()
    }
    return network.tuned(other).image(latent(network, 1)[None])


def tuned(network, photo, pace=PACE):
    tune = Tune(network, Likeness(photo, perceptual=False), latent(network, 1), pace)
    while tune.done < pace.steps:
        tune.step()
    return tune


def applied(network, factors):
    return network.tuned({name: up @ down for name, (up, down) in factors.items()})


def moved(network, factors) -> float:
    """How much the pictures of other latents change, mean square."""
    w_plus = torch.stack([latent(network, seed) for seed in range(10, 20)])
    return float((applied(network, factors).image(w_plus) - network.image(w_plus)).square().mean())


def test_the_pivot_s_picture_comes_nearer_to_the_photo_than_any_latent_brings_it(network, photo):
    likeness = Likeness(photo, perceptual=False)
    pace = Pace(steps=100, learning_rate=0.1, prior=0.0, together=0.0)
    descent = Descent(network, likeness, [latent(network, 1)], pace)
    while descent.done < descent.of:
        descent.step()
    tune = tuned(network, photo)
    assert tune.distance < 0.6 * descent.distance
    assert max(down.shape[0] for _, down in tune.factors.values()) == PACE.rank
    with torch.no_grad():
        again = float(likeness(applied(network, tune.factors).image(latent(network, 1)[None])))
    assert again == pytest.approx(tune.distance, rel=1e-4)


def test_the_network_itself_stays_as_it_is(network, photo):
    before = {name: tensor.clone() for name, tensor in network.named_buffers()}
    tuned(network, photo)
    for name, tensor in network.named_buffers():
        assert torch.equal(tensor, before[name])
        assert not tensor.requires_grad


def test_locality_keeps_other_pictures_as_they_were(network, photo):
    free = tuned(network, photo)
    kept = tuned(network, photo, TuningPace(steps=40, learning_rate=0.02, rank=4, fine=0.0, keep=10.0))
    assert moved(network, kept.factors) < 0.7 * moved(network, free.factors)


def test_the_same_photo_gives_the_same_weights_and_name(network, photo):
    first, second = tuned(network, photo), tuned(network, photo)
    assert name_of(first.factors) == name_of(second.factors)
    other = tuned(network, photo, TuningPace(steps=10, learning_rate=0.02, rank=4, fine=0.0, keep=0.0))
    assert name_of(other.factors) != name_of(first.factors)
    assert name_of({}) == ""


def test_a_pivotal_search_looks_for_a_latent_first_and_then_leaves_it_alone(network, photo):
    likeness = Likeness(photo, perceptual=False)
    pace = Pace(steps=5, learning_rate=0.1, prior=0.0, together=0.0, space="w")
    search = Pivotal(Descent(network, likeness, [network.w_mean[None]], pace), likeness, PACE)
    assert (search.done, search.of) == (0, 45)
    distances = []
    for _ in range(5):
        search.step()
    pivot = search.best.clone()
    assert (pivot == pivot[0]).all()
    assert search.factors == {}
    while search.done < search.of:
        search.step()
        distances.append(search.distance)
    assert torch.equal(search.best, pivot)
    assert search.factors
    assert all(later <= earlier for earlier, later in pairwise(distances))
    assert distances[-1] < 0.8 * distances[0]


def test_patterns_that_the_loss_is_too_coarse_for_are_seen_at_full_size():
    picture, grain = torch.rand(1, 3, 256, 256) - 0.5, torch.ones(1, 1, 256, 256)
    grain[..., ::2, 1::2] = grain[..., 1::2, ::2] = -1
    likeness = Likeness(picture, perceptual=False)
    assert float(likeness(picture + 0.1 * grain)) < 1e-6
    assert float(likeness.pixels(picture + 0.1 * grain)) == pytest.approx(0.01)


def test_pixels_at_full_size_are_tuned_even_where_the_loss_sees_nothing(network, photo):
    class Blind(Likeness):
        def __call__(self, picture: torch.Tensor) -> torch.Tensor:
            return 0 * picture.sum()

    blind = Blind(photo, perceptual=False)
    tune = Tune(network, blind, latent(network, 1), replace(PACE, fine=1.0))
    for _ in range(PACE.steps):
        tune.step()
    before, after = (blind.pixels(n.image(latent(network, 1)[None])) for n in (network, applied(network, tune.factors)))
    assert after < 0.3 * before
