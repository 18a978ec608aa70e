"""What StyleGAN2-like networks share: layers one after the other, of whose maps boxes or the whole are computed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch

from draggan_nodes.generation.plan import Plan, Step, gather, plan, whole_steps
from draggan_nodes.generation.protocol import Level, Windows
from draggan_nodes.generation.styles import Styles

RGB = "rgb"


class Layered(ABC):
    """A constant and layers, in the order that :mod:`~draggan_nodes.generation.plan` knows; gives features, boxes."""

    @property
    @abstractmethod
    def levels(self) -> Mapping[str, Level]:
        """See :class:`~draggan_nodes.generation.protocol.GeneratorNetwork`."""

    @property
    @abstractmethod
    def constant(self) -> torch.Tensor:
        """What the first layer gets, ``[1, C, rows, columns]``."""

    @property
    @abstractmethod
    def products_by_cell(self) -> Sequence[int]:
        """How many products each layer takes for a cell of its output."""

    @abstractmethod
    def layer(self, styles: Styles, i: int, x: torch.Tensor, step: Step) -> torch.Tensor:
        """What ``step`` computes of layer i ``[T, C, rows, columns]``, from what the layer before gave."""

    @abstractmethod
    def add_rgb(self, styles: Styles, i: int, x: torch.Tensor, rgb: torch.Tensor | None) -> torch.Tensor | None:
        """The RGB after layer i, which gave the whole maps x, from that after layer i - 2."""

    def features(
        self, w_plus: torch.Tensor, levels: Iterable[str], *, slots: int | None = None
    ) -> dict[str, torch.Tensor]:
        return self._maps(Styles(w_plus, slots), self._known(levels))

    def boxes(self, styles: Styles, windows: Windows) -> dict[str, list[list[torch.Tensor]]]:
        self._known(windows)
        out: dict[str, list[list[torch.Tensor]]] = {level: [[] for _ in of] for level, of in windows.items()}
        how = _plan(windows, len(styles.w_plus), self.constant)
        given = dict(enumerate(self._outputs(styles, how.steps)))
        for level in windows:
            i = layer_of(level, self.constant.shape[-2])
            if i is not None and i in how.windows:
                out[level] = _cut(given[i], how.windows[i])
        if any(windows.get(RGB, ())):
            for i, picture in enumerate(self._maps(styles, {RGB})[RGB]):
                out[RGB][i] = [picture[:, top:bottom, left:right] for top, bottom, left, right in windows[RGB][i]]
        return out

    def products(self, windows: Windows) -> int:
        by_cell = self.products_by_cell
        count = max(map(len, windows.values()), default=1)
        whole = any(windows.get(RGB, ()))
        steps = self._whole_steps(count) if whole else _plan(windows, count, self.constant).steps
        return sum(step.tiles.cells * each for step, each in zip(steps, by_cell, strict=False))

    def constant_of(self, w_plus: torch.Tensor) -> torch.Tensor:
        """The constant, of each latent of ``w_plus`` ``[B, num_ws, w_dim]``."""
        return self.constant.expand(len(w_plus), -1, -1, -1)

    def _known(self, levels: Iterable[str]) -> set[str]:
        """``levels`` as a set. Raises KeyError for one that is not there."""
        wanted = set(levels)
        if unknown := wanted - self.levels.keys():
            raise KeyError(f"no level {sorted(unknown)}")
        return wanted

    def _whole_steps(self, count: int) -> tuple[Step, ...]:
        first = self.constant.shape[-2], self.constant.shape[-1]
        return whole_steps(len(self.products_by_cell), count, first)

    def _outputs(self, styles: Styles, steps: Sequence[Step]) -> Iterator[torch.Tensor]:
        """What each layer gives."""
        x = self.constant_of(styles.w_plus)
        for i, step in enumerate(steps):
            x = self.layer(styles, i, x, step)
            yield x

    def _maps(self, styles: Styles, levels: set[str]) -> dict[str, torch.Tensor]:
        """Whole maps; computes the layers that these need."""
        maps: dict[str, torch.Tensor] = {}
        rgb = None
        for i, x in enumerate(self._outputs(styles, self._whole_steps(len(styles.w_plus)))):
            if i % 2:
                continue
            if (level := str(x.shape[-2])) in levels:
                maps[level] = x
            if maps.keys() == levels:
                return maps
            if RGB in levels:
                rgb = self.add_rgb(styles, i, x, rgb)
        assert rgb is not None
        return {**maps, RGB: rgb}


def layer_of(level: str, first: int) -> int | None:
    """The layer that gives the map of ``level``, None for the picture; ``first``: rows of the constant."""
    return None if level == RGB else 2 * (int(level) // first).bit_length() - 2


def _plan(windows: Windows, count: int, constant: torch.Tensor) -> Plan:
    first = constant.shape[-2], constant.shape[-1]
    layers = ((layer_of(level, first[0]), of) for level, of in windows.items() if any(of))
    wanted = {layer: of for layer, of in layers if layer is not None}
    return plan(wanted, count, first, constant.device)


def _cut(x: torch.Tensor, windows: Sequence[Sequence[torch.Tensor | None]]) -> list[list[torch.Tensor]]:
    """By latent and window, ``[C, rows, columns]``: cells of x at given places, or, where none are given, the whole.

    All cells in one go, and all maps: the backward pass of each goes through a gradient as large as x.
    """
    maps = x.unbind()
    places = [p for of in windows for p in of if p is not None]
    if not places:
        return [[maps[i] for _ in of] for i, of in enumerate(windows)]
    taken = gather(x, torch.cat([p.flatten() for p in places])[:, None, None])[:, :, 0, 0]
    parts = iter(torch.split(taken, [p.numel() for p in places]))
    return [
        [maps[i] if p is None else next(parts).mT.reshape(-1, *p.shape) for p in of] for i, of in enumerate(windows)
    ]
