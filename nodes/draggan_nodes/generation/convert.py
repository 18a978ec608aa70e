"""From the constants of the published MobileStyleGAN files to named tensors of our network."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from draggan_nodes.generation.mobile_stylegan import MobileStyleGAN
from draggan_nodes.generation.w_statistics import w_statistics


def convert(mapping: Mapping[str, np.ndarray], synthesis: Mapping[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """Tensors of :class:`MobileStyleGAN`, statistics of w included, from the constants of the two networks.

    The equalised-learning-rate factors of the modulations are folded into them, and the channels of wavelet
    bands are sorted by band. Raises ValueError if the
    constants are not those of this architecture.
    """
    try:
        tensors = {**_mapping(mapping), **_synthesis(synthesis)}
    except (KeyError, StopIteration) as error:
        raise ValueError(f"not the constants of a MobileStyleGAN: {error}") from error
    out = {name: torch.from_numpy(np.array(value, np.float32, order="C")) for name, value in tensors.items()}
    _by_band(out)
    out["w_mean"] = out["mapping.0.bias"].new_zeros(out["first.affine.weight"].shape[1])
    network = MobileStyleGAN(out, name="", sha256="")
    out["w_mean"], out["w_whitening"] = w_statistics(network.map_w, network.z_dim)
    return out


def _by_band(tensors: dict[str, torch.Tensor]) -> None:
    """Sort the channels that a wavelet reads: from L and (LH, HL, HH) of each channel, to L, LH, HL, HH."""
    names = ["first.weight", "first.bias", "to_rgb.pointwise", "to_rgb.bias"]
    blocks = sum(name.endswith(".up.affine.bias") for name in tensors)
    for i in range(blocks):
        names += [f"blocks.{i}.up.affine.weight", f"blocks.{i}.up.affine.bias"]
        if i < blocks - 1:
            names += [f"blocks.{i}.2.pointwise", f"blocks.{i}.2.bias"]
    for name in names:
        low, high = tensors[name].tensor_split([len(tensors[name]) // 4])
        high = high.view(-1, 3, *high.shape[1:]).transpose(0, 1).flatten(0, 1)
        tensors[name] = torch.cat([low, high])


def _mapping(constants: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    # The mapping's constants have numbers for names; layers follow each other in the file's order.
    weights = [c for c in constants.values() if c.dtype == np.float32 and c.ndim == 2 and c.size > 1]
    biases = [c for c in constants.values() if c.dtype == np.float32 and c.ndim == 1 and c.size > 1]
    out = {}
    for i, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        out[f"mapping.{i}.weight"], out[f"mapping.{i}.bias"] = weight, bias
    return out


def _synthesis(constants: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    floats = [(name, c) for name, c in constants.items() if c.dtype == np.float32 and c.ndim == 4]
    # Weights with folded demodulation, and noise maps, have lost their names; both are in layer order.
    folded = iter([c for name, c in floats if name.startswith("Mul_") and name.endswith("_copy")])
    noises = iter([c for _, c in floats if c.shape[:2] == (1, 1) and c.size > 1])

    def affine(layer: str, source: str, gain: float) -> dict[str, np.ndarray]:
        return {
            f"{layer}.affine.weight": constants[f"m.{source}.modulation.weight"] * np.float32(gain),
            f"{layer}.affine.bias": constants[f"m.{source}.modulation.bias"][0] * np.float32(gain),
        }

    first = next(folded)
    out = {"const": constants["m.input.input"], "first.weight": first}
    out |= {"first.noise": next(noises)[0, 0], "first.bias": constants["m.conv1.bias"].ravel()}
    out |= affine("first", "conv1.conv", (9 * first.shape[1]) ** -0.5)
    blocks = sum(name.endswith(".up.modulation.weight") for name in constants)
    for i in range(blocks):
        out |= affine(f"blocks.{i}.up", f"layers.{i}.up", 1.0)
        for n in (1, 2):
            ours, theirs = f"blocks.{i}.{n}", f"layers.{i}.conv{n}"
            depthwise = constants[f"m.{theirs}.conv.weight_dw"][:, 0]
            out[f"{ours}.depthwise"] = depthwise
            out[f"{ours}.pointwise"] = next(folded)[:, :, 0, 0]
            out[f"{ours}.noise"] = next(noises)[0, 0]
            out[f"{ours}.bias"] = constants[f"m.{theirs}.bias"].ravel()
            out |= affine(ours, f"{theirs}.conv", (9 * len(depthwise)) ** -0.5)
    rgb = constants[f"m.layers.{blocks - 1}.to_img.conv.weight"][:, :, 0, 0]
    out |= {"to_rgb.pointwise": rgb, "to_rgb.bias": constants[f"m.layers.{blocks - 1}.to_img.bias"].ravel()}
    return out | affine("to_rgb", f"layers.{blocks - 1}.to_img.conv", rgb.shape[1] ** -0.5)
