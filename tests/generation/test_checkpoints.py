"""Files of weights of every make give the network that the same weights give directly."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoint_files import FORMATS, nvidia, rosinality, tensorflow
from draggan_nodes.generation import converted
from draggan_nodes.generation.stylegan2 import StyleGAN2
from draggan_nodes.generation.stylegan2_state import Architecture
from foreign import PERSISTENT, Network, Persistent, stand_ins
from safetensors.torch import save
from tensorflow_network import Z_DIM, TensorFlowStyleGAN2

from draggan_runtime.errors import UserError
from draggan_runtime.inert.fuzz.samples import torch_file

SQUARE = Architecture(channels=(7, 6, 5, 4), mapping=(12, 9), z_dim=10)
HIGH = Architecture(channels=(7, 6, 5, 4), mapping=(12, 9), z_dim=10, columns=2)
CLASSES = Architecture(channels=(7, 6, 5), mapping=(12, 9), z_dim=10, c_dim=3, embedding=9)


def state_of(architecture: Architecture) -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(1)
    state = architecture.random_state(0)
    # Biases and the mean as training leaves them: not 0 or 1.
    for name, tensor in state.items():
        if name.endswith(("bias", "w_avg")):
            state[name] = tensor + torch.randn(tensor.shape, generator=random) * 0.3
    return state


def load(tmp_path: Path, data: bytes) -> converted.Converted:
    file = tmp_path / "weights.of-some-kind"
    file.write_bytes(data)
    return converted.load(file, "")


def picture(network: StyleGAN2, label: int | None = None) -> torch.Tensor:
    z = torch.from_numpy(np.random.RandomState(5).randn(2, network.z_dim)).float()
    c = None if label is None else torch.eye(network.c_dim)[[label, label]]
    return network.image(network.mapping(z, 0.7, c))


def test_the_generator_beside_an_encoder_is_taken(tmp_path):
    """As pSp and e4e keep it; they repeat the mean of w for each slot."""
    state = state_of(SQUARE)
    theirs = torch.load(io.BytesIO(rosinality(state)))["g_ema"]
    decoder = {f"decoder.{name}": tensor for name, tensor in theirs.items()}
    mean = state["mapping.w_avg"].repeat(8, 1)
    data = torch_file({"state_dict": {**decoder, "encoder.body.weight": torch.zeros(2)}, "latent_avg": mean})
    network = load(tmp_path, data).network("loaded")
    torch.testing.assert_close(picture(network), picture(direct(state)), rtol=1e-5, atol=1e-5)


def direct(state: dict[str, torch.Tensor]) -> StyleGAN2:
    return StyleGAN2(state, name="direct", sha256="")


@pytest.mark.parametrize(
    ("kind", "architecture"),
    [(kind, architecture) for kind in FORMATS for architecture in (SQUARE, HIGH, CLASSES)
     if (kind, architecture) != ("rosinality", CLASSES)],  # its networks know no classes
)  # fmt: skip
def test_the_picture_is_that_of_the_weights_themselves(tmp_path, kind, architecture):
    state = state_of(architecture)
    label = 1 if architecture.c_dim else None
    network = load(tmp_path, FORMATS[kind](state)).network("loaded")
    assert network.size == architecture.size
    torch.testing.assert_close(picture(network, label), picture(direct(state), label), rtol=1e-5, atol=1e-5)


def test_a_missing_mean_of_w_is_computed(tmp_path):
    state = state_of(SQUARE)
    network = load(tmp_path, rosinality(state, latent_avg=False)).network("loaded")
    z = torch.from_numpy(np.random.RandomState(123).randn(10_000, 10).astype(np.float32))
    torch.testing.assert_close(network.w_mean, direct(state).map_w(z).mean(0), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("architecture", [SQUARE, HIGH])
def test_noise_that_a_file_lacks_is_the_same_each_time(tmp_path, architecture):
    state = state_of(architecture)
    one, two = (load(tmp_path, rosinality(state, noises=False)).network("loaded") for _ in range(2))
    assert torch.equal(picture(one), picture(two))
    assert not torch.allclose(picture(one), picture(direct(state)))


def test_layers_clamp_where_the_file_says_so(tmp_path):
    state = {n: t * 30 if n.endswith("noise_strength") else t for n, t in state_of(SQUARE).items()}
    clamped = load(tmp_path, nvidia(state, nested=False, clamp=1.5))
    assert clamped.conv_clamp == 1.5
    network = clamped.network("clamped")
    w = network.mapping(torch.zeros(1, 10))
    assert network.features(w, ["16"])["16"].abs().max() == pytest.approx(1.5)
    assert direct(state).features(w, ["16"])["16"].abs().max() > 2


def test_another_learning_rate_multiplier_of_the_mapping_is_kept(tmp_path):
    """What the mapping gives of the same stored weights grows with it."""
    state = state_of(SQUARE)
    data = nvidia(state, nested=True, multiplier=0.02)
    other = load(tmp_path, data).network("other")
    z = torch.randn(3, 10)
    twice = {n: t * 2 if n.startswith("mapping.fc") else t for n, t in state.items()}
    torch.testing.assert_close(other.map_w(z), direct(twice).map_w(z))


def test_what_was_converted_once_is_read_back_bit_for_bit(tmp_path):
    file, kept = tmp_path / "weights.pkl", tmp_path / "kept.safetensors"
    file.write_bytes(nvidia(state_of(SQUARE), nested=False, clamp=256))
    first = converted.load(file, "12" * 32)
    converted.write(first, kept)
    again = converted.load(kept, "34" * 32)
    assert (again.sha256, again.claimed) == ("34" * 32, "12" * 32)
    assert (again.made_of, again.conv_clamp) == (first.made_of, 256)
    assert torch.equal(again.whitening, first.whitening)
    assert torch.equal(picture(again.network("a")), picture(first.network("b")))


def refused(tmp_path: Path, data: bytes) -> str:
    with pytest.raises(UserError) as error:
        load(tmp_path, data)
    text = str(error.value)
    assert "weights.of-some-kind" in text
    assert "\n" not in text
    return text


def pickled(value: object) -> bytes:
    with stand_ins(*PERSISTENT, Network):
        return torch_file(value)


def test_a_stylegan3_is_recognised_and_refused(tmp_path):
    def part(name: str, layers: dict, **buffers) -> Persistent:
        members = {"_parameters": {}, "_buffers": buffers, "_modules": layers, "training": False}
        return Persistent(name, "", members)

    inputs = part("SynthesisInput", {}, freqs=torch.zeros(3, 2))
    network = part("Generator", {"mapping": part("M", {}), "synthesis": part("S", {"input": inputs})})
    tensors = {"synthesis.input.freqs": torch.zeros(3, 2), "mapping.fc0.weight": torch.zeros(2, 2)}
    module = {f"module.{name}": tensor for name, tensor in tensors.items()}
    for data in ({"G_ema": network}, tensors, {"g_ema": tensors}, {"state_dict": module}):
        assert "is a StyleGAN3" in refused(tmp_path, pickled(data))
    assert "is a StyleGAN3" in refused(tmp_path, save(tensors))


def test_other_architectures_are_named(tmp_path):
    state = state_of(SQUARE)
    assert "architecture 'resnet'" in refused(tmp_path, nvidia(state, nested=True, architecture="resnet"))
    assert "'lrelu' is drawn" in refused(tmp_path, nvidia(state, nested=True, activation="swish"))


def test_what_holds_no_generator_says_what_it_holds(tmp_path):
    assert "a dict of state_dict, epoch" in refused(tmp_path, torch_file({"state_dict": {}, "epoch": 3}))
    assert "an array of 3 numbers" in refused(tmp_path, torch_file(torch.zeros(3)))
    assert "class Generator" in refused(tmp_path, pickled(Persistent("Generator", "", {"_modules": {}})))


def test_a_tensor_that_is_missing_or_misshapen_is_named(tmp_path):
    state = state_of(SQUARE)
    del state["synthesis.b8.conv1.bias"]
    assert "synthesis.b8.conv1.bias is missing" in refused(tmp_path, nvidia(state, nested=True))
    state = state_of(SQUARE) | {"synthesis.b8.conv1.bias": torch.zeros(3)}
    assert "synthesis.b8.conv1.bias is [3], expected [6]" in refused(tmp_path, nvidia(state, nested=True))
    assert "no tensor convs.0.activate.bias" in refused(tmp_path, rosinality(without_bias()))
    assert "no variable synthesis/8x8/Conv0_up/bias" in refused(tmp_path, tensorflow(without_bias()))


def without_bias() -> dict[str, torch.Tensor]:
    state = state_of(SQUARE)
    del state["synthesis.b8.conv0.bias"]
    return state


@pytest.mark.parametrize(
    ("kind", "figures"),
    [(kind, figures) for kind in FORMATS for figures in ("stylegan2_res128_conditional", "stylegan2_res256")
     if (kind, figures) != ("rosinality", "stylegan2_res128_conditional")],
)  # fmt: skip
def test_golden_figures_come_out_of_every_make(tmp_path, kind, figures):
    """Those of the published code, of a conditional network of 128 px and of one of 256 px."""
    with np.load(Path(__file__).parent / "data" / f"{figures}.npz") as data:
        golden = {key: torch.from_numpy(value) for key, value in data.items()}
    state = {name.removeprefix("state/"): value for name, value in golden.items() if name.startswith("state/")}
    network = load(tmp_path, FORMATS[kind](state)).network("golden")
    ws = network.mapping(golden["z"], 0.7, golden["c"] if network.c_dim else None)
    torch.testing.assert_close(ws, golden["ws_psi07"], rtol=0, atol=1e-4)
    torch.testing.assert_close(network.image(golden["w_plus"]), golden["image"], rtol=0, atol=1e-4)


def test_a_file_of_tensorflow_draws_what_its_variables_draw_there(tmp_path):
    theirs = TensorFlowStyleGAN2(seed=2)
    network = load(tmp_path, theirs.file()).network("theirs")
    z = np.random.RandomState(5).randn(2, Z_DIM).astype(np.float32)
    picture = network.image(network.mapping(torch.from_numpy(z), 0.7))
    torch.testing.assert_close(picture, theirs.image(z, 0.7), rtol=1e-4, atol=1e-4)
