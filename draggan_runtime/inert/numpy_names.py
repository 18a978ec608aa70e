"""Names by which numpy's arrays are pickled, and arrays as views on bytes."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from draggan_runtime.inert.limits import Refused
from draggan_runtime.inert.pieces import Kind, Load, Shell, naturals, raw, same

#: Numbers and nothing else: not objects, text, records or dates.
_DTYPE = re.compile(r"[<>|=]?(b1|[iu][1248]|f[248]|c8|c16)", re.ASCII)
_ORDERS: dict[str, Literal["<", ">", "="]] = {"<": "<", ">": ">", "=": "=", "|": "="}


def dtype(text: Any) -> np.dtype[Any]:
    """The dtype of numbers that ``text`` names, as ``<f4``. Raises Refused if it is of anything else."""
    text = text if type(text) is str else "?"
    if not _DTYPE.fullmatch(text):
        name = "Python objects" if text.lstrip("|").startswith("O") else "something else than numbers"
        raise Refused(f"holds an array of {name} (numpy.dtype {text[:10]!a})", "save it anew as one of numbers")
    found: np.dtype[Any] = np.dtype(text)
    return found


def strided(
    load: Load, data: bytes | memoryview, dtype: np.dtype[Any], shape: Sequence[int], strides: Sequence[int], start: int
) -> NDArray[Any]:
    """The array of numbers at byte ``start`` of ``data``, ``strides`` bytes apart, as a view that cannot be written.

    Raises Refused if one of them would lie outside.
    """
    if not math.prod(shape):
        load.left.array(max(shape) * dtype.itemsize)
        return np.zeros(shape, dtype)
    last = start + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    if min((start, *strides)) < 0 or last + dtype.itemsize > len(data):
        raise Refused("holds an array that reaches beyond its data", "get it anew")
    load.left.array(math.prod(shape) * dtype.itemsize)
    if dtype.kind == "b":  # a byte that is neither 0 nor 1 is no truth value
        load.left.memory(math.prod(shape))
        return strided(load, data, np.dtype(np.uint8), shape, strides, start).astype(bool)
    out: NDArray[Any] = np.ndarray(shape, dtype, data, start, tuple(strides))
    out.flags.writeable = False
    return out


def whole(
    load: Load, data: bytes | memoryview, dtype: np.dtype[Any], shape: Sequence[int], fortran: bool = False
) -> NDArray[Any]:
    """An array that lies in ``data`` without gaps, and is all of it."""
    if math.prod(shape) * dtype.itemsize != len(data):
        raise Refused("holds an array whose shape does not fit its data", "get it anew")
    strides, step = [], dtype.itemsize
    for size in shape if fortran else reversed(shape):
        strides.append(step)
        step *= size
    return strided(load, data, dtype, shape, strides if fortran else strides[::-1], 0)


def _dtype_shell(_: Load, code: Any, *_flags: Any) -> Shell:
    found = dtype(code)

    def built(_: Load, state: Any) -> np.dtype[Any]:
        if type(state) is not tuple or type(state[1]) is not str or any(state[2:5]):
            raise Refused("is damaged: a numpy.dtype that is none of numbers", "get it anew")
        return found.newbyteorder(_ORDERS[state[1]])

    return Shell(built)


def _array_shell(_: Load, kind: Any, *_args: Any) -> Shell:
    if type(kind) is not Kind or (kind.module, kind.name) not in KINDS:
        raise Refused("holds an array of a class of its own")

    def built(load: Load, state: Any) -> NDArray[Any]:
        _, shape, dtype, fortran, data = state
        return whole(load, raw(load, data), _numbers(dtype), naturals(shape), fortran is True)

    return Shell(built)


def _from_buffer(load: Load, data: Any, dtype: Any, shape: Any, order: Any, axes: Any = None) -> NDArray[Any]:
    """``numpy.core.numeric._frombuffer``, of pickle's protocol 5; ``axes`` are transposed to if the order is K."""
    array = whole(load, raw(load, data), _numbers(dtype), naturals(shape), same(order, "F"))
    return array.transpose(naturals(axes)) if same(order, "K") else array


def _scalar(load: Load, dtype: Any, data: Any) -> int | float | bool | complex:
    number: int | float | bool | complex = whole(load, raw(load, data), _numbers(dtype), ()).item()
    return number


def _numbers(value: Any) -> np.dtype[Any]:
    if not isinstance(value, np.dtype):  # those that got this far are ours
        raise Refused("is damaged: an array without numpy.dtype", "get it anew")
    return value


FUNCTIONS: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "dtype"): _dtype_shell,
    ("numpy._core.multiarray", "_reconstruct"): _array_shell,
    ("numpy._core.multiarray", "scalar"): _scalar,
    ("numpy._core.numeric", "_frombuffer"): _from_buffer,
}
KINDS = {("numpy", "ndarray")}
