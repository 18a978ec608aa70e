"""Which parts of the feature maps a step's consumers read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import torch

from draggan_nodes.generation.protocol import Level
from draggan_runtime.boxes import Region, around, covering, crop, whole
from draggan_runtime.messages import XY, Boxes, NeedBoxes
from draggan_runtime.node import Need

#: By level, the px regions that are sent; None is the whole map.
Regions = dict[str, tuple[Region | None, ...]]


def regions_for(needs: Sequence[Need], handles: Iterable[XY], size: tuple[int, int], *, masked: bool) -> Regions:
    """By level, a square around each of ``handles`` (px), or the whole map.

    Its reach is the sum of all consumers' reaches (px at 512): the tracker looks around the handle, and the
    motion term, on whatever level, around the handle that the tracker will find.
    """
    reach = sum(need.reach for need in needs) * size[1] / 512
    squares = tuple(around(xy, reach) for xy in handles)
    whole_levels = {need.level for need in needs if need.whole_with_mask and masked}
    return {need.level: (None,) if need.level in whole_levels else squares for need in needs}


def with_more(regions: Regions, request: NeedBoxes) -> Regions:
    """``regions`` and those that a stage asks for besides."""
    return {**regions, request.level: (*regions.get(request.level, ()), *request.regions)}


def cut(maps: Mapping[str, torch.Tensor], regions: Regions, levels: Mapping[str, Level]) -> dict[str, Boxes]:
    """The boxes of whole maps ``[C, rows, columns]``; a region that an earlier box covers gets none.

    Values are contiguous, as they are after a journey between processes: sums over them, whose rounding depends
    on the order in memory, then agree in every layout.
    """
    out: dict[str, Boxes] = {}
    for name, wanted in regions.items():
        boxes: Boxes = ()
        for region in wanted:
            if region is None:
                boxes = (*boxes, whole(maps[name], levels[name].stride))
            elif covering(boxes, region) is None:
                boxes = (*boxes, crop(maps[name], region, levels[name].stride))
        out[name] = tuple(replace(box, values=box.values.contiguous()) for box in boxes)  # type: ignore[union-attr]
    return out
