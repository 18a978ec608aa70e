"""How much a file may ask for: limits, what is left of them, and the refusal that ends a reading."""

from __future__ import annotations

from dataclasses import dataclass


class Refused(Exception):  # noqa: N818 - the reader's one way out, told to the user as a UserError
    """Why a file is not read: ``what`` it does, after the file's name, and what ``todo`` about it."""

    def __init__(self, what: str, todo: str = "get the file anew from where it was published") -> None:
        super().__init__(f"{what}; {todo}")


@dataclass(frozen=True)
class Limits:
    """The most that one file may have; the defaults are several times what the largest published StyleGAN2 has.

    ``file`` bytes on disk, and as many again of files in it, each counted as often as it is read; ``memory`` bytes that
    reading makes beside those (inflated, decoded, widened, copied); ``arrays`` bytes of all arrays of the result, each
    counted as if it were a copy; ``opcodes`` of all pickles in the file, each counted as often as it is run, which
    costs at most some 300 bytes beside ``memory``; ``items`` of the result, walked as a tree; ``depth`` of that
    tree; ``nested`` files in files (gzip, storages).
    """

    file: int = 4 << 30
    memory: int = 2 << 30
    arrays: int = 4 << 30
    opcodes: int = 1_000_000
    items: int = 1_000_000
    depth: int = 200
    nested: int = 4


class Budget:
    """What is left of ``limits`` while a file is read."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.opcodes = limits.opcodes
        self._memory = limits.memory
        self._arrays = limits.arrays
        self._inside = limits.file

    def memory(self, count: int) -> None:
        """Take ``count`` bytes, before they are made."""
        self._memory -= count
        if self._memory < 0:
            raise too_large("memory", self.limits.memory)

    def array(self, count: int) -> None:
        """Take the ``count`` bytes that an array would fill."""
        self._arrays -= count
        if self._arrays < 0:
            raise too_large("arrays", self.limits.arrays)

    def inside(self, count: int) -> None:
        """Take the ``count`` bytes of a file in the file, before it is read."""
        self._inside -= count
        if self._inside < 0:
            raise too_large("bytes of files in it", self.limits.file)

    @property
    def memory_left(self) -> int:
        return self._memory


def too_large(what: str, limit: int) -> Refused:
    """The refusal of a file that asks for more than ``limit`` of ``what``."""
    return Refused(f"asks for more than the {limit:,} that a file may have of: {what}")


def shown(text: str) -> str:
    """Text from a file, fit to be shown: one line, no control characters, short."""
    return "".join(c if " " <= c <= "~" else "?" for c in text[:100]) + ("..." if len(text) > 100 else "")
