"""Files of StyleGAN2 weights in the exact structure that other programs give them, from a state dict."""

from __future__ import annotations

import gzip
import pickle
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from foreign import PERSISTENT, EasyDict, Network, Persistent, stand_ins
from safetensors.torch import save as save_safetensors

from draggan_runtime.inert.fuzz.samples import torch_file

State = Mapping[str, torch.Tensor]
#: Running it would be noticed: the program must take it for text.
SOURCE = "raise SystemExit('the source in a file was run')"
_CLASSES = {"": "Generator", "mapping": "MappingNetwork", "synthesis": "SynthesisNetwork"}


def _class_of(path: str) -> str:
    last = path.rpartition(".")[2]
    if path in _CLASSES:
        return _CLASSES[path]
    if last.startswith("b") and last[1:].isdigit():
        return "SynthesisBlock"
    return {"torgb": "ToRGBLayer", "conv0": "SynthesisLayer", "conv1": "SynthesisLayer"}.get(
        last, "FullyConnectedLayer"
    )


def module(state: State, attributes: Callable[[str], dict[str, Any]] = lambda path: {}, path: str = "") -> Persistent:
    """The module whose state dict is ``state``, as NVIDIA's code pickles it; ``attributes`` of each of its parts."""
    own = {name: value for name, value in state.items() if "." not in name}
    inner: dict[str, dict[str, torch.Tensor]] = {}
    for name, value in state.items():
        if "." in name:
            head, _, rest = name.partition(".")
            inner.setdefault(head, {})[rest] = value
    buffers = ("w_avg", "noise_const", "resample_filter")
    members = torch.nn.Module().__dict__ | {
        "_parameters": OrderedDict((n, torch.nn.Parameter(v)) for n, v in own.items() if n not in buffers),
        "_buffers": OrderedDict((n, v) for n, v in own.items() if n in buffers),
        "_modules": OrderedDict((n, module(s, attributes, f"{path}.{n}".strip("."))) for n, s in inner.items()),
        "training": False,
        "_init_args": (),
        "_init_kwargs": EasyDict(),
    }
    return Persistent(_class_of(path), SOURCE, members | attributes(path))


def _pickled(value: Any) -> bytes:
    with stand_ins(*PERSISTENT, Network):
        return pickle.dumps(value)


def nvidia(
    state: State,
    *,
    nested: bool,
    clamp: float | None = None,
    only_ema: bool = False,
    architecture: str = "skip",
    activation: str = "lrelu",
    multiplier: float = 0.01,
) -> bytes:
    """A training snapshot of stylegan2-ada-pytorch (``nested`` arguments) or of the stylegan3 code base."""

    def attributes(path: str) -> dict[str, Any]:
        kind = _class_of(path)
        if kind == "Generator":
            inner = {"channel_base": 32768, "channel_max": 512, "num_fp16_res": 4, "conv_clamp": clamp}
            return {"_init_kwargs": EasyDict(synthesis_kwargs=EasyDict(inner)) if nested else EasyDict(inner)}
        if kind in ("SynthesisLayer", "ToRGBLayer"):
            return {"conv_clamp": clamp, "activation": activation, "use_noise": True}
        if kind == "SynthesisBlock":
            return {"architecture": architecture, "conv_clamp": clamp, "use_fp16": True}
        if path.startswith("mapping.fc"):
            return {"activation": "lrelu", "bias_gain": multiplier}
        return {}

    generator = module(state, attributes)
    if only_ema:
        return _pickled({"G_ema": generator})
    other = module({name: tensor + 1 for name, tensor in state.items()}, attributes)
    discriminator = module({"b4.conv.weight": torch.zeros(1)})
    return _pickled(
        {"G": other, "D": discriminator, "G_ema": generator, "training_set_kwargs": EasyDict(), "augment_pipe": None}
    )


def tensorflow(state: State) -> bytes:
    """The tuple G, D, Gs of the TensorFlow code bases."""
    arrays = {name: tensor.numpy() for name, tensor in state.items()}
    mapping: dict[str, np.ndarray] = {}
    synthesis: dict[str, np.ndarray] = {}
    for name, values in arrays.items():
        part, _, rest = name.partition(".")
        layer, _, what = rest.rpartition(".")
        if name.endswith("resample_filter") or rest == "w_avg":
            continue
        if part == "mapping":
            theirs = "LabelEmbed" if layer == "embed" else f"Dense{layer.removeprefix('fc')}"
            mapping[f"{theirs}/{what}"] = values.T
            continue
        rows = int(rest.split(".")[0][1:])
        if what == "const":
            synthesis["4x4/Const/const"] = values[None]
            continue
        inner = layer.partition(".")[2]
        base = inner.partition(".")[0]
        theirs = {"conv0": "Conv0_up", "conv1": "Conv" if rows == 4 else "Conv1", "torgb": "ToRGB"}[base]
        block = f"{rows}x{rows}/{theirs}"
        if what == "noise_const":
            index = 0 if rows == 4 else 2 * rows.bit_length() - (7 if base == "conv0" else 6)
            synthesis[f"noise{index}"] = values[None, None]
        elif inner.endswith("affine"):
            synthesis[f"{block}/mod_{what}"] = values.T if what == "weight" else values - 1
        elif what == "weight":
            turned = values[:, :, ::-1, ::-1] if base == "conv0" else values
            synthesis[f"{block}/weight"] = np.ascontiguousarray(turned.transpose(2, 3, 1, 0))
        else:
            synthesis[f"{block}/{what}"] = values

    def network(name: str, variables: Mapping[str, np.ndarray], components: dict[str, Any]) -> Network:
        return Network(
            {
                "version": 4,
                "name": name,
                "static_kwargs": EasyDict(num_channels=3, resolution=8, fmap_base=16 << 10, architecture="skip"),
                "components": components,
                "build_module_src": SOURCE,
                "build_func_name": name,
                "variables": list(variables.items()),
            }
        )

    def generator(shift: float) -> Network:
        parts = {
            "synthesis": network("G_synthesis", {n: v + np.float32(shift) for n, v in synthesis.items()}, {}),
            "mapping": network("G_mapping", mapping, {}),
        }
        own = {"lod": np.float32(0), "dlatent_avg": arrays["mapping.w_avg"]}
        return network("G_main", own, EasyDict(parts))

    return _pickled((generator(1), network("D_stylegan2", {}, {}), generator(0)))


def rosinality(state: State, *, latent_avg: bool = True, noises: bool = True) -> bytes:
    """A checkpoint of rosinality's trainer."""
    out: dict[str, torch.Tensor] = {}
    kernel = torch.tensor([1.0, 3.0, 3.0, 1.0]).outer(torch.tensor([1.0, 3.0, 3.0, 1.0])) / 16
    for name, values in state.items():
        part, _, rest = name.partition(".")
        if part == "mapping":
            if rest.startswith("fc"):
                layer, _, what = rest.partition(".")
                out[f"style.{int(layer[2:]) + 1}.{what}"] = values
            continue
        if rest == "b4.const":
            out["input.input"] = values[None]
            continue
        block, _, rest = rest.partition(".")
        base, _, what = rest.partition(".")
        i = int(block[1:]).bit_length() - 4  # -1 for 4 rows
        if base == "torgb":
            theirs = "to_rgb1" if i < 0 else f"to_rgbs.{i}"
            if i >= 0:
                out[f"{theirs}.upsample.kernel"] = kernel
        elif base in ("conv0", "conv1"):
            theirs = "conv1" if i < 0 else f"convs.{2 * i + (base == 'conv1')}"
            if base == "conv0":
                out[f"{theirs}.conv.blur.kernel"] = kernel
        if what == "weight":
            out[f"{theirs}.conv.weight"] = values[None]
        elif what.startswith("affine"):
            out[f"{theirs}.conv.modulation.{what.rpartition('.')[2]}"] = values
        elif what == "bias":
            out[f"{theirs}.bias" if base == "torgb" else f"{theirs}.activate.bias"] = (
                values[None, :, None, None] if base == "torgb" else values
            )
        elif what == "noise_strength":
            out[f"{theirs}.noise.weight"] = values.reshape(1)
        elif what == "noise_const" and noises:
            out[f"noises.noise_{0 if i < 0 else 2 * i + 1 + (base == 'conv1')}"] = values[None, None]
    file: dict[str, Any] = {"g": {n: v + 1 for n, v in out.items()}, "d": {}, "g_ema": out}
    if latent_avg:
        file["latent_avg"] = state["mapping.w_avg"]
    return torch_file(file)


def pti(state: State) -> bytes:
    """A generator saved whole by torch.save, as PTI keeps its tuned ones."""
    with stand_ins(*PERSISTENT):
        return torch_file(module(state))


def human(state: State) -> bytes:
    """StyleGAN-Human v2: nothing but the running mean; pictures twice as high as wide."""
    return nvidia(state, nested=True, only_ema=True)


#: By name, how a file of that kind is written.
FORMATS: dict[str, Callable[[State], bytes]] = {
    "stylegan2-ada-pytorch": lambda state: nvidia(state, nested=True),
    "stylegan3 code base": lambda state: nvidia(state, nested=False, clamp=256),
    "tensorflow": tensorflow,
    "stylegan-human": human,
    "self-distilled": lambda state: nvidia(state, nested=True, only_ema=True),
    "rosinality": rosinality,
    "pti": pti,
    "state dict": lambda state: torch_file({"state_dict": dict(state)}),
    "old torch file": lambda state: torch_file(dict(state), new=False),
    "safetensors": lambda state: save_safetensors({n: t.contiguous() for n, t in state.items()}),
    "gzipped": lambda state: gzip.compress(nvidia(state, nested=True), 1),
}
