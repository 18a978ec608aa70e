"""Which cells each layer of a StyleGAN2-like synthesis network computes, so that the wanted ones come out exactly.

Such a network is a chain of 3x3 layers, every second one of which doubles the map first. Walking it from the wanted
cells back to the constant, each layer needs the cells of the one before that its own lie on, and one around them.
Late layers compute tiles of their maps, early ones, most of whose map is needed, the whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch.nn.functional import embedding

from draggan_nodes.generation.protocol import Window
from draggan_nodes.generation.tiles import Cells, Tiles, coarser, cover, whole_maps

Index = np.ndarray[Any, np.dtype[np.int64]]
#: Layers, and the windows of each one's output that are wanted of each latent. A layer may be among them twice.
Wanted = Sequence[tuple[int, Sequence[Sequence[Window]]]]


@dataclass(frozen=True)
class Step:
    """One layer's part.

    ``sources`` ``[T, h, w]``: by cell of each tile's input, its row among all cells that the layer before computed;
    None if all maps are whole, which the layer then pads itself. ``inside`` ``[T, 1, h, w]``: 0 where the input is
    beyond the map's border; None if nowhere. ``places`` ``[T, rows, columns]``: by cell of each tile, its place in
    the flattened map; None if whole. ``latents`` ``[T]``: whose tile it is; None if tiles and latents are the
    same, or there is but one latent.
    """

    tiles: Tiles
    sources: torch.Tensor | None = None
    inside: torch.Tensor | None = None
    places: torch.Tensor | None = None
    latents: torch.Tensor | None = None

    def take(self, x: torch.Tensor) -> torch.Tensor:
        """Inputs ``[T, C, h, w]`` of the tiles, from what the layer before computed, ``[T', C, h', w']``."""
        if self.sources is None:
            return x
        taken = gather(x, self.sources)
        return taken if self.inside is None else taken * self.inside

    def cells(self, values: torch.Tensor) -> torch.Tensor:
        """``[T, 1, rows, columns]`` of a map ``[rows, columns]``; the map itself if all of it is computed."""
        return values if self.places is None else values.flatten()[self.places].unsqueeze(1)

    def of_latents(self, values: torch.Tensor) -> torch.Tensor:
        """``[T, ...]``, or ``[1, ...]`` that serves all tiles, of the latents' ``[B, ...]``."""
        return values if self.latents is None else values[self.latents]


@dataclass(frozen=True)
class Plan:
    """By layer its step; ``windows``: in the order of what was wanted, of each latent and window, where its cells
    ``[h, w]`` are among all that the layer computes, or None if the window is all that it computes.
    """

    steps: tuple[Step, ...]
    windows: tuple[tuple[tuple[torch.Tensor | None, ...], ...], ...]


def gather(x: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """``[..., C, h, w]``, channels last in memory: ``rows`` ``[..., h, w]`` of all the cells of x ``[T, C, h', w']``.

    An embedding, because its backward pass is: that of indexing is many times slower, and not deterministic on CUDA.
    """
    return embedding(rows, x.permute(0, 2, 3, 1).flatten(0, 2)).movedim(-1, -3)


def whole_steps(layers: int, count: int, first: tuple[int, int]) -> tuple[Step, ...]:
    """Everything of the first ``layers`` layers of ``count`` latents; ``first``: rows and columns of the constant."""
    return tuple(Step(whole_maps(size_of(i, first), count)) for i in range(layers))


def plan(wanted: Wanted, count: int, first: tuple[int, int], device: torch.device) -> Plan:
    """A cheap way to ``wanted`` of ``count`` latents; ``first``: rows and columns of the constant.

    Layers beyond the last of which something is wanted have no step.
    """
    frozen = tuple((layer, tuple(map(tuple, of))) for layer, of in wanted)
    fine = any(size_of(layer, first)[0] > _FINE for layer, _ in wanted)
    return (_plan_of_fine if fine else _plan_of_coarse)(frozen, count, first, device)


def size_of(layer: int, first: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of a layer's output: layer 0 has those of the constant, 1 and 2 twice as many, ..."""
    return first[0] << (layer + 1) // 2, first[1] << (layer + 1) // 2


def _plan(
    wanted: tuple[tuple[int, tuple[tuple[Window, ...], ...]], ...],
    count: int,
    first: tuple[int, int],
    device: torch.device,
) -> Plan:
    if not wanted:
        return Plan((), ())
    tiles = _tiles(wanted, count, first)
    rows = [_rows(t, count) for t in tiles]
    steps = [Step(tiles[0])] + [
        _step(t, before, rows_before, count, device)
        for t, before, rows_before in zip(tiles[1:], tiles, rows, strict=False)
    ]
    windows = tuple(
        tuple(
            tuple(_places(window, tiles[layer], rows[layer][latent], device) for window in windows)
            for latent, windows in enumerate(of)
        )
        for layer, of in wanted
    )
    return Plan(tuple(steps), windows)


#: Windows of maps of more rows move at almost every step, and their plans take MB: these serve one pass.
_FINE = 256
_plan_of_coarse = lru_cache(64)(_plan)
_plan_of_fine = lru_cache(2)(_plan)


def _tiles(wanted: Wanted, count: int, first: tuple[int, int]) -> list[Tiles]:
    """What each layer computes, the first layer first."""
    last = max(layer for layer, _ in wanted)
    needed = np.zeros((count, *size_of(last, first)), np.bool_)
    shape = (1, 1)
    tiles: list[Tiles] = []
    for layer in range(last, 0, -1):
        for latent, (top, bottom, left, right) in _of(layer, wanted):
            needed[latent, top:bottom, left:right] = True
            shape = max(shape[0], bottom - top), max(shape[1], right - left)
        by = 1 + layer % 2
        tiles.append(cover(needed, shape, by))
        if tiles[-1].whole:  # such a layer takes nothing but whole maps
            needed[:] = True
        needed, shape = _read(needed, by), (-(-shape[0] // by) + 2, -(-shape[1] // by) + 2)
    return [whole_maps(first, count), *tiles[::-1]]


def _of(layer: int, wanted: Wanted) -> Iterator[tuple[int, Window]]:
    """The windows that are wanted of a layer, each with its latent."""
    for each, of in wanted:
        if each == layer:
            yield from ((latent, window) for latent, windows in enumerate(of) for window in windows)


def _read(needed: Cells, by: int) -> Cells:
    """The cells of the layer before, a map ``by`` smaller, that ``needed`` ``[B, rows, columns]`` are computed from.

    What tiles hold besides is not needed, so it may be computed from anything.
    """
    cells = coarser(needed, by)
    rows = cells.copy()
    rows[:, 1:] |= cells[:, :-1]
    rows[:, :-1] |= cells[:, 1:]
    around = rows.copy()
    around[:, :, 1:] |= rows[:, :, :-1]
    around[:, :, :-1] |= rows[:, :, 1:]
    return around


def _rows(tiles: Tiles, count: int) -> Index:
    """``[B, rows, columns]``: by cell of the maps, its row among all cells computed; -1 if it is not."""
    rows = np.full((count, *tiles.size), -1, np.int64)
    cells = np.arange(tiles.rows * tiles.columns).reshape(tiles.rows, tiles.columns)
    for i, (latent, top, left) in enumerate(tiles.corners):
        rows[latent, top : top + tiles.rows, left : left + tiles.columns] = cells + i * cells.size
    return rows


def _step(tiles: Tiles, before: Tiles, rows: Index, count: int, device: torch.device) -> Step:
    if tiles.whole:
        return Step(tiles)
    by = tiles.size[0] // before.size[0]
    latent, top, left = np.array(tiles.corners).T[:, :, None]
    y, y_inside = _along(top // by, tiles.rows // by, before.size[0])
    x, x_inside = _along(left // by, tiles.columns // by, before.size[1])
    inside = y_inside[:, None, :, None] & x_inside[:, None, None, :]
    sources = rows[latent[:, :, None], y[:, :, None], x[:, None, :]]
    # Where the layer before has computed nothing, nothing is needed: any row of the same latent will do. Of another's,
    # numbers that are not finite would come along.
    own = {of: i * before.rows * before.columns for i, (of, _, _) in reversed([*enumerate(before.corners)])}
    sources = np.where(sources < 0, np.array([own[of] for of, _, _ in tiles.corners])[:, None, None], sources)
    places = (top + np.arange(tiles.rows))[:, :, None] * tiles.size[1] + (left + np.arange(tiles.columns))[:, None, :]
    return Step(
        tiles,
        torch.from_numpy(sources).to(device),
        None if inside.all() else torch.from_numpy(inside.astype(np.float32)).to(device),
        torch.from_numpy(places).to(device),
        None if count == 1 else torch.from_numpy(latent[:, 0]).to(device),
    )


def _along(start: Index, length: int, side: int) -> tuple[Index, Cells]:
    """Cells ``start - 1 .. start + length``, moved into the map, and which of them were inside."""
    cells = start - 1 + np.arange(length + 2)
    clipped = cells.clip(0, side - 1)
    return clipped, cells == clipped


def _places(window: Window, tiles: Tiles, rows: Index, device: torch.device) -> torch.Tensor | None:
    top, bottom, left, right = window
    if tiles.whole and (bottom - top, right - left) == tiles.size:
        return None
    return torch.from_numpy(rows[top:bottom, left:right].copy()).to(device)
