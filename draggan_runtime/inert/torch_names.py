"""Names by which torch pickles tensors, and tensors as arrays; torch itself is not needed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from draggan_runtime.inert.limits import Refused
from draggan_runtime.inert.numpy_names import strided
from draggan_runtime.inert.pieces import Kind, Load, naturals, raw
from draggan_runtime.inert.record import Record

#: Torch's dtypes and numpy's. Numpy has no bfloat16: that is read as integers, and widened.
_NUMPY = {
    "float64": "<f8", "float32": "<f4", "float16": "<f2", "bfloat16": "<u2", "complex64": "<c8", "complex128": "<c16",
    "int64": "<i8", "int32": "<i4", "int16": "<i2", "int8": "|i1", "uint8": "|u1", "bool": "|b1",
}  # fmt: skip
_ALIASES = {"double": "float64", "float": "float32", "half": "float16", "long": "int64", "int": "int32"}
_STORAGES = {
    "Double": "float64", "Float": "float32", "Half": "float16", "BFloat16": "bfloat16", "ComplexFloat": "complex64",
    "ComplexDouble": "complex128", "Long": "int64", "Int": "int32", "Short": "int16", "Char": "int8", "Byte": "uint8",
    "Bool": "bool", "Untyped": "",
}  # fmt: skip
DTYPES = {("torch", name) for name in (*_NUMPY, *_ALIASES)}
KINDS = {(module, f"{name}Storage") for module in ("torch", "torch.cuda", "torch.storage") for name in _STORAGES}


@dataclass(frozen=True)
class Storage:
    """Bytes that tensors lie in, of torch's ``dtype``, "" if that is not said. ``data`` is None before it is known."""

    dtype: str
    data: memoryview | None


def storage_dtype(kind: Any) -> str:
    """Torch's dtype of a storage's class, "" of an untyped one. Raises Refused if it is no such class."""
    if type(kind) is not Kind or (kind.module, kind.name) not in KINDS:
        raise Refused("is damaged: a storage has no class", "get it anew")
    return _STORAGES[kind.name.removesuffix("Storage")]


def width(dtype: str) -> int:
    """Bytes of an element."""
    return np.dtype(_NUMPY[dtype]).itemsize if dtype else 1


def _array(load: Load, storage: Any, start: Any, shape: Any, strides: Any, dtype: str) -> NDArray[Any] | None:
    """The tensor as an array; ``start`` and ``strides`` in elements. None while the storage is not known."""
    if type(storage) is not Storage or dtype not in _NUMPY:
        raise Refused("is damaged: a tensor has no storage", "get it anew")
    if storage.data is None:
        return None
    shape, size = naturals(shape), width(dtype)
    start, *steps = (step * size for step in naturals((start, *naturals(strides))))
    numbers = strided(load, storage.data, np.dtype(_NUMPY[dtype]), shape, steps, start)
    if dtype != "bfloat16":
        return numbers
    load.left.memory(8 * math.prod(shape))
    load.left.array(2 * math.prod(shape))
    return (numbers.astype(np.uint32) << 16).view(np.float32)


def _tensor(load: Load, storage: Any, start: Any, shape: Any, strides: Any, *_more: Any) -> NDArray[Any] | None:
    dtype = storage.dtype if type(storage) is Storage else ""
    return _array(load, storage, start, shape, strides, dtype)


def _tensor_of(
    load: Load, storage: Any, start: Any, shape: Any, strides: Any, _grad: Any, _hooks: Any, dtype: Any, *_more: Any
) -> NDArray[Any] | None:
    if type(dtype) is not Record or (dtype.module, dtype.name) not in DTYPES:
        raise Refused("is damaged: a tensor has no dtype", "get it anew")
    return _array(load, storage, start, shape, strides, _ALIASES.get(dtype.name, dtype.name))


def _parameter(_: Load, array: Any, *_more: Any) -> NDArray[Any] | None:
    if array is not None and type(array) is not np.ndarray:
        raise Refused("is damaged: a parameter is no tensor", "get it anew")
    return array


def _from_bytes(load: Load, data: Any) -> Any:
    """A torch file of the old format in the file: so storages come in plain pickles. Read as one, a level down."""
    from draggan_runtime.inert.torch_files import read_old

    held = memoryview(raw(load, data))
    load.left.inside(len(held))
    return read_old(load.nested(), held)


FUNCTIONS: dict[tuple[str, str], Callable[..., Any]] = {
    ("torch._utils", "_rebuild_tensor"): _tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_tensor_v3"): _tensor_of,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch._utils", "_rebuild_parameter_with_state"): _parameter,
    ("torch.storage", "_load_from_bytes"): _from_bytes,
    ("torch", "Size"): lambda _, sizes=(): naturals(sizes),
    ("torch", "device"): lambda _, *args: Record("torch", "device", args),
}
