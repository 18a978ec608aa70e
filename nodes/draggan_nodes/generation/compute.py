"""Running a plan: the layers one after the other, and the wanted windows cut from what they give."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import torch

from draggan_nodes.generation.plan import Plan, Step, gather, plan, whole_steps
from draggan_nodes.generation.protocol import Window

RGB = "rgb"

#: From a layer's number, what the layer before gave and its step: what the step computes.
Layer = Callable[[int, torch.Tensor, Step], torch.Tensor]
#: By level, of each latent, the windows wanted of its map.
Windows = Mapping[str, Sequence[Sequence[Window]]]


def outputs(steps: Sequence[Step], constant: torch.Tensor, layer: Layer) -> Iterator[torch.Tensor]:
    """What each layer gives, ``[T, C, rows, columns]``; the first gets the ``constant`` ``[B, C, rows, columns]``."""
    x = constant
    for i, step in enumerate(steps):
        x = layer(i, x, step)
        yield x


def boxes(
    windows: Windows,
    constant: torch.Tensor,
    layer: Layer,
    picture: Callable[[], torch.Tensor],
) -> dict[str, list[list[torch.Tensor]]]:
    """By level, of each latent, the wanted windows ``[C, rows, columns]``.

    ``picture`` gives the whole RGB ``[B, 3, H, W]``, from which windows of that level are cut.
    """
    out: dict[str, list[list[torch.Tensor]]] = {level: [[] for _ in of] for level, of in windows.items()}
    how = _plan(windows, constant)
    given = dict(enumerate(outputs(how.steps, constant, layer)))
    for level in windows:
        i = layer_of(level, constant.shape[-2])
        if i is not None and i in how.windows:
            out[level] = _cut(given[i], how.windows[i])
    if any(windows.get(RGB, ())):
        whole = picture()
        for i, of in enumerate(windows[RGB]):
            out[RGB][i] = [whole[i, :, top:bottom, left:right] for top, bottom, left, right in of]
    return out


def products(windows: Windows, constant: torch.Tensor, by_cell: Sequence[int]) -> int:
    """How many products :func:`boxes` takes, from those that each layer takes for a cell of its output."""
    steps = whole_steps(len(by_cell), constant) if any(windows.get(RGB, ())) else _plan(windows, constant).steps
    return sum(step.tiles.cells * each for step, each in zip(steps, by_cell, strict=False))


def layer_of(level: str, first: int) -> int | None:
    """The layer that gives the map of ``level``, None for the picture; ``first``: rows of the constant."""
    return None if level == RGB else 2 * (int(level) // first).bit_length() - 2


def _plan(windows: Windows, constant: torch.Tensor) -> Plan:
    first = constant.shape[-2], constant.shape[-1]
    layers = ((layer_of(level, first[0]), of) for level, of in windows.items() if any(of))
    wanted = {layer: of for layer, of in layers if layer is not None}
    return plan(wanted, len(constant), first, constant.device)


def _cut(x: torch.Tensor, windows: Sequence[Sequence[torch.Tensor | None]]) -> list[list[torch.Tensor]]:
    """By latent and window, ``[C, rows, columns]``: cells of x at given places, or, where none are given, the whole.

    All cells in one go: the backward pass of each goes through a gradient as large as x.
    """
    places = [p for of in windows for p in of if p is not None]
    if not places:
        return [[x[i] for _ in of] for i, of in enumerate(windows)]
    taken = gather(x, torch.cat([p.flatten() for p in places])[:, None, None])[:, :, 0, 0]
    parts = iter(torch.split(taken, [p.numel() for p in places]))
    return [[x[i] if p is None else next(parts).mT.reshape(-1, *p.shape) for p in of] for i, of in enumerate(windows)]
