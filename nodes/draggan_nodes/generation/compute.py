"""Running a plan: the layers one after the other, and the wanted windows cut from what they give."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import torch

from draggan_nodes.generation.plan import Step, gather, plan
from draggan_nodes.generation.protocol import Window

RGB = "rgb"

#: From a layer's number, what the layer before gave and its step: what the step computes.
Layer = Callable[[int, torch.Tensor, Step], torch.Tensor]


def outputs(steps: Sequence[Step], constant: torch.Tensor, layer: Layer) -> Iterator[torch.Tensor]:
    """What each layer gives, ``[T, C, rows, columns]``; the first gets the ``constant`` ``[B, C, rows, columns]``."""
    x = constant
    for i, step in enumerate(steps):
        x = layer(i, x, step)
        yield x


def boxes(
    windows: Mapping[str, Sequence[Sequence[Window]]],
    constant: torch.Tensor,
    layer: Layer,
    picture: Callable[[], torch.Tensor],
) -> dict[str, list[list[torch.Tensor]]]:
    """By level, of each latent, the wanted windows ``[C, rows, columns]``.

    ``picture`` gives the whole RGB ``[B, 3, H, W]``, from which windows of that level are cut.
    """
    first = constant.shape[-2], constant.shape[-1]
    layers = {level: layer_of(level, first[0]) for level, of in windows.items() if level != RGB and any(of)}
    out: dict[str, list[list[torch.Tensor]]] = {level: [[] for _ in of] for level, of in windows.items()}
    if layers:
        how = plan({layers[level]: windows[level] for level in layers}, len(constant), first, constant.device)
        given = dict(enumerate(outputs(how.steps, constant, layer)))
        for level, i in layers.items():
            out[level] = _cut(given[i], how.windows[i])
    if any(windows.get(RGB, ())):
        whole = picture()
        for i, of in enumerate(windows[RGB]):
            out[RGB][i] = [whole[i, :, top:bottom, left:right] for top, bottom, left, right in of]
    return out


def layer_of(level: str, first: int) -> int:
    """The layer that gives the map of ``level``; ``first``: rows of the constant."""
    return 2 * (int(level) // first).bit_length() - 2


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
