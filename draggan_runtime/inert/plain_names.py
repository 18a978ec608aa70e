"""Names of Python's own that files use, and NVIDIA's one for objects that carry their class."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from draggan_runtime.inert.limits import Refused
from draggan_runtime.inert.pieces import Load, key, mapping, raw, same
from draggan_runtime.inert.record import Record

_ITEM = 100  # bytes of an item of a dict or set, at most


def items(load: Load, value: Any) -> Any:
    """A list, tuple or dict that is to be copied. Raises Refused if it is something else, or memory does not last."""
    if type(value) not in (list, tuple, dict):
        raise Refused("is damaged: a collection has no items", "get it anew")
    load.left.memory(_ITEM * len(value))
    return value


def _ordered_dict(load: Load, pairs: Any = ()) -> dict[Any, Any]:
    return mapping((name, value) for name, value in (items(load, pair) for pair in items(load, pairs)))


def _encode(load: Load, text: Any, encoding: Any = "latin1") -> bytes | memoryview:
    """``_codecs.encode``, by which Python 3 writes bytes that Python 2 can read."""
    if type(text) is not str or type(encoding) is not str or encoding not in ("latin1", "latin-1", "iso-8859-1"):
        raise Refused("is damaged: bytes of an unknown encoding", "get it anew")
    return raw(load, text)


def _bytes(load: Load, value: Any = b"", encoding: Any = "latin1") -> bytes | memoryview:
    return value if type(value) in (bytes, memoryview) else _encode(load, value, encoding)


def _complex(_: Load, real: Any, imaginary: Any) -> complex:
    if type(real) is not float or type(imaginary) is not float:
        raise Refused("is damaged: a complex number has no numbers", "get it anew")
    return complex(real, imaginary)


def _persistent(_: Load, meta: Any) -> Record:
    """What NVIDIA's ``torch_utils.persistence`` writes: a class's source, its name, and an object's state.

    There the source is executed. Here it is text.
    """
    if type(meta) is not dict or not same(meta.get("type"), "class"):
        raise Refused("is damaged: an object of torch_utils.persistence is no class's", "get it anew")
    name, source = meta.get("class_name"), meta.get("module_src")
    if type(name) is not str or type(source) is not str:
        raise Refused("is damaged: an object of torch_utils.persistence has no class", "get it anew")
    return Record("", name, state=meta.get("state"), source=source)


FUNCTIONS: dict[tuple[str, str], Callable[..., Any]] = {
    ("collections", "OrderedDict"): _ordered_dict,
    ("builtins", "set"): lambda load, value=(): set(map(key, items(load, value))),
    ("builtins", "frozenset"): lambda load, value=(): frozenset(map(key, items(load, value))),
    ("builtins", "bytes"): _bytes,
    ("builtins", "bytearray"): _bytes,
    ("builtins", "complex"): _complex,
    ("_codecs", "encode"): _encode,
    ("torch_utils.persistence", "_reconstruct_persistent_obj"): _persistent,
}
KINDS = {("builtins", "object"), ("builtins", "dict")}
