"""``draggan bench edit`` and ``render``: how long a person waits."""

from __future__ import annotations

import statistics
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from draggan_runtime.cli.bench_session import Choice, device_name, device_of, here, oval, points, stages, timed_drag
from draggan_runtime.cli.bench_step import (
    ConfigOption,
    DeviceOption,
    LayoutOption,
    MaskOption,
    ModelOption,
    PointsOption,
    WholeMapOption,
)
from draggan_runtime.cli.common import Format, FormatOption, SetOption, override, print_json
from draggan_runtime.cli.measure import PeakMemory, convolution_rate, flops, median

WAYS = ((24, 0), (-24, 0), (0, 24), (0, -24))  # px at 512


def edit(
    edits: Annotated[int, typer.Option(min=1, help="How many seeds, one drag each.")] = 12,
    points_: PointsOption = 1,
    mask: MaskOption = False,
    model: ModelOption = "ffhq",
    device: DeviceOption = "auto",
    layout: LayoutOption = "local",
    whole_map: WholeMapOption = False,
    max_steps: Annotated[int, typer.Option(min=1, help="Latent updates at most.")] = 300,
    seed: Annotated[int, typer.Option(min=0, help="The first seed.")] = 0,
    config: ConfigOption = None,
    set_: SetOption = None,
    format_: FormatOption = Format.table,
) -> None:
    """Time whole drags, of 24 px at 512 to the right, left, down and up in turn: seconds and steps until arrival.

    \b
    draggan bench edit
    draggan bench edit --mask --edits 4 --format json

    Seconds are from the start of the drag to its last step; the full picture comes after that (draggan bench render).
    """
    choice = Choice(model, layout, device, config, tuple(set_ or ()))
    runs = []
    with choice.open(seed, override("generator.whole_map", whole_map)) as session:
        where = device_of(session)
        timed_drag(session, points(points_, choice.size), 3)  # warms up
        memory = PeakMemory(where)
        for i in range(edits):
            session.seed(seed + i)
            session.mask(oval(choice.size) if mask else None)
            pairs = points(points_, choice.size, WAYS[i % len(WAYS)])
            runs.append({"seed": seed + i, **timed_drag(session, pairs, max_steps)})
        inside = here(session)
        found = {
            "model": model,
            "device": device_name(where),
            "layout": layout,
            "points": points_,
            "mask": mask,
            "whole_map": whole_map,
            "edits": edits,
            "arrived": sum(run["stopped"] == "reached" for run in runs),
            "steps": median(runs, "steps"),
            "seconds": median(runs, "seconds"),
            "ms_per_step": median(runs, "ms_per_step"),
            "ms_by_stage": stages(runs) if inside else None,
            "peak_memory_mb": memory.now() if inside else None,
        }
    if format_ is Format.json:
        print_json({**found, "each": runs})
        return
    table = Table("seed", "stopped", "steps", "seconds", "ms per step")
    for run in runs:
        table.add_row(
            str(run["seed"]), run["stopped"], str(run["steps"]), f"{run['seconds']:.2f}", f"{run['ms_per_step']:.1f}"
        )
    table.add_section()
    last = f"{found['steps']:g}", f"{found['seconds']:.2f}", f"{found['ms_per_step']:.1f}"
    table.add_row("median", f"{found['arrived']} of {edits} arrived", *last)
    Console().print(table)
    if inside:
        Console().print("ms by stage: " + ", ".join(f"{name} {ms:.1f}" for name, ms in found["ms_by_stage"].items()))


def render(
    pictures: Annotated[int, typer.Option(min=1, help="How many seeds.")] = 12,
    model: ModelOption = "ffhq",
    device: DeviceOption = "auto",
    seed: Annotated[int, typer.Option(min=0, help="The first seed.")] = 0,
    config: ConfigOption = None,
    set_: SetOption = None,
    format_: FormatOption = Format.table,
) -> None:
    """Time full pictures, in one process: ms from the latent to uint8 pixels.

    \b
    draggan bench render --model stylegan2:1024
    """
    choice = Choice(model, "local", device, config, tuple(set_ or ()))
    took = []
    with choice.open(seed) as session:
        where = device_of(session)
        with flops() as count:
            session.seed(seed)
            done = count()
        memory = PeakMemory(where)
        for i in range(pictures):
            before = session.app.node_seconds()["renderer"]
            session.seed(seed + i)
            took.append((session.app.node_seconds()["renderer"] - before) * 1e3)
        ms = statistics.median(took)
        found: dict[str, Any] = {
            "model": model,
            "device": device_name(where),
            "size": list(choice.size),
            "pictures": pictures,
            "ms_per_picture": ms,
            "flops_per_picture": done,
            "fraction_of_peak": done / (ms / 1e3) / convolution_rate(where),
            "peak_memory_mb": memory.now(),
        }
    if format_ is Format.json:
        print_json(found)
        return
    table = Table("", "full picture")
    table.add_row("ms", f"{ms:.0f}")
    table.add_row("FLOPs", f"{done:.3g}")
    table.add_row("of the machine's peak", f"{found['fraction_of_peak']:.0%}")
    table.add_row("peak memory, MB", f"{found['peak_memory_mb']:.0f}")
    Console().print(f"{model}, {found['device']}, {' x '.join(map(str, choice.size))}")
    Console().print(table)
