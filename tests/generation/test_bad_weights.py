"""Files of weights that hold nonsense, or ask for much: one line that says what, before anything is made of them."""

import argparse
import io
import pickle
import time
import tracemalloc
from pathlib import Path

import pytest
import torch
from checkpoint_files import nvidia, rosinality, tensorflow
from draggan_nodes.generation import converted
from draggan_nodes.generation.stylegan2_state import Architecture
from safetensors.torch import save

from draggan_runtime.errors import UserError
from draggan_runtime.inert.fuzz.samples import torch_file

SMALL = Architecture(channels=(7, 6, 5, 4), mapping=(12, 9), z_dim=10)
STATE = SMALL.random_state(0)


def refused(folder: Path, data: bytes) -> str:
    """What is said of a file; it takes less than 5 s of the processor, and 40 MB of memory."""
    file = folder / "weights.of-some-kind"
    file.write_bytes(data)
    tracemalloc.start()
    begin = time.process_time()
    try:
        with pytest.raises(UserError) as caught:
            converted.load(file, "")
        assert tracemalloc.get_traced_memory()[1] < 40e6
    finally:
        tracemalloc.stop()
    assert time.process_time() - begin < 5
    text = str(caught.value)
    assert str(file) in text
    assert text.isprintable()
    assert len(text) < 600
    return text


def changed(**tensors: torch.Tensor) -> dict[str, torch.Tensor]:
    """The state, with tensors in place of those whose names these are with ``_`` for dots."""
    names = {name.replace(".", "_"): name for name in STATE}
    return {**STATE, **{names[name]: tensor for name, tensor in tensors.items()}}


def without(*names: str) -> dict[str, torch.Tensor]:
    return {name: tensor for name, tensor in STATE.items() if name not in names}


def of_rosinality(**tensors: torch.Tensor) -> bytes:
    """A file of rosinality's without noises, and with these tensors, by names with ``_`` for dots."""
    theirs = torch.load(io.BytesIO(rosinality(STATE, noises=False)))["g_ema"]
    names = {name.replace(".", "_"): name for name in theirs}
    return torch_file({"g_ema": {**theirs, **{names.get(name, name): tensor for name, tensor in tensors.items()}}})


WIDE = torch.zeros(1, dtype=torch.uint8).expand(60_000, 60_000)
HALF = torch.zeros(1, dtype=torch.float16).expand(40_000, 40_000)


@pytest.mark.parametrize(
    "data",
    [
        torch_file(changed(mapping_fc1_weight=WIDE)),
        torch_file(changed(synthesis_b4_const=WIDE[:200].reshape(200, 1, 60_000).expand(200, 200, 60_000))),
        of_rosinality(style_1_weight=WIDE),
        nvidia(changed(mapping_fc1_weight=HALF), nested=True, multiplier=0.02, only_ema=True),
    ],
    ids=["state dict", "constant", "rosinality", "nvidia"],
)
def test_arrays_that_are_one_number_repeated_are_not_made(tmp_path, data):
    assert "numbers, where 268,435,456 are the most" in refused(tmp_path, data)


def test_an_array_in_place_of_a_word_is_not_compared_with_it(tmp_path):
    said = {"architecture": WIDE}
    network = argparse.Namespace(variables=[], components={}, static_kwargs=said)
    assert "has architecture an array, where only 'skip'" in refused(tmp_path, torch_file((network,)))


def test_blocks_and_layers_of_unheard_sizes_are_not_made(tmp_path):
    lacking = {n: t for n, t in STATE.items() if not n.startswith("synthesis.b32.") or not n.endswith("noise_const")}
    large = {name.replace("synthesis.b32.", "synthesis.b65536."): tensor for name, tensor in lacking.items()}
    assert "a block has 65536 rows, where 1024" in refused(tmp_path, nvidia(large, nested=True))
    const = torch.zeros(1).expand(7, 4, 1 << 20)
    wide = {name: t for name, t in changed(synthesis_b4_const=const).items() if not name.endswith("noise_const")}
    assert "1048576 columns" in refused(tmp_path, nvidia(wide, nested=True, only_ema=True))
    assert "1048576 x 4" in refused(tmp_path, of_rosinality(input_input=const[None]))
    high = Architecture(channels=(1,) * 10, mapping=(1,), z_dim=1).random_state(0)
    assert "more than 1024 rows" in refused(tmp_path, rosinality(high, noises=False))
    for count, said in ((7, "1 to 2048"), (3000, "1 to 2048")):
        embedding = {"mapping.embed.weight": torch.zeros(20, count), "mapping.embed.bias": torch.zeros(20)}
        assert said in refused(tmp_path, torch_file({**STATE, **embedding}))
    deep = {f"mapping.fc{i}.weight": torch.zeros(9, 9) for i in range(2, 40)}
    assert "mapping has 40 layers" in refused(tmp_path, torch_file({**STATE, **deep}))


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (torch_file(changed(mapping_fc0_weight=STATE["mapping.fc0.weight"] * NAN)), "mapping.fc0.weight holds numbers"),
        (save(changed(synthesis_b4_conv1_bias=torch.full((7,), INF))), "b4.conv1.bias holds numbers that are not fini"),
        (tensorflow(changed(synthesis_b8_torgb_bias=torch.full((3,), NAN))), "b8.torgb.bias holds numbers"),
        (torch_file(changed(mapping_fc0_bias=torch.full((12,), 1e300, dtype=torch.float64))), "fc0.bias holds numbers"),
        (torch_file(changed(mapping_fc0_weight=STATE["mapping.fc0.weight"] * 0,
                            mapping_fc0_bias=torch.zeros(12))), "the same w for all z"),
        (torch_file(changed(mapping_fc0_weight=STATE["mapping.fc0.weight"] * 1e30,
                            mapping_fc1_weight=STATE["mapping.fc1.weight"] * 1e30)), "gives numbers that are not fini"),
        (torch_file(changed(synthesis_b4_const=torch.zeros(7, 4, 4, dtype=torch.complex64))), "complex numbers"),
        (torch_file({**without("mapping.w_avg"), "mapping.fc1.weight": torch.zeros(())}), "fc1.weight is []"),
        (nvidia(STATE, nested=True, clamp=10**320), "has the clamp 1000"),  # type: ignore[arg-type]
        (nvidia(STATE, nested=True, clamp=-1), "has the clamp -1"),
        (nvidia(STATE, nested=True, clamp=NAN), "has the clamp nan"),
        (nvidia(STATE, nested=True, multiplier="a"), "multiplier 'a'"),  # type: ignore[arg-type]
        (nvidia(STATE, nested=True, multiplier=INF), "multiplier inf"),
    ],
)  # fmt: skip
def test_nonsense_is_told(tmp_path, data, said):
    assert said in refused(tmp_path, data)


def kept(folder: Path, **changes: str) -> bytes:
    """A file of our own format, with other words about it, and without those that are ""."""
    file = folder / "own.safetensors"
    file.write_bytes(torch_file(STATE))
    whole = converted.load(file, "12" * 32)
    metadata = {"format": converted.FORMAT, "made_of": "x", "sha256": "12" * 32} | changes
    tensors = {**whole.state, "w_whitening": whole.whitening}
    return save(tensors, {name: value for name, value in metadata.items() if value})


def test_our_own_format_is_believed_no_more_than_others(tmp_path):
    assert "it lacks w_whitening" in refused(tmp_path, save(dict(STATE), {"format": converted.FORMAT, "made_of": "x"}))
    assert "it lacks made_of" in refused(tmp_path, kept(tmp_path, made_of=""))
    assert "clamp -1.0" in refused(tmp_path, kept(tmp_path, conv_clamp="-1"))
    assert "clamp '\\x1b[31maa" in refused(tmp_path, kept(tmp_path, conv_clamp="\x1b[31m" + "a" * 100_000))
    named = save({"\x1b[31m" + "a" * 100_000: torch.ones(1).half()}, {"format": converted.FORMAT, "made_of": "x"})
    assert "?[31ma" in refused(tmp_path, named)
    own = {"format": converted.FORMAT, "made_of": "x"}
    for whitening, said in (
        (torch.eye(8), "where w has 9 numbers"),
        (torch.eye(9) * NAN, "w_whitening holds numbers that are not finite"),
        (torch.eye(9).double(), "w_whitening is not in float32"),
    ):
        assert said in refused(tmp_path, save({**STATE, "w_whitening": whitening}, own))


def test_a_version_of_our_own_format_that_is_not_known_is_no_state_dict_of_others(tmp_path):
    text = refused(tmp_path, kept(tmp_path, format="draggan StyleGAN2, version 2", conv_clamp="256"))
    assert "format 'draggan StyleGAN2, version 2', which this version" in text


def test_a_file_of_the_user_is_not_told_to_be_made_anew(tmp_path):
    text = refused(tmp_path, kept(tmp_path)[:3000])
    assert text.endswith("get it anew, or convert the original again")


def test_a_long_name_is_not_repeated_in_the_names_of_all_that_lies_in_it(tmp_path):
    zero = torch.zeros(())
    part, long, whole = (torch.nn.Module() for _ in range(3))
    part.__dict__["_buffers"] = {str(n): zero for n in range(1000)}
    long.__dict__["_modules"] = {"a" * 100_000: part}
    whole.__dict__["_modules"] = {"mapping": long, "synthesis": part}
    assert "a name too long: mapping.aaa" in refused(tmp_path, torch_file(whole))
    inner = argparse.Namespace(variables=[(str(n), 0.0) for n in range(1000)])
    network = argparse.Namespace(variables=[], components={"a" * 100_000: inner})
    assert "a name too long: aaa" in refused(tmp_path, pickle.dumps((network,)))


ESCAPE = "\x1b]0;owned\x07\x1b[2J\nline two"


def test_names_in_a_file_cannot_write_to_the_terminal(tmp_path):
    assert "a dict of ?]0;owned" in refused(tmp_path, pickle.dumps({ESCAPE: 1, "k" * 100_000: 2}))
    assert "the architecture '\\x1b]0;owned" in refused(
        tmp_path, nvidia(STATE, nested=True, architecture=ESCAPE + "a" * 100_000)
    )
    assert "the activation '\\x1b]0;owned" in refused(
        tmp_path, nvidia(STATE, nested=True, activation=ESCAPE + "a" * 100_000)
    )
    assert "not expected" in refused(
        tmp_path, torch_file({**STATE, f"synthesis.{ESCAPE}{'a' * 100_000}": torch.ones(1)})
    )
    assert "format 'draggan ?]0;owned" in refused(tmp_path, kept(tmp_path, format=f"draggan {ESCAPE}"))
