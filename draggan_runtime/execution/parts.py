"""A session's states in parts, so that after a step only those that changed need to be sent and kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

#: Where a part is: the node's id, then the keys of its snapshot's mappings, from the outermost in.
Path = tuple[Any, ...]
Parts = dict[Path, Any]


@dataclass(frozen=True)
class Delta:
    """What changed: the parts that are new or different, and the paths of those that are gone."""

    new: Parts = field(default_factory=dict)
    gone: tuple[Path, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.new or self.gone)

    def then(self, later: Delta) -> Delta:
        """Both, this one first."""
        new = {path: part for path, part in self.new.items() if path not in later.gone} | later.new
        return Delta(new, tuple({*self.gone, *later.gone} - new.keys()))


def flat(snapshot: Mapping[Any, Any], at: Path = ()) -> Parts:
    """The parts of nested mappings. An empty one is a part itself."""
    parts: Parts = {}
    for key, value in snapshot.items():
        if isinstance(value, Mapping) and value:
            parts.update(flat(value, (*at, key)))
        else:
            parts[*at, key] = value
    return parts


def nested(parts: Mapping[Path, Any]) -> dict[Any, Any]:
    """The nested mappings that :func:`flat` took apart."""
    whole: dict[Any, Any] = {}
    for path, part in parts.items():
        inner = whole
        for key in path[:-1]:
            inner = inner.setdefault(key, {})
        inner[path[-1]] = part
    return whole


def between(before: Mapping[Path, Any], after: Mapping[Path, Any]) -> Delta:
    """What turns ``before`` into ``after``. Arrays and tensors are the same only if they are the same object."""
    new = {path: part for path, part in after.items() if path not in before or not _same(before[path], part)}
    return Delta(new, tuple(path for path in before if path not in after))


def apply(parts: Parts, delta: Delta) -> None:
    """Change ``parts`` by ``delta``."""
    for path in delta.gone:
        parts.pop(path, None)
    parts.update(delta.new)


def size(parts: Iterable[Any]) -> int:
    """Bytes of the arrays among ``parts``, those in lists included."""
    return sum(
        part.nbytes if isinstance(part, np.ndarray) else size(part) if isinstance(part, list | tuple) else 0
        for part in parts
    )


def _same(a: Any, b: Any) -> bool:
    if a is b:
        return True
    plain = (str, int, float, bool, type(None), tuple, frozenset)
    if not (isinstance(a, plain) and isinstance(b, plain)):
        return False
    try:
        return type(a) is type(b) and bool(a == b)
    except (ValueError, RuntimeError):  # arrays within a tuple
        return False
