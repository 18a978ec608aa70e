"""The state dict of a StyleGAN2: which tensors it holds, of which shapes, and one of random weights."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import torch

from draggan_runtime.errors import UserError

#: Learning-rate multiplier of the mapping network (Karras et al. 2019, appendix C).
MAPPING_LR_MULTIPLIER = 0.01
#: The FIR filter of the resampling, one axis.
FILTER = (1.0, 3.0, 3.0, 1.0)


@dataclass(frozen=True)
class Architecture:
    """Shapes of a StyleGAN2 with skip generator.

    ``channels`` of the maps of 4, 8, ... rows; ``mapping`` the widths of the mapping's layers, of which the last is
    w_dim; ``c_dim`` classes (0: not conditional), embedded in ``embedding`` numbers. ``columns`` of the first map:
    4, but 2 where pictures are twice as high as wide.
    """

    channels: tuple[int, ...]
    mapping: tuple[int, ...]
    z_dim: int
    c_dim: int = 0
    embedding: int = 0
    columns: int = 4

    @classmethod
    def config_f(cls, side: int, channel_base: int = 32768, channel_max: int = 512) -> Self:
        """The published one, of ``side`` px (Karras et al. 2020, table 1, configuration F)."""
        rows = [4 << i for i in range(side.bit_length() - 2)]
        return cls(tuple(min(channel_base // r, channel_max) for r in rows), (512,) * 8, 512)

    @classmethod
    def of(cls, state: Mapping[str, torch.Tensor]) -> Self:
        """That of a state dict.

        Raises UserError, naming a tensor, if one is missing, unknown or of a shape that does not fit the others.
        """
        try:
            channels = tuple(len(state[f"synthesis.b{rows}.conv1.weight"]) for rows in _rows(state))
            mapping = tuple(len(state[f"mapping.fc{i}.weight"]) for i in range(_mapping_depth(state)))
            embed = state.get("mapping.embed.weight")
            embedding, c_dim = (0, 0) if embed is None else embed.shape
            z_dim = state["mapping.fc0.weight"].shape[1] - embedding
            _, _, columns = state["synthesis.b4.const"].shape
        except (KeyError, ValueError, TypeError, IndexError) as error:
            raise UserError(f"not the weights of a StyleGAN2: {error} is missing or malformed") from error
        found = cls(channels, mapping, z_dim, c_dim, embedding, columns)
        found.check(state)
        return found

    @property
    def size(self) -> tuple[int, int]:
        """(W, H) px of the picture."""
        return self.columns << len(self.channels) - 1, 2 << len(self.channels)

    @property
    def w_dim(self) -> int:
        return self.mapping[-1]

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each tensor, under the names of the published PyTorch checkpoints."""
        out: dict[str, tuple[int, ...]] = {"mapping.w_avg": (self.w_dim,)}
        if self.c_dim:
            out |= {"mapping.embed.weight": (self.embedding, self.c_dim), "mapping.embed.bias": (self.embedding,)}
        inputs = (self.z_dim + self.embedding, *self.mapping)
        for i, width in enumerate(self.mapping):
            out |= {f"mapping.fc{i}.weight": (width, inputs[i]), f"mapping.fc{i}.bias": (width,)}
        for i, channels in enumerate(self.channels):
            rows = 4 << i
            block = f"synthesis.b{rows}"
            size = rows, self.columns << i
            out[f"{block}.resample_filter"] = (len(FILTER), len(FILTER))
            if i == 0:
                out[f"{block}.const"] = (channels, *size)
            else:
                out |= self._convolution(f"{block}.conv0", self.channels[i - 1], channels, size)
            out |= self._convolution(f"{block}.conv1", channels, channels, size)
            out |= self._modulated(f"{block}.torgb", channels, 3, 1)
        return out

    def _convolution(self, layer: str, inputs: int, outputs: int, size: tuple[int, int]) -> dict[str, tuple[int, ...]]:
        return self._modulated(layer, inputs, outputs, 3) | {
            f"{layer}.noise_const": size,
            f"{layer}.noise_strength": (),
            f"{layer}.resample_filter": (len(FILTER), len(FILTER)),
        }

    def _modulated(self, layer: str, inputs: int, outputs: int, kernel: int) -> dict[str, tuple[int, ...]]:
        return {
            f"{layer}.weight": (outputs, inputs, kernel, kernel),
            f"{layer}.bias": (outputs,),
            f"{layer}.affine.weight": (inputs, self.w_dim),
            f"{layer}.affine.bias": (inputs,),
        }

    def check(self, state: Mapping[str, torch.Tensor]) -> None:
        """Raises UserError unless ``state`` has exactly these tensors; of the FIR filters none or the usual one."""
        shapes = self.shapes()
        if missing := {name for name in shapes.keys() - state.keys() if not name.endswith("resample_filter")}:
            raise UserError(f"not the weights of a StyleGAN2: {_some(missing)} missing")
        if unknown := state.keys() - shapes.keys():
            raise UserError(f"not the weights of a StyleGAN2 this program knows: {_some(unknown)} not expected")
        for name, shape in shapes.items():
            if name not in state:
                continue
            if state[name].shape != shape:
                raise UserError(f"weights of StyleGAN2: {name} is {list(state[name].shape)}, expected {list(shape)}")
            if name.endswith("resample_filter") and not torch.allclose(state[name].float().cpu(), _filter()):
                raise UserError(f"weights of StyleGAN2: {name} is not the filter {list(FILTER)}, the only one known")

    def random_state(self, seed: int) -> dict[str, torch.Tensor]:
        """Weights as before training: N(0, 1), the mapping's divided by its learning-rate multiplier.

        Styles have bias 1, other biases are 0, noise strengths 0.1 (before training they are 0, but then nobody
        would see a noise gone wrong). ``mapping.w_avg`` is 0.
        """
        random = torch.Generator().manual_seed(seed)
        return {name: _initial(name, shape, random) for name, shape in self.shapes().items()}


def _initial(name: str, shape: tuple[int, ...], random: torch.Generator) -> torch.Tensor:
    if name.endswith("resample_filter"):
        return _filter()
    if name.endswith("noise_strength"):
        return torch.tensor(0.1)
    if name.endswith(("bias", "w_avg")):
        return torch.full(shape, float(name.endswith("affine.bias")))
    scale = MAPPING_LR_MULTIPLIER if name.startswith("mapping.fc") else 1.0
    return torch.randn(shape, generator=random) / scale


def _filter() -> torch.Tensor:
    taps = torch.tensor(FILTER)
    return taps.outer(taps) / taps.sum() ** 2


def _rows(state: Mapping[str, torch.Tensor]) -> list[int]:
    """4, 8, ... to the largest block there is."""
    blocks = [int(found[1]) for name in state if (found := re.match(r"synthesis\.b(\d+)\.", name))]
    last = max(blocks, default=4)
    return [4 << i for i in range(max(last.bit_length() - 2, 1))]


def _mapping_depth(state: Mapping[str, torch.Tensor]) -> int:
    return max(sum(bool(re.fullmatch(r"mapping\.fc\d+\.weight", name)) for name in state), 1)


def _some(names: set[str]) -> str:
    first = sorted(names)
    more = f" and {len(first) - 3} more" if len(first) > 3 else ""
    return f"{', '.join(first[:3])}{more} {'are' if len(first) > 1 else 'is'}"
