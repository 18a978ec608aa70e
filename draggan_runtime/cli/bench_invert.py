"""``draggan bench invert``: how long a photo takes, and how much memory, by the way its latent is looked for."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from draggan_runtime import trainings
from draggan_runtime.cli.bench_session import Choice, device_name, device_of, here
from draggan_runtime.cli.bench_step import ConfigOption, DeviceOption, LayoutOption, ModelOption
from draggan_runtime.cli.common import Format, FormatOption, SetOption, print_json
from draggan_runtime.cli.measure import PeakMemory
from draggan_runtime.errors import UserError
from draggan_runtime.evaluation.methods import Method, of_kind, parse
from draggan_runtime.inversion_files import scores
from draggan_runtime.messages import Inverting
from draggan_runtime.photos import load_photo
from draggan_runtime.pictures import Pixels


def invert(
    photo: Annotated[
        Path | None, typer.Argument(help="A photo; none: the picture of a seed.", show_default=False)
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option("--method", metavar="NAME[:K=V,K=V]", help="As for draggan eval inversion; none: all of them."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Without a photo: whose picture.")] = 7,
    model: ModelOption = "ffhq",
    device: DeviceOption = "auto",
    layout: LayoutOption = "local",
    config: ConfigOption = None,
    set_: SetOption = None,
    format_: FormatOption = Format.table,
) -> None:
    """Time one inversion by each method: seconds, ms of a step, memory at most, and how like the photo it came out.

    \b
    draggan bench invert
    draggan bench invert me.jpg --method optimise --method pivotal

    Memory is that of the whole process, in layouts that have but one; models and networks are loaded before.
    """
    choice = Choice(model, layout, device, config, tuple(set_ or ()))
    pixels = load_photo(photo) if photo is not None else None
    rows = [_timed(choice, row, pixels, seed) for row in (parse(method) if method else _ready(model))]
    if format_ is Format.json:
        print_json(rows)
        return
    table = Table("method", "steps", "seconds", "ms per step", "peak memory, MB", "PSNR, dB", "hed-vgg16 distance")
    for row in rows:
        memory = "" if row["peak_memory_mb"] is None else f"{row['peak_memory_mb']:.0f}"
        looks = f"{row['psnr']:.1f}", f"{row['hed_vgg16_distance']:.2f}" if "hed_vgg16_distance" in row else ""
        table.add_row(
            row["method"], str(row["steps"]), f"{row['seconds']:.1f}", f"{row['ms_per_step']:.0f}", memory, *looks
        )
    Console().print(f"{model}, {rows[0]['device']}")
    Console().print(table)


def _ready(model: str) -> list[Method]:
    """Those that need nothing which has not been trained yet."""
    rows = []
    for row in of_kind("inversions").values():
        try:
            if row.needs:
                trainings.digest(row.needs, model)
        except UserError:
            continue
        if row.edits:
            rows.append(row)
    return rows


def _timed(choice: Choice, method: Method, photo: Pixels | None, seed: int) -> dict[str, Any]:
    with choice.open(seed, *method.overrides) as session:
        height, width = (session.image() if photo is None else photo).shape[:2]
        given, box = (session.image(), (0, 0, width, height)) if photo is None else (photo, None)
        session.invert(given, box=box, progress=lambda _: False)  # loads what it needs
        where = device_of(session)
        memory = PeakMemory(where)
        marks: list[tuple[int, float]] = []

        def mark(now: Inverting) -> None:
            marks.append((now.done, time.monotonic()))

        found = session.invert(given, box=box, progress=mark)
        (first, started), (last, ended) = marks[0], marks[-1]
        return {
            "method": method.name,
            "device": device_name(where),
            "steps": found.steps,
            "seconds": found.seconds,
            "ms_per_step": (ended - started) / max(last - first, 1) * 1e3,
            "peak_memory_mb": memory.now() if here(session) else None,
            **scores(found.piece, found.picture),
        }
