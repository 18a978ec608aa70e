"""TensorFlow's StyleGAN2: the tuple G, D, Gs of ``dnnlib.tflib.Network``, of which Gs is the running mean.

Kernels are stored as ``[rows, columns, inputs, outputs]``, those of the upsampling layers turned by 180 degrees
against PyTorch's, and styles without the 1 that is added to them. These are facts of the published files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from draggan_nodes.generation.checkpoints.checkpoint import (
    Checkpoint,
    NotReadableError,
    State,
    joined,
    numbers,
    positive,
    word,
)
from draggan_nodes.generation.stylegan2_state import FILTER, MAPPING_LR_MULTIPLIER
from draggan_runtime.inert import Record
from draggan_runtime.inert.pieces import same

Array = np.ndarray[Any, Any]


def read(data: Any) -> Checkpoint | None:
    """Gs of a tuple of networks, or a network by itself; None if there is none. Raises NotReadableError."""
    network = data[-1] if isinstance(data, tuple | list) and data else data
    if not _is_network(network):
        return None
    said = _static(network)
    for name, known in (("architecture", "skip"), ("nonlinearity", "lrelu"), ("mapping_nonlinearity", "lrelu")):
        if not same(said.get(name, known), known):
            raise NotReadableError(f"has {name} {word(said[name])}, where only '{known}' is drawn")
    if not _is_filter(said.get("resample_kernel", FILTER)):
        raise NotReadableError(f"resamples with another filter than {list(FILTER)}, the only one drawn")
    variables = numbers(dict(_variables(network)))
    if "mapping/LabelConcat/weight" in variables:
        raise NotReadableError("joins its labels to z as the first StyleGAN2 did, which is not drawn")
    if "synthesis/4x4/Const/const" not in variables:
        raise NotReadableError("is a network of TensorFlow's, but no StyleGAN2")
    clamp = said.get("conv_clamp")
    return Checkpoint(
        "StyleGAN2 of TensorFlow (stylegan2, stylegan2-ada)",
        {**_mapping(variables, said.get("mapping_lrmul", MAPPING_LR_MULTIPLIER)), **_synthesis(variables)},
        None if clamp is None else positive(clamp, "clamp"),
    )


def _is_filter(taps: Any) -> bool:
    known = type(taps) in (list, tuple) and len(taps) == len(FILTER) and all(type(tap) in (int, float) for tap in taps)
    return known and tuple(taps) == FILTER


def _is_network(value: object) -> bool:
    return isinstance(value, Record) and isinstance(value.state, dict) and "variables" in value.state


def _static(network: Any) -> dict[str, Any]:
    """The arguments of the network and of those it is made of."""
    out: dict[str, Any] = {}
    for inner in (*network.state.get("components", {}).values(), network):
        out |= inner.state.get("static_kwargs") or {}
    return out


def _variables(network: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in network.state["variables"]:
        yield joined(prefix, name, "/"), value
    for name, inner in (network.state.get("components") or {}).items():
        if _is_network(inner):
            yield from _variables(inner, joined(prefix, name, "/"))


def _mapping(variables: State, lr_multiplier: Any) -> State:
    out = {"mapping.w_avg": variables["dlatent_avg"]} if "dlatent_avg" in variables else {}
    if "mapping/LabelEmbed/weight" in variables:
        out["mapping.embed.weight"] = variables["mapping/LabelEmbed/weight"].T
        out["mapping.embed.bias"] = variables["mapping/LabelEmbed/bias"]
    share = np.float32(positive(lr_multiplier, "learning-rate multiplier") / MAPPING_LR_MULTIPLIER)
    i = 0
    while f"mapping/Dense{i}/weight" in variables:
        out[f"mapping.fc{i}.weight"] = variables[f"mapping/Dense{i}/weight"].T * share
        out[f"mapping.fc{i}.bias"] = variables[f"mapping/Dense{i}/bias"] * share
        i += 1
    return out


def _synthesis(variables: State) -> State:
    def get(name: str, change: Callable[[Array], Array] = lambda a: a) -> Array:
        if (value := variables.get(f"synthesis/{name}")) is None:
            raise NotReadableError(f"has no variable synthesis/{name}")
        return change(value)

    out: State = {"synthesis.b4.const": get("4x4/Const/const", lambda a: a[0])}
    side, noise = 4, 0
    while f"synthesis/{side}x{side}/ToRGB/weight" in variables:
        block, theirs = f"synthesis.b{side}", f"{side}x{side}"
        layers = [("conv1", "Conv")] if side == 4 else [("conv0", "Conv0_up"), ("conv1", "Conv1")]
        for ours, name in layers:
            out[f"{block}.{ours}.weight"] = get(f"{theirs}/{name}/weight", _turned if ours == "conv0" else _kernel)
            out[f"{block}.{ours}.noise_const"] = get(f"noise{noise}", lambda a: a[0, 0])
            out[f"{block}.{ours}.noise_strength"] = get(f"{theirs}/{name}/noise_strength")
            out |= _styled(f"{block}.{ours}", f"{theirs}/{name}", get)
            noise += 1
        out[f"{block}.torgb.weight"] = get(f"{theirs}/ToRGB/weight", _kernel)
        out |= _styled(f"{block}.torgb", f"{theirs}/ToRGB", get)
        side *= 2
    return out


def _styled(ours: str, theirs: str, get: Callable[..., Array]) -> State:
    return {
        f"{ours}.bias": get(f"{theirs}/bias"),
        f"{ours}.affine.weight": get(f"{theirs}/mod_weight", lambda a: a.T),
        f"{ours}.affine.bias": get(f"{theirs}/mod_bias", lambda a: a + np.float32(1)),
    }


def _kernel(weight: Array) -> Array:
    return weight.transpose(3, 2, 0, 1)


def _turned(weight: Array) -> Array:
    return _kernel(weight[::-1, ::-1])
