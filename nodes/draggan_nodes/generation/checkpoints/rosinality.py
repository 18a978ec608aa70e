"""The files of rosinality's stylegan2-pytorch: a dict whose ``g_ema`` is the generator's state dict.

Encoders of photos (pSp, e4e and their like) keep such a generator beside their own weights, as ``decoder``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from draggan_nodes.generation.checkpoints.checkpoint import Checkpoint, NotReadableError, State, numbers
from draggan_nodes.generation.stylegan2_state import FILTER, MOST_COLUMNS, MOST_ROWS
from draggan_runtime.inert.limits import shown

Array = np.ndarray[Any, Any]
_KEYS = ("g_ema", "g", "generator", "state_dict")
_PREFIXES = ("", "module.", "decoder.")
_OURS = ("input.input", "conv1.conv.weight", "style.1.weight")


def read(data: Any) -> Checkpoint | None:
    """The generator of such a file, or its state dict by itself; None if it is none. Raises NotReadableError."""
    if not isinstance(data, Mapping):
        return None
    inner = [data[key] for key in _KEYS if isinstance(data.get(key), Mapping)]
    for state in (*inner, data):
        for prefix in _PREFIXES:
            if all(f"{prefix}{name}" in state for name in _OURS):
                return _checkpoint(state, prefix, data.get("latent_avg"))
    return None


def _checkpoint(state: Mapping[Any, Any], prefix: str, mean: Any) -> Checkpoint:
    below = {str(name): value for name, value in state.items() if str(name).startswith(prefix)}
    theirs = numbers({name.removeprefix(prefix): value for name, value in below.items()} | {"latent_avg": mean})
    _check_filters(theirs)
    out = {**_mapping(theirs), **_synthesis(theirs)}
    if (means := theirs.get("latent_avg")) is not None:
        out["mapping.w_avg"] = means[(0,) * (means.ndim - 1)]  # encoders repeat it for each slot
    where = ", beside an encoder (pSp, e4e)" if prefix == "decoder." else ""
    return Checkpoint(f"rosinality's stylegan2-pytorch{where}", out)


def _check_filters(theirs: State) -> None:
    taps = np.outer(FILTER, FILTER) / np.square(np.sum(FILTER)) * 4
    for name, tensor in theirs.items():
        if name.endswith(".kernel") and (tensor.shape != taps.shape or not np.allclose(tensor, taps)):
            raise NotReadableError(f"has a filter, {shown(name)}, that is not {list(FILTER)}, the only one known")


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
        if 8 << i > MOST_ROWS:
            raise NotReadableError(f"draws more than {MOST_ROWS} rows, the most that is known")
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
    rows, columns = theirs["input.input"].shape[2:]
    if rows != 4 or columns > MOST_COLUMNS:
        raise NotReadableError(f"begins with a map of {columns} x {rows}, where 4 x 4 is usual")
    enlarged = (i + 1) // 2
    return np.random.RandomState(i).randn(rows << enlarged, columns << enlarged).astype(np.float32)
