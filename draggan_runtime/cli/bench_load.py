"""``draggan bench load``: what a file of weights costs until it can be drawn with, beside merely reading its bytes."""

from __future__ import annotations

import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from draggan_runtime import inert, models
from draggan_runtime.cli.common import Format, FormatOption, print_json
from draggan_runtime.cli.measure import PeakMemory
from draggan_runtime.cli.models import with_its_library
from draggan_runtime.cli.tables import table_of
from draggan_runtime.errors import UserError

_NAME = "measured"
_BYTES, _DATA, _ADD, _LOAD = "its bytes", "as data", "converted and kept", "loaded from safetensors"


def load(
    file: Annotated[Path, typer.Argument(help="Weights: a pickle or a torch file.")],
    repeats: Annotated[int, typer.Option(min=1)] = 3,
    format_: FormatOption = Format.table,
) -> None:
    """Time what happens to a file of weights: read, read as data, converted once, loaded ever after.

    \b
    draggan bench load stylegan2-ffhq-1024x1024.pkl

    Each in a process of its own; medians. Memory is the most that was taken beyond the program and its libraries, on
    the CPU. What is converted is kept in a temporary folder only.
    """
    if not file.is_file():
        raise UserError(f"there is no file {file}; give one of weights")
    with tempfile.TemporaryDirectory(prefix="draggan-") as cache:
        rows = [_row(what, file, cache, repeats) for what in _STEPS]
    for row in rows:
        row["to_bytes"] = row["seconds"] / rows[0]["seconds"]
        row["memory_to_bytes"] = row["peak_memory_mb"] / (file.stat().st_size / 1e6)
    if format_ is Format.json:
        print_json(rows)
        return
    table = table_of("", right=("seconds", "to its bytes", "memory, MB", "to its size"))
    for row in rows:
        memory = f"{row['peak_memory_mb']:.0f}", f"{row['memory_to_bytes']:.2f}"
        table.add_row(row["what"], f"{row['seconds']:.2f}", f"{row['to_bytes']:.1f}", *memory)
    Console().print(f"{file.name}, {file.stat().st_size / 1e6:.0f} MB", markup=False, highlight=False)
    Console().print(table)


def _row(what: str, file: Path, cache: str, repeats: int) -> dict[str, Any]:
    runs = [_measured(what, file, cache) for _ in range(repeats)]
    seconds, megabytes = (statistics.median(each) for each in zip(*runs, strict=True))
    return {"what": what, "seconds": seconds, "peak_memory_mb": megabytes}


def _measured(what: str, file: Path, cache: str) -> tuple[float, float]:
    """In a fresh process: what another step left in memory would be used again, and hide what this one takes."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(_measure, what, file, cache).result()


def _measure(what: str, file: Path, cache: str) -> tuple[float, float]:
    """Seconds, and MB beyond what the process took before."""
    os.environ["DRAGGAN_CACHE"] = cache
    models.libraries()  # imports what reads, converts and draws
    memory = PeakMemory("cpu")
    started = time.perf_counter()
    kept = _STEPS[what](file)  # until the memory is read
    seconds = time.perf_counter() - started
    taken = memory.now() - memory.before
    del kept
    return seconds, taken


_STEPS: dict[str, Callable[[Path], Any]] = {
    _BYTES: Path.read_bytes,
    _DATA: inert.read,
    _ADD: lambda file: with_its_library(file, lambda library: library.add(file, _NAME, "")),
    _LOAD: lambda file: models.find(_NAME).load("cpu"),
}
