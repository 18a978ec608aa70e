"""The state dict of a StyleGAN2: which tensors it holds, of which shapes, and one of random weights."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Self

import torch

from draggan_runtime.errors import UserError
from draggan_runtime.inert.limits import shown

#: Learning-rate multiplier of the mapping network (Karras et al. 2019, appendix C).
MAPPING_LR_MULTIPLIER = 0.01
#: The FIR filter of the resampling, one axis.
FILTER = (1.0, 3.0, 3.0, 1.0)

#: Bounds of what files may ask for, several times what published networks have: 1024 rows, of which the first map has
#: 4 columns, 512 channels, 8 layers of the mapping, 30 million numbers. Statistics of w cost the cube of its width.
MOST_NUMBERS = 1 << 28
MOST_ROWS = 1024
MOST_COLUMNS = 16
_WIDEST = 2048
_DEEPEST = 16

Shapes = Mapping[str, tuple[int, ...]]


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

        Raises UserError, naming a tensor, if one is missing, unknown or of a shape that does not fit the others, or a
        filter is another than the usual one.
        """
        found = cls.of_shapes({name: tuple(tensor.shape) for name, tensor in state.items()})
        check_filters(state)
        return found

    @classmethod
    def of_shapes(cls, shapes: Shapes, *, mean: bool = True) -> Self:
        """That of tensors of these shapes; ``mean``: that of w must be among them. Raises UserError as :meth:`of`."""
        channels = tuple(_size(shapes, f"synthesis.b{rows}.conv1.weight", 4)[0] for rows in _rows(shapes))
        mapping = tuple(_size(shapes, f"mapping.fc{i}.weight", 2)[0] for i in range(_mapping_depth(shapes)))
        conditional = "mapping.embed.weight" in shapes
        embedding, c_dim = _size(shapes, "mapping.embed.weight", 2) if conditional else (0, 0)
        z_dim = _size(shapes, "mapping.fc0.weight", 2)[1] - embedding
        columns = _size(shapes, "synthesis.b4.const", 3)[2]
        widths = (*channels, *mapping, z_dim, *((embedding, c_dim) if conditional else ()))
        if not all(1 <= width <= _WIDEST for width in widths):
            text = ", ".join(map(str, widths))
            raise UserError(f"weights of StyleGAN2: widths are {text}; each is to be from 1 to {_WIDEST}")
        if not 1 <= columns <= MOST_COLUMNS:
            raise UserError(f"weights of StyleGAN2: the first map has {columns} columns, where 4 or 2 are usual")
        found = cls(channels, mapping, z_dim, c_dim, embedding, columns)
        found._check(shapes, mean)
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

    def _check(self, theirs: Shapes, mean: bool) -> None:
        """Raises UserError unless ``theirs`` are exactly these, FIR filters and maybe the mean of w excepted."""
        shapes = self.shapes()
        free = {name for name in shapes if name.endswith("resample_filter") or (name == "mapping.w_avg" and not mean)}
        if missing := shapes.keys() - theirs.keys() - free:
            raise UserError(f"not the weights of a StyleGAN2: {_some(missing)} missing")
        if unknown := theirs.keys() - shapes.keys():
            raise UserError(f"not the weights of a StyleGAN2 this program knows: {_some(unknown)} not expected")
        for name, shape in shapes.items():
            if theirs.get(name, shape) != shape:
                raise UserError(f"weights of StyleGAN2: {name} is {list(theirs[name])}, expected {list(shape)}")
        if (count := sum(map(math.prod, shapes.values()))) > MOST_NUMBERS:
            raise UserError(
                f"weights of StyleGAN2: they are {count:,} numbers, where {MOST_NUMBERS:,} are the most read"
            )

    def random_state(self, seed: int) -> dict[str, torch.Tensor]:
        """Weights as before training: N(0, 1), the mapping's divided by its learning-rate multiplier.

        Styles have bias 1, other biases are 0, noise strengths 0.1 (before training they are 0, but then nobody
        would see a noise gone wrong). ``mapping.w_avg`` is 0.
        """
        random = torch.Generator().manual_seed(seed)
        return {name: _initial(name, shape, random) for name, shape in self.shapes().items()}


def check_filters(state: Mapping[str, torch.Tensor]) -> None:
    """Raises UserError if a FIR filter is another than the usual one."""
    for name, tensor in state.items():
        if name.endswith("resample_filter") and not torch.allclose(tensor.float().cpu(), _filter()):
            raise UserError(f"weights of StyleGAN2: {name} is not the filter {list(FILTER)}, the only one known")


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


def _rows(names: Collection[str]) -> list[int]:
    """4, 8, ... to the largest block there is."""
    blocks = [int(found[1]) for name in names if (found := re.match(r"synthesis\.b(\d{1,9})\.", name))]
    last = max(blocks, default=4)
    if last > MOST_ROWS:
        raise UserError(f"weights of StyleGAN2: a block has {last} rows, where {MOST_ROWS} are the most that is known")
    return [4 << i for i in range(max(last.bit_length() - 2, 1))]


def _mapping_depth(names: Collection[str]) -> int:
    depth = sum(bool(re.fullmatch(r"mapping\.fc\d+\.weight", name)) for name in names)
    if depth > _DEEPEST:
        raise UserError(f"weights of StyleGAN2: the mapping has {depth} layers, where {_DEEPEST} are the most known")
    return max(depth, 1)


def _size(shapes: Shapes, name: str, dimensions: int) -> tuple[int, ...]:
    """The shape of a tensor that must be there."""
    if name not in shapes:
        raise UserError(f"not the weights of a StyleGAN2: {name} is missing")
    if len(shapes[name]) != dimensions:
        raise UserError(f"weights of StyleGAN2: {name} is {list(shapes[name])}, expected {dimensions} dimensions")
    return shapes[name]


def _some(names: Collection[str]) -> str:
    first = [shown(name) for name in sorted(names)]
    more = f" and {len(first) - 3} more" if len(first) > 3 else ""
    return f"{', '.join(first[:3])}{more} {'are' if len(first) > 1 else 'is'}"
