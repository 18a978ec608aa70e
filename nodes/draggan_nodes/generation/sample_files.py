"""Small files of StyleGAN2 weights of every kind that is read, for damage to start from."""

from __future__ import annotations

import argparse
import pickle
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from safetensors.torch import save

from draggan_nodes.generation import converted
from draggan_nodes.generation.stylegan2_state import Architecture
from draggan_runtime.inert.fuzz.samples import torch_file

_SMALL = Architecture(channels=(3, 2, 2), mapping=(4, 3), z_dim=2)
_CLASSES = Architecture(channels=(3, 2), mapping=(4, 3), z_dim=2, c_dim=2, embedding=3)
State = Mapping[str, torch.Tensor]


def sample_files() -> list[bytes]:
    """Files of a few kB of all kinds, of random weights.

    NVIDIA's classes are not here to pickle: torch's own module, and a namespace, stand for those that files name. To
    the reader both are objects with a state.
    """
    small, classes = (architecture.random_state(0) for architecture in (_SMALL, _CLASSES))
    about = {"format": converted.FORMAT, "made_of": "a sample", "sha256": "0" * 64, "conv_clamp": "256.0"}
    return [
        torch_file({"state_dict": small}),
        torch_file({f"module.{name}": tensor.half() for name, tensor in classes.items()}, new=False),
        pickle.dumps({"G": None, "G_ema": _module(classes)}, 4),
        torch_file(_module(small)),
        pickle.dumps((None, None, _tensorflow(small)), 2),
        torch_file({"g_ema": _rosinality(small), "latent_avg": small["mapping.w_avg"]}),
        save(dict(classes)),
        save({**small, "w_whitening": torch.eye(_SMALL.w_dim)}, about),
    ]


def _learned(state: State) -> Iterator[tuple[str, torch.Tensor]]:
    """What all formats hold, under names of their own."""
    return ((name, tensor) for name, tensor in state.items() if not name.endswith(("resample_filter", "w_avg")))


def _module(state: State) -> torch.nn.Module:
    """A generator of NVIDIA's PyTorch code bases."""
    whole = torch.nn.Module()
    for name, tensor in state.items():
        module = whole
        *path, last = name.split(".")
        for part in path:
            if not hasattr(module, part):
                module.add_module(part, torch.nn.Module())
            module = module.get_submodule(part)
        module.register_buffer(last, tensor)
    for name, module in whole.named_modules():
        said = {"bias_gain": 0.01} if name.startswith("mapping.fc") else {"architecture": "skip", "conv_clamp": 256}
        module.__dict__ |= {"activation": "lrelu", **said}
    return whole


def _tensorflow(state: State) -> argparse.Namespace:
    """A network of TensorFlow's."""
    mapping, synthesis = [], []
    for name, tensor in _learned(state):
        values = tensor.numpy()
        match name.split("."):
            case ["mapping", layer, what]:
                mapping.append((f"{layer.replace('fc', 'Dense')}/{what}", values.T))
            case ["synthesis", _, "const"]:
                synthesis.append(("4x4/Const/const", values[None]))
            case ["synthesis", block, layer, "noise_const"]:
                number = 0 if block == "b4" else 2 * int(block[1:]).bit_length() - (7 if layer == "conv0" else 6)
                synthesis.append((f"noise{number}", values[None, None]))
            case ["synthesis", block, layer, *what]:
                first = "Conv" if block == "b4" else "Conv1"
                theirs = {"conv0": "Conv0_up", "conv1": first, "torgb": "ToRGB"}[layer]
                part = "_".join(what).replace("affine", "mod")
                values = values.transpose(2, 3, 1, 0) if part == "weight" else values.T
                synthesis.append((f"{block[1:]}x{block[1:]}/{theirs}/{part}", values))

    def network(variables: list[tuple[str, Any]], **components: Any) -> argparse.Namespace:
        return argparse.Namespace(
            variables=variables, components=components, static_kwargs={"architecture": "skip", "resolution": 16}
        )

    mean = ("dlatent_avg", state["mapping.w_avg"].numpy())
    return network([("lod", np.float32(0)), mean], mapping=network(mapping), synthesis=network(synthesis))


def _rosinality(state: State) -> dict[str, torch.Tensor]:
    """A state dict of rosinality's."""
    out: dict[str, torch.Tensor] = {}
    for name, tensor in _learned(state):
        match name.split("."):
            case ["mapping", layer, what]:
                out[f"style.{int(layer[2:]) + 1}.{what}"] = tensor
            case ["synthesis", _, "const"]:
                out["input.input"] = tensor[None]
            case ["synthesis", block, layer, *what]:
                i = int(block[1:]).bit_length() - 4  # -1 for 4 rows
                number = 2 * i + (layer == "conv1")
                convolution = "conv1" if i < 0 else f"convs.{number}"
                theirs = convolution if layer != "torgb" else "to_rgb1" if i < 0 else f"to_rgbs.{i}"
                out |= {
                    "weight": {f"{theirs}.conv.weight": tensor[None]},
                    "affine.weight": {f"{theirs}.conv.modulation.weight": tensor},
                    "affine.bias": {f"{theirs}.conv.modulation.bias": tensor},
                    "bias": {f"{theirs}.bias" if layer == "torgb" else f"{theirs}.activate.bias": tensor},
                    "noise_strength": {f"{theirs}.noise.weight": tensor.flatten()},
                    "noise_const": {f"noises.noise_{max(number + 1, 0)}": tensor[None, None]},
                }[".".join(what)]
    return out
