"""Comparing values, and handing them over as another container would."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from draggan_runtime import wire


def as_read_only(message: Any) -> Any:
    """The message as it comes from another container: numpy arrays over shared memory."""
    host = wire.to_host(copy.deepcopy(message))
    _lock(host)
    return host


def _lock(value: Any) -> None:
    if isinstance(value, np.ndarray):
        value.setflags(write=False)
    elif is_dataclass(value):
        for field in fields(value):
            _lock(getattr(value, field.name))
    elif isinstance(value, Mapping):
        for item in value.values():
            _lock(item)
    elif isinstance(value, list | tuple):
        for item in value:
            _lock(item)


def difference(expected: Any, found: Any, tolerance: float, path: str = "") -> str:
    """Where two values differ first, in words; "" if nowhere. Floats may differ by ``tolerance`` of their scale."""
    if hasattr(expected, "detach") or isinstance(expected, np.ndarray):
        a, b = np.asarray(wire.to_host(expected)), np.asarray(wire.to_host(found))
        if a.shape != b.shape:
            return f"{path} has shape {list(b.shape)}, not {list(a.shape)}"
        scale = float(np.abs(a.astype(np.float64)).max(initial=0))
        off = float(np.abs(a.astype(np.float64) - b.astype(np.float64)).max(initial=0))
        return f"{path} is off by {off:.3g} (largest value {scale:.3g})" if off > tolerance * scale else ""
    if type(expected) is not type(found):
        return f"{path} is {type(found).__name__}, not {type(expected).__name__}"
    if is_dataclass(expected):
        pairs = [(f".{f.name}", getattr(expected, f.name), getattr(found, f.name)) for f in fields(expected)]
    elif isinstance(expected, Mapping):
        if expected.keys() != found.keys():
            return f"{path} has {sorted(map(str, found))}, not {sorted(map(str, expected))}"
        pairs = [(f"[{key}]", expected[key], found[key]) for key in expected]
    elif isinstance(expected, list | tuple):
        if len(expected) != len(found):
            return f"{path} has {len(found)} entries, not {len(expected)}"
        pairs = [(f"[{i}]", a, b) for i, (a, b) in enumerate(zip(expected, found, strict=True))]
    elif isinstance(expected, float):
        close = expected == found or abs(expected - found) <= tolerance * max(abs(expected), 1.0)
        both_nan = math.isnan(expected) and math.isnan(found)
        return "" if close or both_nan else f"{path} is {found:g}, not {expected:g}"
    else:
        return "" if expected == found else f"{path} is {found!r}, not {expected!r}"
    return next((d for name, a, b in pairs if (d := difference(a, b, tolerance, path + name))), "")
