"""The process that reads: with a bound on its memory, and a hook that hears all it does beside reading."""

from __future__ import annotations

import ctypes
import functools
import os
import resource
import sys
from collections.abc import Callable, Iterable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from draggan_runtime import models
from draggan_runtime.errors import UserError
from draggan_runtime.inert import Limits, Record, parse

#: Small, so that a file that gets round them is seen.
LIMITS = Limits(file=64 << 20, memory=64 << 20, arrays=64 << 20, opcodes=200_000, items=200_000)
#: Bytes that reading may take with these limits: memory, opcodes, the result's copy that is made below.
_ROOM = LIMITS.memory + 300 * LIMITS.opcodes + LIMITS.arrays + (64 << 20)

#: Bytes more that a conversion may take: numbers widened and copied, the statistics of 10,000 w.
_CONVERTING = 2 << 30

#: What a conversion does with files, and how many paths it names. Harmless in the folder that it was told.
_PATHS = {"open": 1, "os.mkdir": 1, "os.remove": 1, "os.rename": 2}
#: The class of classes of arrays of ctypes, which safetensors makes for each length that it writes.
_ARRAY_CLASS = type(ctypes.c_ubyte * 1)


def serve(line: Connection, warm: Iterable[bytes], folder: Path) -> None:
    """Answer each file with what came of it and what to say of that; ``warm`` are tried first, unwatched.

    ``converted``, ``read``, ``refused``, ``over memory``, ``ran`` (something happened that is no reading, or not in
    ``folder``), ``crashed``.
    """
    heard: list[str] = []
    watching = False

    def hear(event: str, args: tuple[Any, ...]) -> None:
        if watching and not _harmless(folder, event, args):
            heard.append(f"{event} {str(args)[:100]}")

    def watched(step: Callable[[], str]) -> tuple[str, str]:
        nonlocal watching
        watching = True
        came, text = _outcome(step)
        watching = False
        if heard:
            came, text = "ran", "; ".join(heard)
            heard.clear()
        return came, text

    libraries, file = models.libraries(), folder / "file"
    for data in warm:  # what is imported late is
        file.write_bytes(data)
        for step in (lambda: _read(file.read_bytes()), lambda: _convert(libraries, file)):
            _outcome(step)
    sys.addaudithook(hear)
    bound = _in_use() + _ROOM
    most = bound + _CONVERTING
    resource.setrlimit(resource.RLIMIT_AS, (bound, most))
    while data := line.recv_bytes():
        came, text = watched(functools.partial(_read, data))
        if came == "read" or data[8:9] == b"{":  # as safetensors begin, which only libraries read
            resource.setrlimit(resource.RLIMIT_AS, (most, most))
            file.write_bytes(data)
            found = watched(functools.partial(_convert, libraries, file))
            resource.setrlimit(resource.RLIMIT_AS, (bound, most))
            if (came, found[0]) != ("read", "refused"):  # most of what can be read is no model
                came, text = found
        line.send((came, text))


def _harmless(folder: Path, event: str, args: tuple[Any, ...]) -> bool:
    if event == "builtins.id" or (event == "object.__setattr__" and type(args[0]) is _ARRAY_CLASS):
        return True
    paths = args[: _PATHS.get(event, 0)]
    return bool(paths) and all(Path(os.path.abspath(str(path))).is_relative_to(folder) for path in paths)


def _outcome(step: Callable[[], str]) -> tuple[str, str]:
    """What came of a step: its word, or how it ended otherwise and what was said."""
    try:
        return step(), ""
    except UserError as error:
        if isinstance(error.__cause__, MemoryError):
            return "over memory", str(error)
        return ("refused" if str(error).isprintable() else "crashed"), str(error)
    except MemoryError:
        return "over memory", "its copy"
    except BaseException as error:  # SystemExit is what a hostile file might raise
        return "crashed", repr(error)


def _read(data: bytes) -> str:
    _touch(parse(data, "file", LIMITS))
    return "read"


def _convert(libraries: Iterable[models.ModelLibrary], file: Path) -> str:
    error = UserError("no library")
    for library in libraries:
        try:
            library.convert(file, file.with_suffix(".safetensors"))
            return "converted"
        except UserError as refused:
            error = refused
    raise error


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
