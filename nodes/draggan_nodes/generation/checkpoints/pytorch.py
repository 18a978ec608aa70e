"""Modules of the PyTorch code bases: stylegan2-ada-pytorch, stylegan3's StyleGAN2, and what was made with them.

DragGAN's own list, StyleGAN-Human v2 and the self-distilled internet photo models are such files, PTI's results too.
Parameter names and attributes are facts of those files.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from draggan_nodes.generation.checkpoints.checkpoint import (
    Checkpoint,
    NotReadableError,
    State,
    numbers,
    positive,
    refuse_stylegan3,
    word,
)
from draggan_nodes.generation.checkpoints.modules import attributes, is_module, state_dict, submodules
from draggan_nodes.generation.stylegan2_state import MAPPING_LR_MULTIPLIER
from draggan_runtime.inert.limits import shown
from draggan_runtime.inert.pieces import same

#: Where the generator lies in a file of several networks; the running mean of the weights is the best.
_KEYS = ("G_ema", "G", "generator", "g_ema")
_LAYER = re.compile(r"synthesis\.b(\d{1,5})\.conv[01]")


def read(data: Any) -> Checkpoint | None:
    """The generator in a pickle of networks, or in a module saved whole; None if there is none.

    Raises NotReadableError for StyleGAN3, and for StyleGAN2 networks of another make than the published.
    """
    found, whole = _generator(data), is_module(data)
    if found is None:
        return None
    inner = attributes(found)["_modules"]
    if not is_module(inner.get("mapping")) or not is_module(inner.get("synthesis")):
        return None
    tensors = numbers(state_dict(found))
    refuse_stylegan3(tensors)
    return Checkpoint(_format(found, whole), _plain(found, tensors), _clamp(found))


def _generator(data: Any) -> Any:
    if is_module(data):
        return data
    if isinstance(data, Mapping):
        return next((data[key] for key in _KEYS if is_module(data.get(key))), None)
    return None


def _format(generator: Any, whole: bool) -> str:
    if whole:
        return "StyleGAN2 module saved whole, as PTI saves it (PyTorch)"
    nested = "synthesis_kwargs" in (attributes(generator).get("_init_kwargs") or {})
    return "stylegan2-ada-pytorch pickle" if nested else "stylegan3 code base, StyleGAN2 pickle"


def _plain(generator: Any, tensors: State) -> State:
    """The state dict, with what other networks say by attributes put into their weights."""
    out = dict(tensors)
    for name, module in submodules(generator):
        said = attributes(module)
        architecture, activation = said.get("architecture", "skip"), said.get("activation", "lrelu")
        if not same(architecture, "skip") and re.fullmatch(r"synthesis\.b\d+", name):
            raise NotReadableError(f"has the architecture {word(architecture)}, where only 'skip' is drawn")
        if not same(activation, "lrelu") and (_LAYER.fullmatch(name) or name.startswith("mapping.fc")):
            raise NotReadableError(
                f"has the activation {word(activation)} in {shown(name)}, where only 'lrelu' is drawn"
            )
        if name.startswith("mapping.fc") and "bias_gain" in said:
            share = np.float32(positive(said["bias_gain"], "learning-rate multiplier") / MAPPING_LR_MULTIPLIER)
            if share != 1:
                out[f"{name}.weight"], out[f"{name}.bias"] = out[f"{name}.weight"] * share, out[f"{name}.bias"] * share
        if (layer := _LAYER.fullmatch(name)) and f"{name}.noise_const" not in out:
            none = np.zeros((), np.float32)
            # One number, repeated: of what size it would be is not checked yet.
            out[f"{name}.noise_const"] = np.broadcast_to(none, _shape_at(out, int(layer[1])))
            out[f"{name}.noise_strength"] = none
    return out


def _shape_at(tensors: State, side: int) -> tuple[int, int]:
    """Rows and columns of the maps of the block of this name."""
    const = tensors.get("synthesis.b4.const")
    if const is None or const.ndim != 3:
        raise NotReadableError("has no constant input, synthesis.b4.const")
    return const.shape[1] * side // 4, const.shape[2] * side // 4


def _clamp(generator: Any) -> float | None:
    said = [attributes(m).get("conv_clamp") for name, m in submodules(generator) if _LAYER.fullmatch(name)]
    clamps = {None if clamp is None else positive(clamp, "clamp") for clamp in said}
    if len(clamps) > 1:
        raise NotReadableError("clamps some layers and others not, or at other values; only one is known")
    return clamps.pop() if clamps else None
