"""``draggan drag``: one edit without a window."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar

from draggan_runtime import api, models
from draggan_runtime.cli.common import Format, FormatOption, SetOption, override, parse_point, print_json
from draggan_runtime.errors import UserError
from draggan_runtime.files import writable_folder, write_atomically
from draggan_runtime.graph import load_launch
from draggan_runtime.graph.lasting import model_of
from draggan_runtime.messages import Progress
from draggan_runtime.pictures import load_mask
from draggan_runtime.session import load_session

INTERRUPTED = 130


def drag(
    out: Annotated[Path, typer.Option(help="Folder for the pictures, the session and result.json.")],
    point: Annotated[
        list[str],
        typer.Option(metavar="X,Y:X,Y", help="Handle and target, px of the full output. Repeatable."),
    ],
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of the picture.")] = None,
    session: Annotated[
        Path | None, typer.Option("--open", help="Go on from a saved .draggan session instead of a seed.")
    ] = None,
    truncation_psi: Annotated[float, typer.Option(min=0, max=1.5, help="Truncation toward the mean face.")] = 0.7,
    mask: Annotated[Path | None, typer.Option(help="8-bit picture of what may move (> 127).")] = None,
    model: Annotated[str | None, typer.Option(help="Model; see draggan models list.")] = None,
    max_steps: Annotated[int, typer.Option(min=1, help="Latent updates at most.")] = 300,
    video: Annotated[Path | None, typer.Option(help="Also write a video: .mp4 or .gif.")] = None,
    watermark: Annotated[bool, typer.Option("--watermark", help="Draw 'synthetic' on what is saved.")] = False,
    launch: Annotated[str, typer.Option(help="Launch file or name: the layout.")] = "",
    config: Annotated[str | None, typer.Option(help="Parameter preset, instead of the launch's own.")] = None,
    set_: SetOption = None,
    format_: FormatOption = Format.table,
) -> None:
    """Drag points of a picture and write before.png, after.png, overlay.png, edit.draggan and result.json.

    \b
    draggan drag --seed 7 --point 512,590:560,590 --out out
    draggan drag --seed 7 --point 512,590:560,590 --mask face.png --video out/edit.mp4 --out out
    draggan drag --open out/edit.draggan --point 560,590:512,590 --out back

    Exit code 0 also when --max-steps ends the drag; result.json says why it stopped.
    """
    points = [parse_point(text) for text in point]
    if session is None and seed is None:
        raise UserError("no picture to drag; give --seed N or --open FILE.draggan")
    if session is not None and seed is not None:
        raise UserError("--seed and --open both say where the picture comes from; give one of them")
    writable_folder(out)
    overrides = [override("display.out", str(out.resolve())), override("display.watermark", watermark)]
    if video is not None:
        writable_folder(video.resolve().parent)
        overrides.append(override("display.video", str(video.resolve())))
    if model is not None:
        overrides += [override("generator.model", model), override("renderer.model", model)]
    launch = launch or ("record" if video else "local")
    overrides += set_ or []
    _check(points, mask, session, launch, config, overrides)
    with api.open(
        session, seed=seed, truncation_psi=truncation_psi, launch=launch, config=config, set=overrides
    ) as running:
        if mask is not None:
            running.mask(mask)
        with _watched(max_steps) as report:
            result = running.drag(points, max_steps=max_steps, progress=report)
        running.save(out / "edit.draggan")
        written = {
            "model": running.record.model,
            "seed": running.record.seed,
            "points": result.points,
            "steps": result.steps,
            "stopped": result.stopped,
            "seconds": round(result.seconds, 3),
            "steps_per_second": round(result.steps_per_second, 3),
            "layout": launch,
        }
        if result.error:
            written["error"] = result.error
        write_atomically(out / "result.json", (json.dumps(written, indent=2) + "\n").encode())
    _say(written, out, video, format_)
    if result.stopped == "failed":
        print(f"draggan: {result.error}", file=sys.stderr)
        raise typer.Exit(1)
    if report.interrupted:
        raise typer.Exit(INTERRUPTED)


def _check(
    points: list[api.Pair],
    mask: Path | None,
    session: Path | None,
    launch: str,
    config: str | None,
    overrides: list[str],
) -> None:
    """Refuse what cannot work before anything is fetched or started."""
    saved = load_session(session).overrides() if session is not None else []
    size = models.find(model_of(load_launch(launch, [*saved, *overrides], config=config))).info.size
    api.checked_pairs(points, size)
    if mask is not None:
        load_mask(mask, size)


class _Report:
    """Shows each step, and stops the drag after Ctrl-C."""

    def __init__(self, bar: Bar, max_steps: int) -> None:
        self.interrupted = False
        self._bar = bar
        self._task = bar.add_task("dragging", total=max_steps, left="")

    def __call__(self, progress: Progress) -> bool:
        left = max(progress.distances.values(), default=0.0)
        self._bar.update(
            self._task,
            completed=progress.drag_steps,
            left=f"{progress.steps_per_second:.1f} steps/s, {left:.1f} px left",
        )
        return not self.interrupted

    def interrupt(self, *_: Any) -> None:
        if self.interrupted:
            raise KeyboardInterrupt
        self.interrupted = True


@contextmanager
def _watched(max_steps: int) -> Iterator[_Report]:
    """A progress bar on stderr; the first Ctrl-C ends the drag and keeps what there is, the second aborts."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed} steps"),
        TextColumn("{task.fields[left]}"),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        report = _Report(bar, max_steps)
        before = signal.signal(signal.SIGINT, report.interrupt)
        try:
            yield report
        finally:
            signal.signal(signal.SIGINT, before)


def _say(result: dict[str, Any], out: Path, video: Path | None, format_: Format) -> None:
    if format_ is Format.json:
        print_json(result)
        return
    far = max((p["distance"] or 0.0 for p in result["points"]), default=0.0)
    print(
        f"{result['stopped']} after {result['steps']} steps in {result['seconds']:.1f} s "
        f"({result['steps_per_second']:.1f} steps/s), {far:.1f} px left"
    )
    names = ["before.png", "after.png", "overlay.png", "edit.draggan", "result.json"]
    print("\n".join(str(path) for path in [*(out / name for name in names), *([video] if video else [])]))
