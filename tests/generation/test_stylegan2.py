"""StyleGAN2, against figures of the published code on the same random weights, and independent computations."""

from pathlib import Path

import numpy as np
import pytest
import torch
from draggan_nodes.generation.plan import Step
from draggan_nodes.generation.protocol import Window
from draggan_nodes.generation.stylegan2 import StyleGAN2
from draggan_nodes.generation.stylegan2_layers import StyledConvolution
from draggan_nodes.generation.stylegan2_state import Architecture
from draggan_nodes.generation.tiles import whole_maps
from hypothesis import given, settings
from hypothesis import strategies as st

from draggan_runtime import models
from draggan_runtime.errors import UserError

DATA = Path(__file__).parent / "data"
TINY = Architecture(channels=(7, 6, 5, 4), mapping=(12, 9), z_dim=10)


@pytest.fixture(scope="module", params=["stylegan2_res128_conditional", "stylegan2_res256"])
def golden(request):
    with np.load(DATA / f"{request.param}.npz") as data:
        return {key: torch.from_numpy(value) for key, value in data.items()}


@pytest.fixture(scope="module")
def network(golden):
    return StyleGAN2(state_of(golden), name="golden", sha256="")


@pytest.fixture(scope="module")
def tiny():
    return StyleGAN2.random(TINY, seed=3, name="tiny", sha256="")


def state_of(golden):
    return {name.removeprefix("state/"): value for name, value in golden.items() if name.startswith("state/")}


def assert_near(ours, theirs, relative=1e-5):
    """Within ``relative`` of the largest magnitude."""
    torch.testing.assert_close(ours, theirs, rtol=0, atol=relative * theirs.abs().max().item())


def w_plus_of(network, *seeds):
    z = np.concatenate([np.random.RandomState(seed).randn(1, network.z_dim) for seed in seeds])
    return network.mapping(torch.from_numpy(z).to(network.w_mean), 0.7)


def test_w_is_that_of_the_published_code(network, golden):
    c = golden["c"] if network.c_dim else None
    assert_near(network.mapping(golden["z"], 0.7, c), golden["ws_psi07"])


def test_the_picture_is_that_of_the_published_code(network, golden):
    assert_near(network.image(golden["w_plus"]), golden["image"])
    with torch.no_grad():
        assert_near(network.features(golden["w_plus"], ["rgb"])["rgb"], golden["image"])


def test_the_sixth_block_and_its_gradient_are_those_of_the_published_code(network, golden):
    leaf = golden["w_plus"].clone().requires_grad_()
    feature = network.features(leaf, ["128"])["128"]
    assert_near(feature[:1], golden["feature_b128"])
    value = (feature[:, :, 40:44, 60:66] * golden["probe"][:, None, None]).sum()
    assert_near(value, golden["probe_sum"])
    (gradient,) = torch.autograd.grad(value, leaf)
    assert_near(gradient, golden["probe_grad_w_plus"])


def test_sizes_are_read_from_the_state_dict(network, golden):
    _, num_ws, w_dim = golden["w_plus"].shape
    assert (network.num_ws, network.w_dim, network.z_dim) == (num_ws, w_dim, golden["z"].shape[1])
    assert network.c_dim == golden["c"].shape[1]
    assert network.size == tuple(golden["image"].shape[:1:-1])
    assert network.architecture.shapes() == {name: tuple(t.shape) for name, t in state_of(golden).items()}
    assert network.coarse_slots == 6


def test_a_conditional_network_wants_a_class():
    conditional = Architecture(channels=(4, 4), mapping=(8,), z_dim=6, c_dim=3, embedding=5)
    state = conditional.random_state(0)
    network = StyleGAN2(state, name="three", sha256="")
    z = torch.randn(2, 6, generator=torch.Generator().manual_seed(0))
    with pytest.raises(UserError, match="'three' draws 3 classes"):
        network.mapping(z)
    each = [network.mapping(z, c=torch.eye(3)[[label, label]]) for label in range(3)]
    assert not torch.allclose(each[0], each[1])
    bound = StyleGAN2(state, name="three", sha256="", label=1)
    torch.testing.assert_close(bound.mapping(z), each[1])
    torch.testing.assert_close(bound.mapping(z, c=torch.eye(3)[[2, 2]]), each[2])
    with pytest.raises(UserError, match="no class 3"):
        StyleGAN2(state, name="three", sha256="", label=3)


def test_a_state_dict_that_does_not_fit_is_an_error_of_one_line_that_names_the_tensor():
    state = TINY.random_state(0)

    def refused(name, change):
        with pytest.raises(UserError, match=name.replace(".", r"\.")) as caught:
            StyleGAN2(change, name="", sha256="")
        assert "\n" not in str(caught.value)

    for name in ("mapping.w_avg", "mapping.fc0.weight", "synthesis.b16.conv1.weight", "synthesis.b8.torgb.affine.bias"):
        refused(name, {key: value for key, value in state.items() if key != name})
    refused("synthesis.b32.skip.weight", {**state, "synthesis.b32.skip.weight": torch.zeros(1)})
    refused("synthesis.b48.conv1.bias", {**state, "synthesis.b48.conv1.bias": torch.zeros(1)})
    refused("synthesis.b8.conv0.bias", {**state, "synthesis.b8.conv0.bias": torch.zeros(2)})
    refused("synthesis.b8.conv0.resample_filter", {**state, "synthesis.b8.conv0.resample_filter": torch.ones(4, 4)})
    with pytest.raises(UserError, match="not the weights of a StyleGAN2"):
        StyleGAN2({}, name="", sha256="")


def test_whitened_w_has_unit_variance(tiny):
    w = w_plus_of(tiny, *range(3000))[:, 0]
    covariance = torch.cov(((w - tiny.w_mean) / 0.7 @ tiny.w_whitening.T).T)
    torch.testing.assert_close(covariance, torch.eye(tiny.w_dim), rtol=0, atol=0.15)
    torch.testing.assert_close(w.mean(0), tiny.w_mean, rtol=0, atol=0.1)
    again = StyleGAN2({**TINY.random_state(3), "mapping.w_avg": tiny.w_mean}, name="", sha256="")
    torch.testing.assert_close(again.w_whitening, tiny.w_whitening)


def test_samples_of_a_batch_do_not_mix(tiny):
    w_plus = w_plus_of(tiny, 1, 2)
    both = tiny.image(w_plus)
    for i in range(2):
        assert_near(both[i : i + 1], tiny.image(w_plus[i : i + 1]))


def test_levels_have_the_shapes_and_the_slots_they_declare(tiny):
    leaf = w_plus_of(tiny, 1).requires_grad_()
    maps = tiny.features(leaf, tiny.levels)
    assert list(maps) == ["4", "8", "16", "32", "rgb"]
    for name, level in tiny.levels.items():
        side = int(32 / level.stride)
        assert maps[name].shape == (1, level.channels, side, side)
        (gradient,) = torch.autograd.grad(maps[name].square().sum(), leaf, retain_graph=True)
        reached = gradient[0].abs().sum(1) > 0
        assert reached[: level.slots].any()
        assert reached.nonzero().max() == level.slots - 1
    with pytest.raises(KeyError, match="33"):
        tiny.features(leaf, ["33"])


def test_gradients_reach_the_slots_asked_for_and_no_weights(tiny):
    leaf = w_plus_of(tiny, 1).requires_grad_()
    some, every = (
        torch.autograd.grad(tiny.features(leaf, ["32"], slots=slots)["32"].square().sum(), leaf)[0]
        for slots in (4, None)
    )
    torch.testing.assert_close(some[:, :4], every[:, :4])
    assert torch.count_nonzero(some[:, 4:]) == 0
    assert torch.count_nonzero(every[:, 4:7]) > 0
    assert not any(tensor.requires_grad for tensor in [*tiny.parameters(), *tiny.buffers()])


def a_layer(inputs, outputs, side, *, up, w_dim=6):
    random = torch.Generator().manual_seed(inputs + side)

    def normal(*shape):
        return torch.randn(shape, generator=random, dtype=torch.float64)

    state = {"weight": normal(outputs, inputs, 3, 3), "bias": normal(outputs)}
    state |= {"affine.weight": normal(inputs, w_dim), "affine.bias": normal(inputs)}
    state |= {"noise_const": normal(side, side), "noise_strength": normal()}
    layer, whole = StyledConvolution(state, up=up), Step(whole_maps((side, side), 2))
    x, w = normal(2, inputs, *[side // 2 if up else side] * 2), normal(2, w_dim)
    return state, lambda x, w: layer(x, layer.modulation(w), whole), x, w


def by_the_equations(state, x, w, *, up):
    """Karras et al. 2020, equations 1 to 3, sample by sample and pixel by pixel; FIR and activation included."""
    out = []
    for sample, style in zip(x.numpy(), w.numpy(), strict=True):
        s = state["affine.weight"].numpy() @ style / np.sqrt(len(style)) + state["affine.bias"].numpy()
        weight = state["weight"].numpy() * s[None, :, None, None]
        weight = weight / np.sqrt((weight**2).sum((1, 2, 3), keepdims=True) + 1e-8)
        if up:
            # Zeros between, then the full convolution with the weights and with the filter, 2 + 3 cells larger.
            taps = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 16
            kernel = np.zeros((*weight.shape[:2], 6, 6))
            for (i, j), (k, m) in ((a, b) for a in np.ndindex(3, 3) for b in np.ndindex(4, 4)):
                kernel[:, :, i + k, j + m] += weight[:, :, i, j] * taps[k, m]
            grid = np.zeros((len(sample), 2 * sample.shape[1], 2 * sample.shape[2]))
            grid[:, ::2, ::2] = sample
            shift = 2  # the centres of weights and filter: 1 + 1.5 cells, half a cell of which is the new grid's
        else:
            kernel, grid, shift = weight[:, :, ::-1, ::-1], sample, 1
        full = np.zeros((len(kernel), *(n + kernel.shape[-1] - 1 for n in grid.shape[1:])))
        for i, j in np.ndindex(*grid.shape[1:]):
            full[:, i : i + kernel.shape[2], j : j + kernel.shape[3]] += np.einsum("oikm,i->okm", kernel, grid[:, i, j])
        y = full[:, shift : shift + grid.shape[1], shift : shift + grid.shape[2]]
        y = y + (state["noise_const"] * state["noise_strength"]).numpy() + state["bias"].numpy()[:, None, None]
        out.append(np.where(y > 0, y, 0.2 * y) * np.sqrt(2))
    return torch.from_numpy(np.stack(out))


@pytest.mark.parametrize("up", [False, True])
def test_a_styled_convolution_against_its_equations_in_float64(up):
    state, layer, x, w = a_layer(5, 3, 14, up=up)
    torch.testing.assert_close(layer(x, w), by_the_equations(state, x, w, up=up))


@pytest.mark.parametrize("up", [False, True])
def test_gradients_of_a_styled_convolution_against_finite_differences(up):
    _, layer, x, w = a_layer(3, 2, 6, up=up)
    assert torch.autograd.gradcheck(layer, (x.requires_grad_(), w.requires_grad_()))


@st.composite
def windows(draw, side=16):
    edges = st.lists(st.integers(0, side), min_size=2, max_size=2, unique=True).map(sorted)
    return Window(*draw(edges), *draw(edges))


@settings(max_examples=60, deadline=None)
@given(window=windows(), first=st.booleans())
def test_a_window_of_a_block_is_the_crop_of_the_whole(tiny, window, first):
    """Values and gradients, of a block that doubles the map; and of a convolution alone."""
    block = tiny.blocks[2]
    x = torch.randn(2, 6, 8, 8, generator=torch.Generator().manual_seed(0), requires_grad=True)
    w = torch.randn(2, 9, generator=torch.Generator().manual_seed(1), requires_grad=True)
    modulations = [layer.modulation(w) for layer in block.layers]
    whole = x
    for layer, modulation in zip(block.layers[: 1 if first else 2], modulations, strict=False):
        whole = layer(whole, modulation, Step(whole_maps((16, 16), 2)))
    top, bottom, left, right = window
    whole = whole[:, :, top:bottom, left:right]
    of = block.conv0 if first else block
    read = of.reads(window)
    part = of.window(
        x[:, :, read.top : read.bottom, read.left : read.right], modulations[0] if first else modulations, window
    )
    torch.testing.assert_close(part, whole, rtol=1e-5, atol=1e-5)
    slope = torch.randn(whole.shape, generator=torch.Generator().manual_seed(2))
    for ours, theirs in zip(
        *(torch.autograd.grad(values, (x, w), slope, retain_graph=True) for values in (part, whole)), strict=True
    ):
        assert_near(ours, theirs, 1e-4)


def test_pictures_drawn_in_stripes_are_the_level_rgb():
    large = Architecture(channels=(3, 3, 3, 3, 2, 2, 3), mapping=(4,), z_dim=4)
    network = StyleGAN2.random(large, seed=0, name="", sha256="")
    w_plus = w_plus_of(network, 5)
    assert network.image(w_plus).shape == (1, 3, 256, 256)
    assert_near(network.image(w_plus), network.features(w_plus, ["rgb"])["rgb"])


def test_the_benchmark_model_is_made_from_a_seed():
    source = models.find("stylegan2:64")
    network = source.load("cpu")
    assert source.info.size == network.size == (64, 64)
    assert source.fetch() is None
    assert source.cached() is None
    assert models.find("stylegan2:64").load("cpu") is network
    again = StyleGAN2.random(Architecture.config_f(64), seed=0, name="", sha256="")
    w_plus = w_plus_of(network, 1)
    assert torch.equal(network.image(w_plus), again.image(w_plus))
    assert 0.1 < network.image(w_plus).std() < 10
    assert network.sha256 != models.find("stylegan2:128").info.sha256


def test_config_f_has_the_published_widths():
    assert Architecture.config_f(1024).channels == (512, 512, 512, 512, 512, 256, 128, 64, 32)
    assert Architecture.config_f(256, channel_base=16384).channels == (512, 512, 512, 512, 256, 128, 64)


@pytest.mark.parametrize("name", ["stylegan2:500", "stylegan2:2048", "stylegan2:", "stylegan2:0256", "stylegan2:big"])
def test_an_impossible_side_names_those_there_are(name):
    with pytest.raises(UserError, match=r"32, 64, 128, 256, 512, 1024") as caught:
        models.find(name)
    assert "\n" not in str(caught.value)


def test_a_model_without_sizes_takes_nothing_after_its_name():
    with pytest.raises(UserError, match="'ffhq' takes nothing after its name"):
        models.find("ffhq:512")
