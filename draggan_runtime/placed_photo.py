"""A photo as a session keeps it, and where in it the session's picture belongs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from draggan_runtime.errors import UserError
from draggan_runtime.photos import pack_photo, unpack_photo
from draggan_runtime.pictures import Pixels


@dataclass(frozen=True, eq=False)
class PlacedPhoto:
    """``png``: the photo, lossless; ``matrix`` float64 ``[2, 3]``: see :class:`draggan_runtime.messages.Placed`."""

    png: bytes
    matrix: NDArray[np.float64]

    @classmethod
    def packed(cls, pixels: Any, matrix: Any) -> PlacedPhoto:
        """Of a photo's ``pixels``, uint8 RGB ``[H, W, 3]``. Raises UserError if it is too large to be kept."""
        return cls(pack_photo(np.asarray(pixels)), np.asarray(matrix, np.float64))

    @cached_property
    def pixels(self) -> Pixels:
        """uint8 RGB ``[H, W, 3]``."""
        return unpack_photo(self.png, "the session")

    def plain(self) -> dict[str, Any]:
        """As plain values."""
        return {"png": self.png, "matrix": self.matrix}

    @classmethod
    def from_plain(cls, data: Any, where: Path) -> PlacedPhoto:
        """What :meth:`plain` gave, read from the file ``where``. Raises UserError if it is anything else."""
        png, matrix = (data.get("png"), data.get("matrix")) if isinstance(data, dict) else (None, None)
        if isinstance(png, bytes) and isinstance(matrix, np.ndarray) and matrix.dtype == np.float64:
            photo = cls(png, matrix)
            photo.__dict__["pixels"] = unpack_photo(png, where)
            if matrix.shape == (2, 3) and np.isfinite(matrix).all():
                return photo
        raise UserError(f"{where}: its photo is damaged; use another copy of the file")
