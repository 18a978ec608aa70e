"""What StyleGAN2-like networks share: layers one after the other, of whose maps boxes or the whole are computed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence

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
    def rgb(
        self, styles: Styles, i: int, x: torch.Tensor, before: torch.Tensor | None, step: Step
    ) -> torch.Tensor | None:
        """The RGB of the cells of x ``[T, C, rows, columns]``, which is what ``step`` computes of layer i.

        ``before``: that of the layer before, None where it has none.
        """

    def features(
        self, w_plus: torch.Tensor, levels: Iterable[str], *, slots: int | None = None
    ) -> dict[str, torch.Tensor]:
        wanted = self._known(levels)
        layers = max((self._layer_of(level) + 1 for level in wanted), default=0)
        return self._maps(Styles(w_plus, slots), whole_steps(layers, len(w_plus), self._first_size), wanted)

    def boxes(self, styles: Styles, windows: Windows) -> dict[str, list[list[torch.Tensor]]]:
        self._known(windows)
        wanted = {level: of for level, of in windows.items() if any(of)}
        how = self._plan(wanted, len(styles.w_plus))
        maps = self._maps(styles, how.steps, wanted.keys())
        cut = {level: _cut(maps[level], places) for level, places in zip(wanted, how.windows, strict=True)}
        return {level: cut.get(level, [[] for _ in of]) for level, of in windows.items()}

    def products(self, windows: Windows) -> int:
        wanted = {level: of for level, of in windows.items() if any(of)}
        steps = self._plan(wanted, max(map(len, windows.values()), default=1)).steps
        return sum(step.tiles.cells * each for step, each in zip(steps, self.products_by_cell, strict=False))

    def constant_of(self, w_plus: torch.Tensor) -> torch.Tensor:
        """The constant, of each latent of ``w_plus`` ``[B, num_ws, w_dim]``."""
        return self.constant.expand(len(w_plus), -1, -1, -1)

    def _known(self, levels: Iterable[str]) -> set[str]:
        """``levels`` as a set. Raises KeyError for one that is not there."""
        wanted = set(levels)
        if unknown := wanted - self.levels.keys():
            raise KeyError(f"no level {sorted(unknown)}")
        return wanted

    @property
    def _first_size(self) -> tuple[int, int]:
        """Rows and columns of the constant."""
        return self.constant.shape[-2], self.constant.shape[-1]

    def _layer_of(self, level: str) -> int:
        """The layer whose output has the cells of ``level``; the picture's is the last."""
        if level == RGB:
            return len(self.products_by_cell) - 1
        return 2 * (int(level) // self._first_size[0]).bit_length() - 2

    def _plan(self, windows: Windows, count: int) -> Plan:
        wanted = [(self._layer_of(level), of) for level, of in windows.items()]
        return plan(wanted, count, self._first_size, self.constant.device)

    def _maps(self, styles: Styles, steps: Sequence[Step], levels: Collection[str]) -> dict[str, torch.Tensor]:
        """By level, what ``steps`` compute of it."""
        layers = {self._layer_of(level): level for level in levels if level != RGB}
        maps: dict[str, torch.Tensor] = {}
        x, rgb = self.constant_of(styles.w_plus), None
        for i, step in enumerate(steps):
            x = self.layer(styles, i, x, step)
            if i in layers:
                maps[layers[i]] = x
            if RGB in levels:
                rgb = self.rgb(styles, i, x, rgb, step)
        return maps if rgb is None else {**maps, RGB: rgb}


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
