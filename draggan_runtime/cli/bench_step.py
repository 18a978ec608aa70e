"""``draggan bench step``: what a step costs, and of what."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from draggan_runtime import api
from draggan_runtime.cli.bench_session import Choice, device_name, device_of, here, oval, points, stages, timed_drag
from draggan_runtime.cli.common import Format, FormatOption, SetOption, override, print_json
from draggan_runtime.cli.measure import PeakMemory, convolution_rate, flops, median

ModelOption = Annotated[str, typer.Option(help="Model; see draggan models list.")]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda:0.")]
LayoutOption = Annotated[str, typer.Option(help="Launch file or name.")]
PointsOption = Annotated[int, typer.Option("--points", min=1, help="1: the nose; 68: a face's landmarks.")]
MaskOption = Annotated[bool, typer.Option("--mask", help="Only the face may move.")]
WholeMapOption = Annotated[bool, typer.Option("--whole-map", help="The plain way: whole feature maps.")]
ConfigOption = Annotated[str | None, typer.Option(help="Parameter preset, instead of the one named as the model.")]


def step(
    points_: PointsOption = 1,
    mask: MaskOption = False,
    model: ModelOption = "ffhq",
    device: DeviceOption = "auto",
    layout: LayoutOption = "local",
    whole_map: WholeMapOption = False,
    compare: Annotated[bool, typer.Option("--compare", help="Both ways, in turn, and their ratio.")] = False,
    steps: Annotated[int, typer.Option(min=2, help="Latent updates a repeat.")] = 20,
    repeats: Annotated[int, typer.Option(min=1)] = 3,
    seed: Annotated[int, typer.Option(min=0)] = 7,
    config: ConfigOption = None,
    set_: SetOption = None,
    format_: FormatOption = Format.table,
) -> None:
    """Time the steps of a drag: ms, by stage too, arithmetic, the part of the machine's speed that is used, memory.

    \b
    draggan bench step
    draggan bench step --points 68 --compare
    draggan bench step --model stylegan2:1024 --mask --compare

    fraction_of_peak is of the rate that a large 3x3 convolution reaches here. session_memory_mb is what drags and
    pictures take at most on top of the program, its model and the first picture. Stages, arithmetic and memory are
    known where the layout has one process, memory for one way alone. With --compare the two run in turn, so that a
    machine whose speed drifts does not favour one.
    """
    choice = Choice(model, layout, device, config, tuple(set_ or ()))
    ways = (False, True) if compare else (whole_map,)
    rows = _measure(choice, points_, mask, ways, steps, repeats, seed)
    if format_ is Format.json:
        print_json(rows if compare else rows[0])
        return
    table = Table("", *("whole map" if row["whole_map"] else "boxes" for row in rows), *(["ratio"] if compare else []))
    for key, label, form in _LINES:
        values = [row[key] for row in rows]
        if any(value is None for value in values):
            continue
        ratio = [f"{values[1] / values[0]:.2f}"] if compare and form != "{}" else []
        table.add_row(label, *(form.format(value) for value in values), *ratio)
    for name in rows[0]["ms_by_stage"] or ():
        table.add_row(f"  {name}, ms", *(f"{row['ms_by_stage'].get(name, 0.0):.1f}" for row in rows))
    Console().print(f"{model}, {rows[0]['device']}, {points_} points{', mask' if mask else ''}, {layout}")
    Console().print(table)


_LINES = (
    ("ms_per_step", "ms per step", "{:.1f}"),
    ("flops_per_step", "FLOPs per step", "{:.3g}"),
    ("fraction_of_peak", "of the machine's peak", "{:.1%}"),
    ("peak_memory_mb", "peak memory, MB", "{:.0f}"),
    ("session_memory_mb", "of it a session's, MB", "{:.0f}"),
)


def _measure(
    choice: Choice, count: int, mask: bool, ways: tuple[bool, ...], steps: int, repeats: int, seed: int
) -> list[dict[str, Any]]:
    pairs = points(count, choice.size)
    lasting = [override("drag.min_confidence", 0), override("generator.whole_map", ways[0])]
    runs: dict[bool, list[dict[str, Any]]] = {way: [] for way in ways}
    counted: dict[bool, int | None] = dict.fromkeys(ways)
    memory: PeakMemory | None = None
    with choice.open(seed, *lasting) as session:
        inside = here(session)
        device = device_of(session)
        for repeat in range(-1, repeats):  # the first warms up
            for way in ways:
                session.set(generator={"whole_map": way})
                session.seed(seed)
                session.mask(oval(choice.size) if mask else None)
                if repeat < 0:
                    # Of both ways in one process, the second would find what the first has left.
                    memory = PeakMemory(device) if inside and len(ways) == 1 else None
                    counted[way] = _flops(session, pairs) if inside else None
                else:
                    runs[way].append(timed_drag(session, pairs, steps))
        most = memory.now() if memory else None
        peak = convolution_rate(device)
    rows = []
    for way in ways:
        ms = median(runs[way], "ms_per_step")
        done = counted[way]
        rows.append(
            {
                "model": choice.model,
                "device": device_name(device),
                "layout": choice.launch,
                "points": count,
                "mask": mask,
                "whole_map": way,
                "ms_per_step": ms,
                "ms_by_stage": stages(runs[way]) if inside else None,
                "flops_per_step": done,
                "fraction_of_peak": None if done is None else done / (ms / 1e3) / peak,
                "peak_memory_mb": most,
                "session_memory_mb": most - memory.before if memory and most else None,
            }
        )
    return rows


def _flops(session: api.Session, pairs: list[api.Pair]) -> int:
    """Of one step: what three steps take more than one."""
    totals = []
    for steps in (1, 3):
        with flops() as count:
            timed_drag(session, pairs, steps)
            totals.append(count())
    return (totals[1] - totals[0]) // 2
