"""Mutated files, one after the other, through a process that reads and converts them and may die of it."""

from __future__ import annotations

import hashlib
import multiprocessing
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from draggan_runtime import models
from draggan_runtime.inert.fuzz.mutations import mutate
from draggan_runtime.inert.fuzz.samples import samples
from draggan_runtime.inert.fuzz.worker import serve

GOOD = ("converted", "read", "refused")
BAD = ("ran", "crashed", "hung", "over memory")
_START = 60.0


class Reader:
    """A process that reads, as ``serve`` does."""

    def __init__(self, warm: list[bytes], serve: Callable[..., None] = serve) -> None:
        context = multiprocessing.get_context("spawn")
        self._line, theirs = context.Pipe()
        self._folder = tempfile.TemporaryDirectory(prefix="draggan-fuzz-")
        self._process = context.Process(target=serve, args=(theirs, warm, Path(self._folder.name)), daemon=True)
        self._process.start()
        theirs.close()
        self._wait = _START

    def read(self, data: bytes, seconds: float) -> tuple[str, str]:
        """What came of ``data``, as :func:`~draggan_runtime.inert.fuzz.worker.serve` says, or of the process."""
        wait, self._wait = max(self._wait, seconds), 0.0
        try:
            self._line.send_bytes(data)
            if not self._line.poll(wait):
                return "hung", f"no answer in {wait:.0f} s"
            came, text = self._line.recv()
        except (EOFError, OSError):
            self._process.join()
            return "crashed", f"the process ended ({self._process.exitcode})"
        return came, text

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.join()
        self._line.close()
        self._folder.cleanup()


def fuzz(
    files: int,
    seed: int,
    seconds: float,
    out: Path,
    show: Callable[[int, str], None] = lambda *_: None,
    go_on: Callable[[], bool] = lambda: True,
) -> dict[str, Any]:
    """Read ``files`` mutated ones, each for at most ``seconds``; those that do harm are kept in the folder ``out``.

    How many were converted as models, were but read, were refused or did which harm.
    """
    begin = time.monotonic()
    whole = [*samples(), *(sample for library in models.libraries() for sample in library.samples())]
    counts: Counter[str] = Counter()
    kept: list[str] = []
    reader = Reader(whole)
    try:
        for number in range(files):
            if not go_on():
                break
            chance = random.Random(f"{seed} {number}")  # noqa: S311 - each file can be had again
            data = mutate(chance.choice(whole), whole, chance) or b"\0"
            came, text = reader.read(data, seconds)
            counts[came] += 1
            if came in BAD:
                kept.append(_keep(out, data, came, text))
                reader.close()
                reader = Reader(whole)
            show(number + 1, f"{counts['read'] + counts['converted']} read, {sum(counts[name] for name in BAD)} bad")
    finally:
        reader.close()
    figures: dict[str, Any] = {"files": counts.total(), **{name: counts[name] for name in (*GOOD, *BAD)}}
    return figures | {"seconds": time.monotonic() - begin, "kept": kept}


def failed(result: dict[str, Any]) -> bool:
    """True if a file did harm."""
    return any(result[name] for name in BAD)


def _keep(out: Path, data: bytes, came: str, text: str) -> str:
    out.mkdir(parents=True, exist_ok=True)
    file = out / f"{came.replace(' ', '-')}-{hashlib.sha256(data).hexdigest()[:12]}"
    file.write_bytes(data)
    file.with_suffix(".txt").write_text(text + "\n")
    return str(file)
