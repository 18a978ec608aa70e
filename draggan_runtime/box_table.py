"""The cells that bilinear reads touch, as a table.

A read is a weighted sum of four cells. The cells that some reads touch are gathered once, as rows of a table; then
all reads are one sparse product with it, and gradients return to the cells by the transposed one. Both products are
``embedding_bag``: every output is summed by itself in a fixed order, so they are deterministic on every device.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn.functional import embedding_bag

from draggan_runtime.box_set import Array, BoxSet, Reads


class Table:
    """``rows`` ``[U, C]``, at least float32: the cells that ``reads`` touch, of boxes ``[C, h, w]``.

    Differentiable in the boxes' values.
    """

    def __init__(self, boxes: BoxSet, reads: Reads) -> None:
        self._values = [torch.as_tensor(box.values) for box in boxes.boxes]
        self._held = np.zeros(int(boxes.counts.sum()), dtype=bool)
        self._held[reads.cells] = True
        touched = np.add.reduceat(self._held, boxes.first, dtype=np.int64)
        #: By box that is read, the cells taken of it; None is all, which of a small box is cheaper than to choose.
        self._taken: dict[int, torch.Tensor | None] = {}
        parts = []
        for i in np.flatnonzero(touched).tolist():
            cells = self._values[i].flatten(1)
            held = self._held[boxes.first[i] : boxes.first[i] + boxes.counts[i]]
            if 2 * touched[i] > len(held):
                held[:] = True
                self._taken[i] = None
            else:
                chosen = torch.as_tensor(np.flatnonzero(held)).to(cells.device, non_blocking=True)
                self._taken[i], cells = chosen, cells.index_select(1, chosen)
            parts.append(cells.T)
        rows = torch.cat(parts)
        self.rows = rows.to(torch.promote_types(rows.dtype, torch.float32))
        self._counts = [len(part) for part in parts]
        self._row = self._held.cumsum(dtype=np.int32) - 1

    def holds(self, reads: Reads) -> bool:
        """Whether every cell that ``reads`` touch is in the table."""
        return bool(self._held[reads.cells].all())

    def read(self, reads: Reads) -> torch.Tensor:
        """Values ``[P, K, C]``."""
        index, weights = self._row[reads.cells].reshape(-1, 4), reads.weights.reshape(-1, 4)
        values = embedding_bag(self._send(index), self.rows, mode="sum", per_sample_weights=self._send(weights))
        return values.view(*reads.cells.shape[:2], -1)

    def spread(self, reads: Reads, gradient: torch.Tensor) -> torch.Tensor:
        """The transpose of :meth:`read`: from a gradient ``[P, K, C]`` of the values that of the rows ``[U, C]``."""
        row = self._row[reads.cells].ravel()
        order = row.argsort(kind="stable")
        starts = row[order].searchsorted(np.arange(len(self.rows)))
        index, weights = self._send(order // 4), self._send(reads.weights.ravel()[order])
        return embedding_bag(index, gradient.flatten(0, 1), self._send(starts), mode="sum", per_sample_weights=weights)

    def add_to(self, gradients: list[torch.Tensor | None], rows: torch.Tensor) -> None:
        """Add ``rows`` ``[U, C]`` where they belong in each box's contiguous gradient ``[C, h, w]``; None is zero."""
        parts: list[torch.Tensor] = list(torch.split(rows, self._counts))
        for (i, chosen), part in zip(self._taken.items(), parts, strict=True):
            box, total = self._values[i], gradients[i]
            part = part.T.to(box.dtype)
            if total is None and chosen is None:
                gradients[i] = part.contiguous().view(box.shape)
                continue
            if total is None:
                gradients[i] = total = torch.zeros(box.shape, dtype=box.dtype, device=box.device)
            if chosen is None:
                total.view(part.shape).add_(part)
            else:  # No cell comes twice, so the order does not matter.
                total.view(len(total), -1).index_add_(1, chosen, part)

    def _send(self, array: Array) -> torch.Tensor:
        """``array`` beside the rows: whole numbers as int32, others in the rows' type."""
        dtype = torch.int32 if array.dtype.kind == "i" else self.rows.dtype
        return torch.as_tensor(array).to(dtype).to(self.rows.device, non_blocking=True)
