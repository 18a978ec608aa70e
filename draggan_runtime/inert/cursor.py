"""A place in the bytes of a pickle, and the arguments that opcodes have there."""

from __future__ import annotations

import sys

from draggan_runtime.inert.limits import Budget, Refused, too_large

#: Byte strings from this length on are views of the file.
LONG = 1 << 16
#: Text and byte strings of protocol 0 are lines.
_LONGEST_LINE = 1 << 24


class Cursor:
    """``at`` in ``data``. What would lie behind the end is refused, whatever length the file declares."""

    def __init__(self, data: memoryview, at: int, budget: Budget) -> None:
        self.data = data
        self.at = at
        self.budget = budget

    def byte(self) -> int:
        at = self.at
        if at >= len(self.data):
            raise cut_short()
        self.at = at + 1
        return self.data[at]

    def take(self, count: int) -> memoryview:
        """The next ``count`` bytes, not copied."""
        at = self.at
        if not 0 <= count <= len(self.data) - at:
            raise cut_short()
        self.at = at + count
        return self.data[at : at + count]

    def number(self, size: int, signed: bool = False) -> int:
        """An integer of ``size`` bytes, little endian."""
        return int.from_bytes(self.take(size), "little", signed=signed)

    def blob(self, size: int) -> bytes | memoryview:
        """Bytes after their length, itself of ``size`` bytes."""
        data = self.take(self.number(size))
        if len(data) >= LONG:
            return data
        self.budget.memory(len(data))  # a pickle in the file may be read again and again, and copied each time
        return bytes(data)

    def text(self, size: int, encoding: str = "utf-8") -> str:
        """Text after its length, itself of ``size`` bytes."""
        data = self.take(self.number(size))
        if 4 * len(data) > self.budget.memory_left:  # what characters take if one of them is an emoji
            raise too_large("memory", self.budget.limits.memory)
        text = str(data, encoding)
        self.budget.memory(sys.getsizeof(text))
        return text

    def line(self, what: str = "line", most: int = _LONGEST_LINE) -> bytes:
        """What stands before the next end of line; ``most`` bytes, else it is refused as a ``what``."""
        size = min(256, most + 1)
        while True:
            part = bytes(self.data[self.at : self.at + size])
            if (end := part.find(b"\n")) >= 0:
                self.at += end + 1
                self.budget.memory(end)
                return part[:end]
            if len(part) < size:
                raise cut_short()
            if size > most:
                raise Refused(f"holds a {what} of more than {most:,} bytes", "get it anew")
            size = min(4 * size, most + 1)


def cut_short() -> Refused:
    """The refusal of a file that ends too early."""
    return Refused("is cut short or damaged", "get it anew")
