"""What lies on a pickle's stack and is no data: functions that are ours, names of classes, objects half built."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from draggan_runtime.inert.limits import Budget, Refused, shown, too_large

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True)
class Load:
    """The reading of a file: what is ``left`` of the limits, and how many files lie around this one."""

    left: Budget
    inside: int = 0

    def nested(self) -> Load:
        """The reading of a file in this one. Raises Refused: too many of them in each other."""
        if self.inside >= self.left.limits.nested:
            raise too_large("files in files", self.left.limits.nested)
        return Load(self.left, self.inside + 1)


@dataclass(frozen=True)
class Function:
    """Stands for a function that files name: ``call`` is ours, and gives what that would give as data."""

    name: str
    call: Callable[..., Any]


@dataclass(frozen=True)
class Kind:
    """Stands for a class that files may name, as in :class:`~draggan_runtime.inert.record.Record`."""

    module: str
    name: str
    source: str | None = None

    def __str__(self) -> str:
        return shown(f"{self.module}.{self.name}")


@dataclass(eq=False)
class Shell:
    """An object that has no data before BUILD; ``built`` makes of the state what takes its place.

    ``memo``: where the pickle remembers it.
    """

    built: Callable[[Load, Any], Any]
    memo: list[int] = field(default_factory=list)


_KEYS = frozenset((str, bytes, int, bool, float, type(None)))
#: Hashes of integers below it are the integers themselves, so nobody can make a million of them collide.
_HASH_MODULUS = 2**61 - 1


def same(value: Any, expected: str | int) -> bool:
    """True if ``value`` is ``expected``. Arrays are not asked, who would compare each of their numbers."""
    return type(value) is type(expected) and bool(value == expected)


def key(value: Any) -> Any:
    """``value``, if it may be a key of a dict or an item of a set."""
    if type(value) not in _KEYS or (type(value) is int and abs(value) >= _HASH_MODULUS):
        raise Refused(f"has a {type(value).__name__} for a key, where only text and plain numbers may be")
    return value


def mapping(pairs: Iterable[tuple[Any, Any]]) -> dict[Any, Any]:
    """A dict of such keys."""
    return {key(name): value for name, value in pairs}


def natural(value: Any) -> int:
    """``value``, if it is an integer of at least 0."""
    if type(value) is not int or value < 0:
        raise Refused("is damaged: a size is no number", "get it anew")
    return value


def naturals(values: Any) -> tuple[int, ...]:
    """A tuple of such numbers, of a length that a shape may have."""
    if type(values) not in (tuple, list) or len(values) > 32:
        raise Refused("is damaged: a shape is no list of numbers", "get it anew")
    return tuple(natural(value) for value in values)


def raw(load: Load, value: Any) -> bytes | memoryview:
    """Bytes, which from Python 2 come as text."""
    if type(value) is str:
        load.left.memory(len(value))
        return value.encode("latin1")
    if type(value) is bytes or type(value) is memoryview:
        return value
    raise Refused("is damaged: something else stands where bytes should", "get it anew")
