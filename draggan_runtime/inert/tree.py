"""The last look at a result: that it is data throughout, and can be walked without end or surprise."""

from __future__ import annotations

from typing import Any

import numpy as np

from draggan_runtime.inert.limits import Limits, Refused, too_large
from draggan_runtime.inert.pieces import Function, Kind
from draggan_runtime.inert.record import Record

_LEAVES = frozenset((str, bytes, memoryview, int, float, bool, type(None), complex, np.ndarray, set, frozenset))


def check(root: Any, limits: Limits) -> None:
    """Raises Refused unless ``root`` is a tree of data of at most ``limits.depth`` and ``limits.items``.

    Parts may be shared; each counts as often as it is met. What holds itself is refused.
    """
    known: dict[int, tuple[int, int]] = {}  # by id, the depth and number of items of what was looked at
    around: set[int] = set()
    todo = [(root, False)]
    while todo:
        value, seen = todo.pop()
        if type(value) in _LEAVES or id(value) in known:
            continue
        parts = _parts(value)
        if not seen:
            if id(value) in around:
                raise Refused("holds an object that holds itself")
            around.add(id(value))
            todo.append((value, True))
            todo.extend((part, False) for part in parts)
            continue
        around.remove(id(value))
        inner = [known.get(id(part), (0, 1)) for part in parts]
        depth = 1 + max((depth for depth, _ in inner), default=0)
        items = 1 + sum(items for _, items in inner)
        if depth > limits.depth:
            raise too_large("depth of what it holds", limits.depth)
        if items > limits.items:
            raise too_large("items", limits.items)
        known[id(value)] = depth, items


def _parts(value: Any) -> list[Any]:
    """What ``value`` holds, which must be of a type that holds something."""
    kind = type(value)
    if kind is dict:
        return list(value.values())
    if kind is list or kind is tuple:
        return list(value)
    if kind is Record:
        return [*value.args, value.state]
    if kind is Kind or kind is Function:
        name = value.name if kind is Function else str(value)
        raise Refused(f"holds {name} itself, where only data may be")
    raise Refused(f"holds a {kind.__name__}, which is no data")
