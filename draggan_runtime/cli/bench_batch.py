"""``draggan bench batch``: what sessions cost that step together, in one pass or each in its own."""

from __future__ import annotations

import math
import statistics
import time
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from draggan_runtime.cli.bench_session import Choice, device_name, oval, points
from draggan_runtime.cli.bench_step import ConfigOption, DeviceOption, MaskOption, ModelOption, PointsOption
from draggan_runtime.cli.common import Format, FormatOption, SetOption, print_json
from draggan_runtime.cli.lockstep import LockStep
from draggan_runtime.errors import UserError
from draggan_runtime.execution.changes import NodeChange


def batch(
    sessions: Annotated[str, typer.Option(metavar="N,N,...", help="How many sessions step together.")] = "1,2,4,8",
    points_: PointsOption = 1,
    mask: MaskOption = False,
    model: ModelOption = "ffhq",
    device: DeviceOption = "auto",
    steps: Annotated[int, typer.Option(min=1, help="Rounds a repeat; each is one step of every session.")] = 10,
    repeats: Annotated[int, typer.Option(min=1)] = 5,
    seed: Annotated[int, typer.Option(min=0, help="Of the first session; the others' follow.")] = 7,
    config: ConfigOption = None,
    set_: SetOption = None,
    format_: FormatOption = Format.table,
) -> None:
    """Time sessions of one process that step together: ms per round in one pass, and each in a pass of its own.

    \b
    draggan bench batch
    draggan bench batch --model stylegan2:256 --sessions 1,8
    draggan bench batch --mask --format json

    A round is one step of every session, tracking and supervision included. Each session has its own picture, handle
    and way. Every repeat runs all cases in turn, so that a machine whose speed drifts does not favour one. "x one
    alone" compares with a single session's round; 8 sessions that gain nothing stand at 8.
    """
    choice = Choice(model, "local", device, config, tuple(set_ or ()))
    rows = _measure(choice, _counts(sessions), points_, mask, steps, repeats, seed)
    if format_ is Format.json:
        print_json(rows)
        return
    table = Table("sessions", "ms per round", "x one alone", "each by itself", "x one alone", "ratio")
    for row in rows:
        ms, own = row["ms_batched"], row["ms_unbatched"]
        table.add_row(
            str(row["sessions"]),
            f"{ms:.1f}",
            f"{row['batched_to_one']:.2f}",
            f"{own:.1f}",
            f"{row['unbatched_to_one']:.2f}",
            f"{own / ms:.2f}",
        )
    Console().print(f"{model}, {rows[0]['device']}, {points_} points{', mask' if mask else ''}")
    Console().print(table)
    stages = ", ".join(f"{name} {ms:.1f}" for name, ms in rows[-1]["ms_by_stage"].items())
    Console().print(f"{rows[-1]['sessions']} together, ms by stage: {stages}")


def _counts(text: str) -> list[int]:
    try:
        counts = [int(part) for part in text.split(",")]
    except ValueError:
        counts = []
    if not counts or min(counts) < 1:
        raise UserError(f"--sessions {text}: write numbers of sessions, for example 1,2,4,8")
    return sorted({1, *counts})


def _measure(
    choice: Choice, counts: list[int], count: int, mask: bool, steps: int, repeats: int, seed: int
) -> list[dict[str, Any]]:
    engine = LockStep(choice.graph())
    names = [f"s{i}" for i in range(max(counts))]
    cases = [(n, batched) for n in counts for batched in (True, False)]
    runs: dict[tuple[int, bool], list[dict[str, float]]] = {case: [] for case in cases}
    for repeat in range(-1, repeats):  # the first warms up
        for n, batched in cases:
            engine.container.change(NodeChange("generator", {"batch": n if batched else 1}))
            for i, name in enumerate(names[:n]):
                turn = 2 * math.pi * i / len(names)
                pairs = points(count, choice.size, (64 * math.cos(turn), 64 * math.sin(turn)))
                engine.picture(name, seed + i, pairs, oval(choice.size) if mask else None)
            engine.begin(names[:n])
            engine.step(names[:n])
            run = _timed(engine, names[:n], steps)
            if repeat >= 0:
                runs[n, batched].append(run)
            for name in names[:n]:
                engine.forget(name)
    device = engine.device
    engine.container.close()
    ms = {case: statistics.median(run["round"] for run in of) for case, of in runs.items()}
    one = ms[1, False]
    return [
        {
            "model": choice.model,
            "device": device_name(device),
            "points": count,
            "mask": mask,
            "sessions": n,
            "ms_batched": ms[n, True],
            "ms_unbatched": ms[n, False],
            "batched_to_one": ms[n, True] / one,
            "unbatched_to_one": ms[n, False] / one,
            "ms_by_stage": {
                name: statistics.median(run[name] for run in runs[n, True])
                for name in ("generator", "tracker", "motion")
            },
        }
        for n in counts
    ]


def _timed(engine: LockStep, names: list[str], steps: int) -> dict[str, float]:
    """ms a round, and by stage."""
    before, started = engine.stages(), time.perf_counter()
    for _ in range(steps):
        engine.step(names)
    seconds = time.perf_counter() - started
    after = engine.stages()
    return {"round": seconds / steps * 1e3} | {name: (after[name] - before[name]) / steps * 1e3 for name in after}
