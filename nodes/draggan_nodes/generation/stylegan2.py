"""StyleGAN2, of any size, conditional or not, from a state dict of the published PyTorch checkpoints.

Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN", with a skip generator (figure 7b): the
block of each size adds its RGB to the enlarged one of the block before. Slot 0 drives the first convolution, slots
2i - 1 and 2i the two of block i, 2i + 1 its RGB, which shares its slot with the first convolution of the next block.

Computes in float32. Networks trained in half precision clamp what each layer gives, mostly at 256.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Self

import torch
from torch import nn

from draggan_nodes.generation.buffers import with_buffers
from draggan_nodes.generation.compute import RGB, Layered
from draggan_nodes.generation.plan import Step
from draggan_nodes.generation.protocol import Level, Window
from draggan_nodes.generation.stylegan2_block import Block, under
from draggan_nodes.generation.stylegan2_layers import StyledConvolution, ToRGB, upsample
from draggan_nodes.generation.stylegan2_mapping import MappingNetwork
from draggan_nodes.generation.stylegan2_state import Architecture
from draggan_nodes.generation.styles import Styles
from draggan_nodes.generation.w_statistics import w_statistics
from draggan_runtime.errors import UserError


class StyleGAN2(Layered, nn.Module):
    """The network; implements :class:`~draggan_nodes.generation.protocol.GeneratorNetwork`.

    All sizes are read from ``state``, a state dict with the names of the published PyTorch checkpoints. ``label``:
    the class that a conditional network draws where :meth:`mapping` is not told one. ``w_whitening``: computed when
    first asked for, if not given. ``conv_clamp``: what layers clamp at. Raises UserError if ``state`` has a missing,
    unknown or misshapen tensor.
    """

    const: torch.Tensor
    w_avg: torch.Tensor
    _whitening: torch.Tensor | None

    def __init__(
        self,
        state: Mapping[str, torch.Tensor],
        *,
        name: str,
        sha256: str,
        label: int | None = None,
        w_whitening: torch.Tensor | None = None,
        conv_clamp: float | None = None,
    ) -> None:
        super().__init__()
        self.architecture = Architecture.of(state)
        if label is not None and not 0 <= label < self.architecture.c_dim:
            raise UserError(f"model '{name}' has {self.architecture.c_dim} classes; there is no class {label}")
        self._name, self._sha256, self.label = name, sha256, label
        state = {key: tensor.detach().float() for key, tensor in state.items()}
        self.register_buffer("w_avg", state["mapping.w_avg"])
        self.register_buffer("const", state["synthesis.b4.const"][None].contiguous())
        self.register_buffer("_whitening", w_whitening)
        self._map = MappingNetwork(under("mapping", state, but="mapping.w_avg"))
        rows = [4 << i for i in range(len(self.architecture.channels))]
        self.blocks = nn.ModuleList(Block(under(f"synthesis.b{r}", state), conv_clamp) for r in rows)
        levels = {
            str(r): Level(self.size[1] / r, channels, 2 * i + 1)
            for i, (r, channels) in enumerate(zip(rows, self.architecture.channels, strict=True))
        }
        self._levels = {**levels, "rgb": Level(1.0, 3, self.num_ws)}

    @property
    def name(self) -> str:
        return self._name

    @property
    def sha256(self) -> str:
        return self._sha256

    @property
    def size(self) -> tuple[int, int]:
        return self.architecture.size

    @property
    def z_dim(self) -> int:
        return self.architecture.z_dim

    @property
    def c_dim(self) -> int:
        """How many classes; 0 if not conditional."""
        return self.architecture.c_dim

    @property
    def w_dim(self) -> int:
        return self.architecture.w_dim

    @property
    def num_ws(self) -> int:
        return 2 * len(self.architecture.channels)

    @property
    def coarse_slots(self) -> int:
        """The first 6 (Pan et al. 2023, section 3.2)."""
        return min(6, self.num_ws)

    @property
    def levels(self) -> Mapping[str, Level]:
        return self._levels

    @property
    def w_mean(self) -> torch.Tensor:
        return self.w_avg

    @property
    def w_whitening(self) -> torch.Tensor:
        if self._whitening is None:
            _, whitening = w_statistics(self.any_w, self.z_dim)
            self._whitening = whitening.to(self.w_avg)
        return self._whitening

    @property
    def device(self) -> torch.device:
        return self.w_avg.device

    def map_w(self, z: torch.Tensor, c: torch.Tensor | None = None) -> torch.Tensor:
        """w ``[B, w_dim]``, without truncation; arguments as for :meth:`mapping`."""
        if self.c_dim and c is None:
            if self.label is None:
                raise UserError(f"model '{self._name}' draws {self.c_dim} classes: say which, as in {self._name}:0")
            return self._map.any_w(z, self.label)
        w: torch.Tensor = self._map(z, c)
        return w

    def mapping(self, z: torch.Tensor, truncation_psi: float = 1.0, c: torch.Tensor | None = None) -> torch.Tensor:
        """w_plus ``[B, num_ws, w_dim]`` of z ``[B, z_dim]``: each slot is ``w_mean + psi * (w - w_mean)``.

        ``c`` ``[B, c_dim]``: the classes, each a row of zeros with a 1; None: ``label``. Raises UserError if
        neither says which. Truncation: Karras et al. 2019, appendix B.
        """
        w = self.w_avg + truncation_psi * (self.map_w(z, c) - self.w_avg)
        return w[:, None].expand(-1, self.num_ws, -1).contiguous()

    @torch.no_grad()
    def image(self, w_plus: torch.Tensor) -> torch.Tensor:
        x, rgb = self.constant_of(w_plus), None
        for i, block in enumerate(self._blocks):
            last = i == len(self._blocks) - 1
            slots = range(2 * i + 1 - len(block.layers), 2 * i + 1)
            modulations = [layer.modulation(w_plus[:, slot]) for layer, slot in zip(block.layers, slots, strict=True)]
            xs, rgbs = [], []
            for window in _stripes(block.size):
                top, bottom, _, _ = block.reads(window)
                stripe = block.window(x[:, :, top:bottom], modulations, window)
                rgbs.append(block.to_rgb(stripe, block.to_rgb.style(w_plus[:, 2 * i + 1])))
                if not last:
                    xs.append(stripe)
            x = x if last else torch.cat(xs, 2)
            more = torch.cat(rgbs, 2)
            rgb = more if rgb is None else upsample(rgb) + more
        assert rgb is not None
        return rgb

    @cached_property
    def tunable(self) -> Mapping[str, tuple[int, int]]:
        return {name: layer.matrix for name, layer in self._tunable_layers().items()}

    def tuned(self, changes: Mapping[str, torch.Tensor]) -> Self:
        layers = self._tunable_layers()
        buffers = {
            f"{name}.{buffer}": tensor
            for name, change in changes.items()
            for buffer, tensor in layers[name].plus(change).items()
        }
        return with_buffers(self, buffers)

    def _tunable_layers(self) -> dict[str, StyledConvolution | ToRGB]:
        """By name within the network."""
        kinds = StyledConvolution | ToRGB
        return {name: layer for name, layer in self.named_modules() if isinstance(layer, kinds)}

    @property
    def constant(self) -> torch.Tensor:
        return self.const

    @cached_property
    def products_by_cell(self) -> Sequence[int]:
        return [layer.products for block in self._blocks for layer in block.layers]

    def layer(self, styles: Styles, i: int, x: torch.Tensor, step: Step) -> torch.Tensor:
        layer = self._blocks[(i + 1) // 2].layers[0 if i % 2 else -1]
        out: torch.Tensor = layer(x, styles.of(i, i, layer.modulation), step)
        return out

    def rgb(
        self, styles: Styles, i: int, x: torch.Tensor, before: torch.Tensor | None, step: Step
    ) -> torch.Tensor | None:
        """A block's first layer enlarges the RGB of the block before, its second adds its own."""
        around = 0 if step.tiles.whole else 1
        if before is not None:
            before = step.take(before)
            if i % 2:
                return upsample(before, around)
            before = before[:, :, around : before.shape[2] - around, around : before.shape[3] - around]
        to_rgb = self._blocks[i // 2].to_rgb
        own: torch.Tensor = to_rgb(x, step.of_latents(styles.of((i, RGB), i + 1, to_rgb.style)))
        return own if before is None else before + own

    @property
    def _blocks(self) -> list[Block]:
        return [block for block in self.blocks if isinstance(block, Block)]

    def any_w(self, z: torch.Tensor) -> torch.Tensor:
        """w ``[B, w_dim]`` of the network's label; without one, of its classes in turn. On the CPU."""
        return self._map.any_w(z.to(self.w_avg), self.label).cpu()

    @classmethod
    def random(cls, architecture: Architecture, *, seed: int, name: str, sha256: str) -> Self:
        """One of random weights, with the statistics of its own w."""
        state = architecture.random_state(seed)
        label = 0 if architecture.c_dim else None
        network = cls(state, name=name, sha256=sha256, label=label)
        network.w_avg, network._whitening = w_statistics(network.any_w, architecture.z_dim)
        return network


def _stripes(size: tuple[int, int]) -> list[Window]:
    """Large maps in stripes of a few MB: whole, they are bound by the memory's speed and by page faults."""
    rows, columns = size
    step = 32 if rows >= 256 else rows
    return [Window(top, min(top + step, rows), 0, columns) for top in range(0, rows, step)]
