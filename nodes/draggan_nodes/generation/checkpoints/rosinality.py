"""The files of rosinality's stylegan2-pytorch: a dict whose ``g_ema`` is the generator's state dict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from draggan_nodes.generation.checkpoints.checkpoint import Checkpoint, NotReadableError, State
from draggan_nodes.generation.stylegan2_state import FILTER

Array = np.ndarray[Any, Any]
_KEYS = ("g_ema", "g", "generator", "state_dict", "params_ema")


def read(data: Any) -> Checkpoint | None:
    """The generator of such a file, or its state dict by itself; None if it is none. Raises NotReadableError."""
    if not isinstance(data, Mapping):
        return None
    inner = [data[key] for key in _KEYS if isinstance(data.get(key), Mapping)]
    theirs = next((state for state in (*inner, data) if _is_one(state)), None)
    if theirs is None:
        return None
    theirs = {str(name).removeprefix("module."): np.asarray(tensor) for name, tensor in theirs.items()}
    _check_filters(theirs)
    state = {**_mapping(theirs), **_synthesis(theirs)}
    if isinstance(data.get("latent_avg"), np.ndarray):
        state["mapping.w_avg"] = data["latent_avg"].reshape(-1)
    return Checkpoint("rosinality's stylegan2-pytorch", state)


def _is_one(state: Any) -> bool:
    names = {str(name).removeprefix("module.") for name in state} if isinstance(state, Mapping) else set()
    return {"input.input", "conv1.conv.weight", "style.1.weight"} <= names


def _check_filters(theirs: State) -> None:
    taps = np.outer(FILTER, FILTER) / np.square(np.sum(FILTER)) * 4
    for name, tensor in theirs.items():
        if name.endswith(".kernel") and (tensor.shape != taps.shape or not np.allclose(tensor, taps)):
            raise NotReadableError(f"has a filter, {name}, that is not {list(FILTER)}, the only one known")


def _mapping(theirs: State) -> State:
    out: State = {}
    while f"style.{len(out) // 2 + 1}.weight" in theirs:
        i = len(out) // 2
        out |= {f"mapping.fc{i}.{part}": theirs[f"style.{i + 1}.{part}"] for part in ("weight", "bias")}
    return out


def _synthesis(theirs: State) -> State:
    def get(name: str) -> Array:
        if name not in theirs:
            raise NotReadableError(f"has no tensor {name}")
        return theirs[name]

    def modulated(ours: str, name: str) -> State:
        return {
            f"{ours}.weight": get(f"{name}.weight")[0],
            f"{ours}.affine.weight": get(f"{name}.modulation.weight"),
            f"{ours}.affine.bias": get(f"{name}.modulation.bias"),
        }

    def layer(ours: str, name: str, noise: int) -> State:
        return modulated(ours, f"{name}.conv") | {
            f"{ours}.bias": get(f"{name}.activate.bias"),
            f"{ours}.noise_strength": get(f"{name}.noise.weight").reshape(()),
            f"{ours}.noise_const": _noise(theirs, noise),
        }

    def to_rgb(ours: str, name: str) -> State:
        return modulated(ours, f"{name}.conv") | {f"{ours}.bias": get(f"{name}.bias").reshape(-1)}

    out: State = {"synthesis.b4.const": get("input.input")[0]}
    out |= layer("synthesis.b4.conv1", "conv1", 0) | to_rgb("synthesis.b4.torgb", "to_rgb1")
    i = 0
    while f"to_rgbs.{i}.bias" in theirs:
        block = f"synthesis.b{8 << i}"
        for n in range(2):
            out |= layer(f"{block}.conv{n}", f"convs.{2 * i + n}", 2 * i + n + 1)
        out |= to_rgb(f"{block}.torgb", f"to_rgbs.{i}")
        i += 1
    return out


def _noise(theirs: State, i: int) -> Array:
    """The constant noise of layer ``i``. Older files have none, since it was drawn anew for each picture."""
    if (noise := theirs.get(f"noises.noise_{i}")) is not None:
        constant: Array = noise[0, 0]
        return constant
    side = 4 << (i + 1) // 2
    return np.random.RandomState(i).randn(side, side).astype(np.float32)
