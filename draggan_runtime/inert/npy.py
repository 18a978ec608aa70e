"""Numpy's own files: an array (.npy), or several in a zip archive (.npz)."""

from __future__ import annotations

import re
from typing import Any

from numpy.typing import NDArray

from draggan_runtime.inert.archive import Archive
from draggan_runtime.inert.limits import Refused
from draggan_runtime.inert.numpy_names import dtype, whole
from draggan_runtime.inert.pieces import Load

MAGIC = b"\x93NUMPY"
_LONGEST = 10_000  # bytes of a header; numpy's own limit
#: A header is a Python dict in print (NEP 1). It is not evaluated: these three are all it may say.
_DESCR = re.compile(r"""['"]descr['"]:\s*['"]([^'"]*)['"]""")
_FORTRAN = re.compile(r"""['"]fortran_order['"]:\s*(True|False)""")
_SHAPE = re.compile(r"""['"]shape['"]:\s*\(([\dL, ]*)\)""", re.ASCII)


def read_npy(load: Load, data: memoryview) -> NDArray[Any]:
    """The array, a view on ``data``. Raises Refused, also of objects, text and records."""
    size = {1: 2, 2: 4, 3: 4}.get(data[6])
    if size is None:
        raise Refused(f"is a .npy file of version {data[6]}, which this program does not know")
    start = 8 + size
    end = start + int.from_bytes(data[8:start], "little")
    if end - start > _LONGEST:
        raise Refused("is a .npy file with a header too long for an array of numbers")
    header = str(data[start:end], "latin1")
    descr, fortran, shape = (found.search(header) for found in (_DESCR, _FORTRAN, _SHAPE))
    if descr is None or fortran is None or shape is None:
        raise Refused("holds an array of something else than numbers, or is damaged")
    sizes = tuple(int(size.strip().removesuffix("L")) for size in shape[1].split(",") if size.strip())
    if len(sizes) > 32:
        raise Refused("holds an array of too many dimensions")
    return whole(load, data[end:], dtype(descr[1]), sizes, fortran[1] == "True")


def is_npz(archive: Archive) -> bool:
    """True if all parts of the archive are called as numpy calls them."""
    return bool(archive.names) and all(name.endswith(".npy") for name in archive.names)


def read_npz(load: Load, archive: Archive) -> dict[str, NDArray[Any]]:
    """The arrays by name."""
    out = {}
    for name in archive.names:
        data = archive.read(name)
        if bytes(data[:6]) != MAGIC:
            raise Refused(f"holds a part that is no array: {name[:40]!a}")
        out[name.removesuffix(".npy")] = read_npy(load, data)
    return out
