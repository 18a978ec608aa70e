"""The default model's network, against OpenVINO's run of the same files and independent computations."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from draggan_nodes.generation.haar import inverse_haar

from draggan_runtime import models

GOLDEN = Path(__file__).parents[1] / "data" / "ffhq_openvino.npz"


@pytest.fixture(scope="module")
def network():
    return models.find("ffhq").load("cpu")


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as data:
        return {key: torch.from_numpy(value) for key, value in data.items()}


def z_of(seed):
    return torch.from_numpy(np.random.RandomState(seed).randn(1, 512).astype(np.float32))


def test_w_is_what_openvino_computes(network, golden):
    w = torch.cat([network.mapping(z_of(int(seed)))[:, 0] for seed in golden["seeds"]])
    torch.testing.assert_close(w, golden["w"], rtol=0, atol=1e-5)
    torch.testing.assert_close(network.w_mean, golden["w_mean"], rtol=0, atol=1e-6)


def test_pictures_and_features_are_what_openvino_computes(network, golden):
    """From the same w, within 1e-4; of a range of 2 for pictures, about 8 for features."""
    levels = ["4", "32", "64", "128", "512", "rgb"]
    for i, w in enumerate(golden["w"]):
        w_plus = golden["w_mean"] + 0.7 * (w - golden["w_mean"]).expand(1, network.num_ws, -1)
        with torch.inference_mode():
            maps = {name: values[0] for name, values in network.features(w_plus, levels).items()}
        image = maps.pop("rgb")
        crop, pooled = image[:, 560:600, 500:540], image.reshape(3, 32, 32, 32, 32).mean((2, 4))
        torch.testing.assert_close(crop, golden["crop"][i], rtol=0, atol=1e-4)
        torch.testing.assert_close(pooled, golden["pooled"][i], rtol=0, atol=1e-4)
        for name, values in maps.items():
            statistics = torch.stack([values.mean((1, 2)), values.std((1, 2), correction=0)])
            # Ours are sorted by wavelet band, but for the last map, which no wavelet reads.
            theirs = golden[f"features_{name}"][i]
            if name != "512":
                low, high = theirs.split([theirs.shape[1] // 4, theirs.shape[1] // 4 * 3], 1)
                theirs = torch.cat([low, high[:, 0::3], high[:, 1::3], high[:, 2::3]], 1)
            torch.testing.assert_close(statistics, theirs, rtol=0, atol=1e-4)


def test_truncation_pulls_w_toward_its_mean(network):
    full, half, none = (network.mapping(z_of(3), psi) for psi in (1.0, 0.5, 0.0))
    torch.testing.assert_close(none, network.w_mean.expand_as(none))
    torch.testing.assert_close(half, (full + network.w_mean) / 2)
    assert half.shape == (1, 23, 512)


def test_whitened_w_has_unit_variance(network):
    w = network.mapping(torch.cat([z_of(seed) for seed in range(2000)]))[:, 0] - network.w_mean
    covariance = torch.cov((w @ network.w_whitening.T).T)
    assert covariance.diagonal().mean().item() == pytest.approx(1, abs=0.05)
    assert (covariance - covariance.diagonal().diag()).abs().mean() < 0.05


def test_inverse_haar_against_a_loop_over_pixels():
    x = torch.randn(2, 3, 5, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = torch.empty(2, 6, 10, 2, dtype=torch.float64)
    for b, i, j, c in np.ndindex(2, 3, 5, 2):
        low, lh, hl, hh = x[b, i, j, c::2]
        expected[b, 2 * i, 2 * j, c] = (low + lh + hl + hh) / 2
        expected[b, 2 * i, 2 * j + 1, c] = (low + lh - hl - hh) / 2
        expected[b, 2 * i + 1, 2 * j, c] = (low - lh + hl - hh) / 2
        expected[b, 2 * i + 1, 2 * j + 1, c] = (low - lh - hl + hh) / 2
    torch.testing.assert_close(inverse_haar(x / 2), expected)
    assert torch.autograd.gradcheck(inverse_haar, x.requires_grad_())


def test_gradient_of_features_against_finite_differences(network):
    """In float64, along random directions of w_plus, at two levels at once."""
    double = copy.deepcopy(network).double()
    random = torch.Generator().manual_seed(1)
    w_plus = double.mapping(z_of(5).double(), 0.7)
    probes = {
        name: torch.randn(double.features(w_plus, [name])[name].shape, generator=random, dtype=torch.float64)
        for name in ("8", "16")
    }

    def value(at):
        maps = double.features(at, probes)
        return sum((maps[name] * probe).mean() for name, probe in probes.items())

    leaf = w_plus.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(value(leaf), leaf)
    for _ in range(4):
        direction = torch.randn(w_plus.shape, generator=random, dtype=torch.float64)
        numeric = (value(w_plus + 1e-6 * direction) - value(w_plus - 1e-6 * direction)) / 2e-6
        assert (gradient * direction).sum().item() == pytest.approx(numeric.item(), rel=1e-5)


def test_gradients_reach_the_slots_asked_for(network):
    w_plus = network.mapping(z_of(5), 0.7).requires_grad_()
    gradients = [
        torch.autograd.grad(network.features(w_plus, ["32"], slots=slots)["32"].square().sum(), w_plus)[0]
        for slots in (5, None)
    ]
    torch.testing.assert_close(gradients[0][:, :5], gradients[1][:, :5])
    assert torch.count_nonzero(gradients[0][:, 5:]) == 0


def test_the_picture_is_the_level_rgb(network):
    w_plus = network.mapping(z_of(5), 0.7)
    with torch.inference_mode():
        torch.testing.assert_close(network.image(w_plus), network.features(w_plus, ["rgb"])["rgb"], rtol=0, atol=1e-5)


def test_gradients_reach_w_only(network):
    assert not any(tensor.requires_grad for tensor in [*network.parameters(), *network.buffers()])


def test_a_level_depends_on_the_slots_it_names_and_no_others(network):
    w_plus = network.mapping(z_of(1), 0.7).requires_grad_()
    (gradient,) = torch.autograd.grad(network.features(w_plus, ["64"])["64"].square().sum(), w_plus)
    moved = gradient[0].abs().sum(1) > 0
    assert network.levels["64"].slots == 12
    assert moved.nonzero().flatten().tolist() == [0, 1, 2, 4, 5, 7, 8, 10, 11]


def test_levels_have_the_shapes_they_declare(network):
    with torch.inference_mode():
        maps = network.features(network.mapping(z_of(1), 0.7), network.levels)
    assert list(maps) == ["4", "8", "16", "32", "64", "128", "256", "512", "rgb"]
    for name, level in network.levels.items():
        side = int(1024 / level.stride)
        assert maps[name].shape == (1, level.channels, side, side)


def test_samples_of_a_batch_do_not_mix(network):
    w_plus = torch.cat([network.mapping(z_of(seed), 0.7) for seed in (1, 2)])
    with torch.inference_mode():
        both = network.features(w_plus, ["64"])["64"]
        for i in range(2):
            alone = network.features(w_plus[i : i + 1], ["64"])["64"][0]
            torch.testing.assert_close(both[i], alone, rtol=0, atol=1e-4)


def test_an_unknown_level_is_an_error(network):
    with pytest.raises(KeyError, match="65"):
        network.features(network.mapping(z_of(1)), ["65"])
