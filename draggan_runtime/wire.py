"""Messages and plain values as msgpack, for disk and toward clients.

Arrays travel as dtype, shape and bytes; messages as their name and fields. Decoding makes only these, plain values
and the dataclasses of :mod:`draggan_runtime.messages`; anything else is a :class:`WireError`.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import msgpack
import numpy as np
from pydantic import TypeAdapter, ValidationError

from draggan_runtime import messages
from draggan_runtime.errors import WireError

_ARRAY, _RECORD, _TUPLE = 1, 2, 3
_PLAIN = (str, int, float, bool, bytes, np.ndarray, type(None))
_DTYPES = ("|b1", "|u1", "<i4", "<i8", "<f2", "<f4", "<f8")
_RECORDS: dict[str, type[Any]] = {
    name: cls
    for name, cls in vars(messages).items()
    if isinstance(cls, type) and dataclasses.is_dataclass(cls) and cls.__module__ == messages.__name__
}


def to_host(value: Any) -> Any:
    """``value`` with every torch tensor in it as a C-contiguous numpy array; other values as they are.

    What is one object in ``value`` stays one.
    """
    return _to_host(value, {})


def _to_host(value: Any, known: dict[int, Any]) -> Any:
    """See :func:`to_host`. ``known``: by id, tensors and dataclasses that have been seen already."""
    if isinstance(value, _PLAIN):
        return value
    if id(value) in known:
        return known[id(value)]
    if hasattr(value, "detach"):
        known[id(value)] = np.ascontiguousarray(value.detach().cpu().numpy())
        return known[id(value)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        changed = {}
        for f in dataclasses.fields(value):
            new = _to_host(old := getattr(value, f.name), known)
            if new is not old:
                changed[f.name] = new
        known[id(value)] = dataclasses.replace(value, **changed) if changed else value
        return known[id(value)]
    if isinstance(value, dict):
        entries = {k: _to_host(v, known) for k, v in value.items()}
        return value if all(entries[k] is v for k, v in value.items()) else entries
    if isinstance(value, list | tuple):
        items = type(value)(_to_host(v, known) for v in value)
        return value if all(a is b for a, b in zip(items, value, strict=True)) else items
    return value


def pack(value: Any) -> bytes:
    """Plain values, arrays, tensors, tuples and message dataclasses as msgpack. Raises TypeError for others."""
    packed: bytes = msgpack.packb(to_host(value), default=_extend, use_bin_type=True, strict_types=True)
    return packed


def unpack(data: bytes) -> Any:
    """What :func:`pack` packed. Raises WireError for truncated, foreign or ill-typed data."""
    try:
        return msgpack.unpackb(data, ext_hook=_restore, raw=False, strict_map_key=False)
    except WireError:
        raise
    except (ValueError, TypeError, msgpack.UnpackException, RecursionError) as error:
        raise WireError(f"not readable as a message: {str(error) or type(error).__name__}") from None


def encode(message: messages.Message) -> bytes:
    """One message as bytes."""
    return pack(message)


def decode(data: bytes) -> messages.Message:
    """One message from bytes. Raises WireError if the bytes hold anything else."""
    value = unpack(data)
    if not isinstance(value, messages.Message):
        raise WireError(f"not a message but {type(value).__name__}")
    return value


def _extend(value: Any) -> msgpack.ExtType:
    if isinstance(value, np.ndarray):
        return msgpack.ExtType(_ARRAY, pack([value.dtype.str, list(value.shape), value.tobytes()]))
    if isinstance(value, np.generic):
        return msgpack.ExtType(_ARRAY, pack([value.dtype.str, [], value.tobytes()]))
    if isinstance(value, tuple):
        return msgpack.ExtType(_TUPLE, pack(list(value)))
    if type(value).__name__ in _RECORDS:
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        return msgpack.ExtType(_RECORD, pack([type(value).__name__, fields]))
    raise TypeError(f"{type(value).__name__} cannot be saved or sent")


def _restore(code: int, data: bytes) -> Any:
    content = unpack(data)
    if code == _TUPLE and isinstance(content, list):
        return tuple(content)
    if code == _ARRAY:
        return _array(content)
    if code == _RECORD:
        return _record(content)
    raise WireError(f"unknown kind of data ({code})")


def _array(content: Any) -> np.ndarray[Any, Any]:
    try:
        dtype, shape, raw = content
        if dtype not in _DTYPES:
            raise WireError(f"arrays of type {dtype!r} are not read")
        return np.frombuffer(raw, dtype=dtype).reshape([int(n) for n in shape]).copy()
    except (ValueError, TypeError, OverflowError) as error:
        raise WireError(f"damaged array: {error}") from None


def _record(content: Any) -> Any:
    if not (isinstance(content, list) and len(content) == 2 and isinstance(content[1], dict)):
        raise WireError("damaged message")
    name, values = content
    cls = _RECORDS.get(name) if isinstance(name, str) else None
    if cls is None:
        raise WireError(f"unknown message {name!r}")
    unknown = values.keys() - {f.name for f in dataclasses.fields(cls)}
    if unknown:
        raise WireError(f"{name} has no field {', '.join(sorted(map(str, unknown)))}")
    try:
        record = TypeAdapter(cls).validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise WireError(f"{name}.{where}: {first['msg']}") from None
    for f in dataclasses.fields(cls):
        _check_array(name, f, getattr(record, f.name))
    return record


def _check_array(name: str, field: dataclasses.Field[Any], value: Any) -> None:
    """Array fields are opaque to the validation of types, so look at them here."""
    if str(field.type).startswith("Array") and not (
        isinstance(value, np.ndarray) or (value is None and "None" in str(field.type))
    ):
        raise WireError(f"{name}.{field.name}: not an array")
