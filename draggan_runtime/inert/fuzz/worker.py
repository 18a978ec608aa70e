"""The process that reads: with a bound on its memory, and a hook that hears all it does beside reading."""

from __future__ import annotations

import resource
import sys
from collections.abc import Iterable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from draggan_runtime.errors import UserError
from draggan_runtime.inert import Limits, Record, parse

#: Small, so that a file that gets round them is seen.
LIMITS = Limits(file=64 << 20, memory=64 << 20, arrays=64 << 20, opcodes=200_000, items=200_000)
#: Bytes that reading may take with these limits: memory, opcodes, the result's copy that is made below.
_ROOM = LIMITS.memory + 300 * LIMITS.opcodes + LIMITS.arrays + (64 << 20)

_HARMLESS = ("builtins.id",)


def serve(line: Connection, warm: Iterable[bytes]) -> None:
    """Answer each file with what came of it and what to say of that; ``warm`` are read first, unwatched.

    ``read``, ``refused``, ``over memory``, ``ran`` (something happened that is no reading), ``crashed``.
    """
    heard: list[str] = []
    watching = False

    def hear(event: str, args: tuple[Any, ...]) -> None:
        if watching and event not in _HARMLESS:
            heard.append(f"{event} {str(args)[:100]}")

    for data in warm:  # what is imported late is
        parse(data, "sample", LIMITS)
    sys.addaudithook(hear)
    bound = _in_use() + _ROOM
    resource.setrlimit(resource.RLIMIT_AS, (bound, bound))
    while data := line.recv_bytes():
        watching = True
        came, text = _read(data)
        watching = False
        if heard:
            came, text = "ran", "; ".join(heard)
            heard.clear()
        line.send((came, text))


def _read(data: bytes) -> tuple[str, str]:
    try:
        _touch(parse(data, "file", LIMITS))
    except UserError as error:
        if isinstance(error.__cause__, MemoryError):
            return "over memory", str(error)
        return ("refused" if str(error).isprintable() else "crashed"), str(error)
    except MemoryError:
        return "over memory", "its copy"
    except BaseException as error:  # SystemExit is what a hostile file might raise
        return "crashed", repr(error)
    return "read", ""


def _touch(value: Any) -> None:
    """Look at all of a result, as who uses it would: recursively, and at every number."""
    if isinstance(value, np.ndarray):
        value.tobytes()
    elif type(value) is dict:
        for name, part in value.items():
            _touch(name)
            _touch(part)
    elif type(value) in (list, tuple, set, frozenset):
        for part in value:
            _touch(part)
    elif type(value) is Record:
        _touch((value.args, value.state))
    elif type(value) not in (str, bytes, memoryview, int, float, bool, type(None), complex):
        raise TypeError(f"a {type(value)} is no data")


def _in_use() -> int:
    """Bytes of address space of this process."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
