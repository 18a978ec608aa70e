"""Files in the structure that each program writes come back as data, equal to what was saved."""

from __future__ import annotations

import argparse
import collections
import gzip
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from foreign import PERSISTENT, EasyDict, Network, layer, named, stand_ins, tf_network

from draggan_runtime.inert import Record, parse, read
from draggan_runtime.inert.fuzz.samples import numpy_file, torch_file

PROTOCOLS = range(2, 6)
BOTH = pytest.mark.parametrize("new", [True, False], ids=["zip", "old"])


def nvidia() -> tuple[dict[str, Any], torch.Tensor]:
    """A snapshot as of stylegan2-ada-pytorch, in which each layer is an object with its source; and a weight of it."""
    weight = torch.randn(4, 3, 3, 3)
    conv = layer("SynthesisLayer", "class SynthesisLayer: pass", {"noise": torch.ones(8, 8)}, {}, activation="lrelu")
    conv._meta["state"]["_parameters"] = collections.OrderedDict(weight=torch.nn.Parameter(weight))
    g = layer("Generator", "raise SystemExit", {}, collections.OrderedDict(conv=conv), z_dim=512, img_resolution=8)
    return {"G": None, "G_ema": g, "training_set_kwargs": EasyDict(path="x.zip")}, weight


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_an_nvidia_pickle_gives_records_with_source_as_text(protocol: int) -> None:
    snapshot, weight = nvidia()
    with stand_ins(*PERSISTENT):
        data = pickle.dumps(snapshot, protocol)
    _looks_like(parse(data, "x"), weight)


def _looks_like(out: Any, weight: torch.Tensor) -> None:
    g = out["G_ema"]
    assert (type(g), g.module, g.name, g.source) == (Record, "", "Generator", "raise SystemExit")
    assert type(out["training_set_kwargs"]) is dict
    assert g.state["_init_kwargs"] == {"z_dim": 512, "img_resolution": 8}
    conv = g.state["_modules"]["conv"]
    assert conv.name == "SynthesisLayer"
    np.testing.assert_array_equal(conv.state["_parameters"]["weight"], weight)
    np.testing.assert_array_equal(conv.state["_buffers"]["noise"], np.ones((8, 8)))


@BOTH
def test_a_network_saved_whole_by_torch_is_the_same(new: bool) -> None:  # PTI
    snapshot, weight = nvidia()
    with stand_ins(*PERSISTENT):
        data = torch_file(snapshot, new)
    _looks_like(parse(data, "x"), weight)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_pickle_of_the_tensorflow_code_base_gives_states_of_networks(protocol: int) -> None:
    kernel = np.random.default_rng(0).normal(size=(3, 3, 4, 5)).astype(np.float32)
    mapping = tf_network("G_mapping", {"Dense0/weight": kernel[0, 0]})
    networks = [tf_network(name, {"4x4/Conv/weight": kernel}, {"mapping": mapping}) for name in ("G", "D", "Gs")]
    with stand_ins(Network, EasyDict):
        data = pickle.dumps(tuple(networks), protocol)
    out = parse(data, "x")
    assert [type(out), *(network.state["name"] for network in out)] == [tuple, "G", "D", "Gs"]
    gs = out[2]
    assert (gs.module, gs.name, gs.source) == ("dnnlib.tflib.network", "Network", None)
    assert gs.state["static_kwargs"] == {"num_channels": 3, "resolution": 8, "fmap_base": 16384}
    assert gs.state["build_module_src"].endswith("raise SystemExit")
    ((name, value),) = gs.state["variables"]
    assert name == "4x4/Conv/weight"
    np.testing.assert_array_equal(value, kernel)
    np.testing.assert_array_equal(gs.state["components"]["mapping"].state["variables"][0][1], kernel[0, 0])


@BOTH
def test_a_rosinality_checkpoint_gives_state_dicts_arguments_and_the_optimiser(new: bool) -> None:
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Linear(4, 2))
    optimiser = torch.optim.Adam(net.parameters())
    net(torch.randn(1, 3, 6, 6)).sum().backward()
    optimiser.step()
    args = argparse.Namespace(size=256, channel_multiplier=2)
    kept = {"g_ema": net.state_dict(), "g_optim": optimiser.state_dict(), "args": args, "latent_avg": torch.randn(512)}
    out = parse(torch_file(kept, new), "x")
    for name, value in kept["g_ema"].items():
        np.testing.assert_array_equal(out["g_ema"][name], value)
    assert out["args"] == Record("argparse", "Namespace", state={"size": 256, "channel_multiplier": 2})
    np.testing.assert_array_equal(out["latent_avg"], kept["latent_avg"])
    np.testing.assert_array_equal(out["g_optim"]["state"][0]["exp_avg"], optimiser.state_dict()["state"][0]["exp_avg"])


@BOTH
def test_a_whole_module_of_torch_gives_records_of_its_layers(new: bool) -> None:
    net = torch.nn.Sequential(collections.OrderedDict(fc=torch.nn.Linear(2, 3)))
    out = parse(torch_file(net, new), "x")
    assert (out.module, out.name) == ("torch.nn.modules.container", "Sequential")
    fc = out.state["_modules"]["fc"]
    np.testing.assert_array_equal(fc.state["_parameters"]["weight"], net.fc.weight.detach())
    assert new or fc.source.startswith("class Linear")


@BOTH
@pytest.mark.filterwarnings("ignore:Couldn't retrieve source")
def test_classes_of_others_code_are_told_by_name(new: bool) -> None:
    generator = named("models.stylegan2.model", "Generator", torch.nn.Module)
    with stand_ins(generator):
        out = parse(torch_file({"net": generator()}, new), "x")
    assert (out["net"].module, out["net"].name) == ("models.stylegan2.model", "Generator")


@BOTH
@pytest.mark.parametrize(
    "dtype", ["float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"]
)
def test_tensors_of_all_dtypes_are_arrays(new: bool, dtype: str) -> None:
    tensor = (torch.randn(3, 4) * 3).to(getattr(torch, dtype))
    out = parse(torch_file({"t": tensor, "dtype": tensor.dtype}, new), "x")
    wanted = tensor.float().numpy() if dtype == "bfloat16" else tensor.numpy()
    assert out["t"].dtype == wanted.dtype
    np.testing.assert_array_equal(out["t"], wanted)
    assert out["dtype"] == Record("torch", dtype)


@BOTH
def test_tensors_that_lie_in_others_are_read_there(new: bool) -> None:
    base = torch.arange(24.0).reshape(4, 6)
    views = {
        "t": base.t(),
        "part": base[1:3, ::2],
        "one": base[2, 3],
        "wide": base[0, 0].expand(5, 7),
        "none": base[:0],
    }
    out = parse(torch_file({"base": base, **views}, new), "x")
    for name, view in views.items():
        np.testing.assert_array_equal(out[name], view)
        assert out[name].shape == view.shape


@pytest.mark.parametrize("protocol", range(6))
def test_plain_values_and_arrays_come_back_from_every_protocol(protocol: int) -> None:
    array = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    arrays = [array, np.asfortranarray(array), array.transpose(1, 0, 2), array > 3, array.astype(">i2"), array[:0]]
    values = [1, -1, 255, 70_000, -(2**40), 2**70, 1.5, None, True, False, "text é\n\\x", "", (), (1,), (1, 2, 3, 4)]
    values += [[[]], {"a": {1: 2}}, {1, 2}, frozenset("ab"), 1 + 2j, b"", b"\x00\xff'", np.float32(0.5), np.int64(3)]
    out = parse(pickle.dumps({"arrays": arrays, "values": values, "again": values}, protocol), "x")
    assert out["values"] == values
    assert out["again"] is out["values"]
    assert [type(value) for value in out["values"][:-2]] == [type(value) for value in values[:-2]]
    for ours, theirs in zip(out["arrays"], arrays, strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


def test_arrays_that_python_2_pickled_are_read() -> None:
    written = (  # pickle.dumps({'w': numpy.arange(3, dtype='<i2')}, 2) there
        b"\x80\x02}U\x01wcnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01K\x03\x85cnumpy\ndtype\nU\x02i2K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        b"\x89U\x06\x00\x00\x01\x00\x02\x00tbs."
    )
    np.testing.assert_array_equal(parse(written, "x")["w"], [0, 1, 2])


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_latents_of_other_tools_are_read(save: Any) -> None:
    w = np.random.default_rng(0).normal(size=(1, 18, 512)).astype(np.float32)
    np.testing.assert_array_equal(parse(numpy_file(save, w=w, seed=np.int64(3)), "x")["w"], w)
    for one in (w, w.T, w > 0, w[0, 0, 0], w.astype(">f8")):
        np.testing.assert_array_equal(parse(numpy_file(np.save, one), "x"), one)
    np.testing.assert_array_equal(parse(torch_file(torch.from_numpy(w)), "x"), w)


def test_what_is_in_gzip_is_read(tmp_path: Path) -> None:
    for number, data in enumerate((pickle.dumps([1]), torch_file([1]), torch_file([1], new=False))):
        file = tmp_path / f"{number}.txt"
        file.write_bytes(gzip.compress(data))
        assert read(file) == [1]


def test_large_arrays_are_not_copied_and_cannot_be_written() -> None:
    data = pickle.dumps({"w": np.zeros(1 << 20, np.uint8), "b": bytes(1 << 16)}, 4)
    out = parse(data, "x")
    assert not out["w"].flags.writeable
    assert np.shares_memory(out["w"], np.frombuffer(data, np.uint8))
    assert type(out["b"]) is memoryview
    assert out["b"] == bytes(1 << 16)


def test_torch_and_foreign_modules_are_not_imported(tmp_path: Path) -> None:
    file = tmp_path / "net.pkl"
    snapshot, _ = nvidia()
    with stand_ins(*PERSISTENT):
        file.write_bytes(pickle.dumps(snapshot))
    program = (
        "import sys; from pathlib import Path; from draggan_runtime.inert import read; before = set(sys.modules)\n"
        "read(Path(sys.argv[1])); print(sorted(set(sys.modules) - before), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program, file], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] False"
